// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @logical_and
// CHECK: tw.logical_and %{{.*}}, %{{.*}} : tensor<?x4xi1>
func.func @logical_and(%a: tensor<?x4xi1>, %b: tensor<?x4xi1>) {
  %0 = tw.logical_and %a, %b : tensor<?x4xi1>
  return
}
