// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @copysign
// CHECK: tw.copysign %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @copysign(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.copysign %a, %b : tensor<?x4xf32>
  return
}
