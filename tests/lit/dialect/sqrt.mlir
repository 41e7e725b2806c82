// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @sqrt
// CHECK: tw.sqrt %{{.*}} : tensor<?x4xf32>
func.func @sqrt(%x: tensor<?x4xf32>) {
  %0 = tw.sqrt %x : tensor<?x4xf32>
  return
}
