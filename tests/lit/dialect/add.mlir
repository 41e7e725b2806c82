// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @add
// CHECK: tw.add %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @add(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.add %a, %b : tensor<?x4xf32>
  return
}
