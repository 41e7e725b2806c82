// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @hypot
// CHECK: tw.hypot %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @hypot(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.hypot %a, %b : tensor<?x4xf32>
  return
}
