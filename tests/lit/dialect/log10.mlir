// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @log10
// CHECK: tw.log10 %{{.*}} : tensor<?x4xf32>
func.func @log10(%x: tensor<?x4xf32>) {
  %0 = tw.log10 %x : tensor<?x4xf32>
  return
}
