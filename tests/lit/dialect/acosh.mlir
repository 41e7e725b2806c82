// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @acosh
// CHECK: tw.acosh %{{.*}} : tensor<?x4xf32>
func.func @acosh(%x: tensor<?x4xf32>) {
  %0 = tw.acosh %x : tensor<?x4xf32>
  return
}
