// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @asin
// CHECK: tw.asin %{{.*}} : tensor<?x4xf32>
func.func @asin(%x: tensor<?x4xf32>) {
  %0 = tw.asin %x : tensor<?x4xf32>
  return
}
