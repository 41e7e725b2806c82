// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @mul
// CHECK: tw.mul %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @mul(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.mul %a, %b : tensor<?x4xf32>
  return
}
