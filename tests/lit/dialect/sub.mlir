// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @sub
// CHECK: tw.sub %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @sub(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  %0 = tw.sub %a, %b : tensor<?x4xf32>
  return
}
