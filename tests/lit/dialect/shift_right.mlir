// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @shift_right
// CHECK: tw.shift_right %{{.*}}, %{{.*}} : tensor<?x4xui16>
func.func @shift_right(%a: tensor<?x4xui16>, %b: tensor<?x4xui16>) {
  %0 = tw.shift_right %a, %b : tensor<?x4xui16>
  return
}
