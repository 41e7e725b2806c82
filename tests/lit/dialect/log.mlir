// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @log
// CHECK: tw.log %{{.*}} : tensor<?x4xf32>
func.func @log(%x: tensor<?x4xf32>) {
  %0 = tw.log %x : tensor<?x4xf32>
  return
}
