// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @exp2
// CHECK: tw.exp2 %{{.*}} : tensor<?x4xf32>
func.func @exp2(%x: tensor<?x4xf32>) {
  %0 = tw.exp2 %x : tensor<?x4xf32>
  return
}
