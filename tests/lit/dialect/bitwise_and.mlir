// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @bitwise_and
// CHECK: tw.bitwise_and %{{.*}}, %{{.*}} : tensor<?x4xi1>
func.func @bitwise_and(%a: tensor<?x4xi1>, %b: tensor<?x4xi1>) {
  %0 = tw.bitwise_and %a, %b : tensor<?x4xi1>
  return
}
