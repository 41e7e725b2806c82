// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @all
// CHECK: tw.all %{{.*}} dims = [0, 2] : tensor<2x?x4xi1> -> tensor<?xi1>
func.func @all(%x: tensor<2x?x4xi1>) {
  %0 = tw.all %x dims = [0, 2] : tensor<2x?x4xi1> -> tensor<?xi1>
  return
}
