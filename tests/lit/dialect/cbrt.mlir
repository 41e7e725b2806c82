// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @cbrt
// CHECK: tw.cbrt %{{.*}} : tensor<?x4xf32>
func.func @cbrt(%x: tensor<?x4xf32>) {
  %0 = tw.cbrt %x : tensor<?x4xf32>
  return
}
