// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @max
// CHECK: tw.max %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @max(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.max %a, %b : tensor<?x4xf32>
  return
}
