// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @pow
// CHECK: tw.pow %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @pow(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.pow %a, %b : tensor<?x4xf32>
  return
}
