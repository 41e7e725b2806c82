// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @bitwise_or
// CHECK: tw.bitwise_or %{{.*}}, %{{.*}} : tensor<?x4xi1>
func.func @bitwise_or(%a: tensor<?x4xi1>, %b: tensor<?x4xi1>) {
  %0 = tw.bitwise_or %a, %b : tensor<?x4xi1>
  return
}
