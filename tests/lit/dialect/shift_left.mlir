// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @shift_left
// CHECK: tw.shift_left %{{.*}}, %{{.*}} : tensor<?x4xui16>
func.func @shift_left(%a: tensor<?x4xui16>, %b: tensor<?x4xui16>) {
  %0 = tw.shift_left %a, %b : tensor<?x4xui16>
  return
}
