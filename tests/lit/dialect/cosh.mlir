// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @cosh
// CHECK: tw.cosh %{{.*}} : tensor<?x4xf32>
func.func @cosh(%x: tensor<?x4xf32>) {
  %0 = tw.cosh %x : tensor<?x4xf32>
  return
}
