// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @log2
// CHECK: tw.log2 %{{.*}} : tensor<?x4xf32>
func.func @log2(%x: tensor<?x4xf32>) {
  %0 = tw.log2 %x : tensor<?x4xf32>
  return
}
