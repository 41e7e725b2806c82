// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @check
// CHECK: tw.check %{{.*}}, "index out of range" : tensor<i1>
func.func @check(%p: tensor<i1>, %s: i1) {
  tw.check %p, "index out of range" : tensor<i1>
  tw.check %s, "index out of range" : i1
  return
}
