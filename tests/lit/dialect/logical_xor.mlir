// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @logical_xor
// CHECK: tw.logical_xor %{{.*}}, %{{.*}} : tensor<?x4xi1>
func.func @logical_xor(%a: tensor<?x4xi1>, %b: tensor<?x4xi1>) {
  %0 = tw.logical_xor %a, %b : tensor<?x4xi1>
  return
}
