// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @neg
// CHECK: tw.neg %{{.*}} : tensor<?x4xf32>
func.func @neg(%x: tensor<?x4xf32>) {
  %0 = tw.neg %x : tensor<?x4xf32>
  return
}
