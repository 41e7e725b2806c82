// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @floor_div
// CHECK: tw.floor_div %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @floor_div(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.floor_div %a, %b : tensor<?x4xf32>
  return
}
