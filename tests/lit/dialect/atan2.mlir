// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @atan2
// CHECK: tw.atan2 %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @atan2(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.atan2 %a, %b : tensor<?x4xf32>
  return
}
