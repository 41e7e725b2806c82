// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @log1p
// CHECK: tw.log1p %{{.*}} : tensor<?x4xf32>
func.func @log1p(%x: tensor<?x4xf32>) {
  %0 = tw.log1p %x : tensor<?x4xf32>
  return
}
