// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @div
// CHECK: tw.div %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @div(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.div %a, %b : tensor<?x4xf32>
  return
}
