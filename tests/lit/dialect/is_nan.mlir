// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @is_nan
// CHECK: tw.is_nan %{{.*}} : tensor<?x4xf32>
func.func @is_nan(%x: tensor<?x4xf32>) {
  %0 = tw.is_nan %x : tensor<?x4xf32>
  return
}
