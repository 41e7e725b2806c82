// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @cast
// CHECK: tw.cast %{{.*}} : tensor<?x4xf32> to tensor<?x4xui8>
func.func @cast(%a: tensor<?x4xf32>) {
  %0 = tw.cast %a : tensor<?x4xf32> to tensor<?x4xui8>
  return
}
