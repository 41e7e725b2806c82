// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @reciprocal
// CHECK: tw.reciprocal %{{.*}} : tensor<?x4xf32>
func.func @reciprocal(%x: tensor<?x4xf32>) {
  %0 = tw.reciprocal %x : tensor<?x4xf32>
  return
}
