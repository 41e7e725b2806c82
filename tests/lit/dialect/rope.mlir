// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @rope
// CHECK: tw.rope %{{.*}}, %{{.*}}, %{{.*}} {interleaved = true} : tensor<2x?x8xf32>, tensor<?x4xf32>
func.func @rope(%x: tensor<2x?x8xf32>, %c: tensor<?x4xf32>) {
  %0 = tw.rope %x, %c, %c {interleaved = true} : tensor<2x?x8xf32>, tensor<?x4xf32>
  return
}
