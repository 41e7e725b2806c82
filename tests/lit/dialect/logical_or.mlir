// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @logical_or
// CHECK: tw.logical_or %{{.*}}, %{{.*}} : tensor<?x4xi1>
func.func @logical_or(%a: tensor<?x4xi1>, %b: tensor<?x4xi1>) {
  %0 = tw.logical_or %a, %b : tensor<?x4xi1>
  return
}
