// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @min
// CHECK: tw.min %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @min(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.min %a, %b : tensor<?x4xf32>
  return
}
