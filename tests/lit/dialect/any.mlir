// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @any
// CHECK: tw.any %{{.*}} dims = [0, 2] : tensor<2x?x4xi1> -> tensor<?xi1>
func.func @any(%x: tensor<2x?x4xi1>) {
  %0 = tw.any %x dims = [0, 2] : tensor<2x?x4xi1> -> tensor<?xi1>
  return
}
