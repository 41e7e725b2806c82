// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @bitwise_xor
// CHECK: tw.bitwise_xor %{{.*}}, %{{.*}} : tensor<?x4xi1>
func.func @bitwise_xor(%a: tensor<?x4xi1>, %b: tensor<?x4xi1>) {
  %0 = tw.bitwise_xor %a, %b : tensor<?x4xi1>
  return
}
