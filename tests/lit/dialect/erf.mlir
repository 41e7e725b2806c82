// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @erf
// CHECK: tw.erf %{{.*}} : tensor<?x4xf32>
func.func @erf(%x: tensor<?x4xf32>) {
  %0 = tw.erf %x : tensor<?x4xf32>
  return
}
