// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @rsqrt
// CHECK: tw.rsqrt %{{.*}} : tensor<?x4xf32>
func.func @rsqrt(%x: tensor<?x4xf32>) {
  %0 = tw.rsqrt %x : tensor<?x4xf32>
  return
}
