// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @expm1
// CHECK: tw.expm1 %{{.*}} : tensor<?x4xf32>
func.func @expm1(%x: tensor<?x4xf32>) {
  %0 = tw.expm1 %x : tensor<?x4xf32>
  return
}
