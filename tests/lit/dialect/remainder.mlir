// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @remainder
// CHECK: tw.remainder %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @remainder(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.remainder %a, %b : tensor<?x4xf32>
  return
}
