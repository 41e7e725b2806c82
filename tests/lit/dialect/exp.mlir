// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @exp
// CHECK: tw.exp %{{.*}} : tensor<?x4xf32>
func.func @exp(%x: tensor<?x4xf32>) {
  %0 = tw.exp %x : tensor<?x4xf32>
  return
}
