// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @logical_not
// CHECK: tw.logical_not %{{.*}} : tensor<?x4xi1>
func.func @logical_not(%x: tensor<?x4xi1>) {
  %0 = tw.logical_not %x : tensor<?x4xi1>
  return
}
