// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @compare
// CHECK: tw.compare "lt", %{{.*}}, %{{.*}} : tensor<?x4xui8>
func.func @compare(%a: tensor<?x4xui8>) {
  %0 = tw.compare "lt", %a, %a : tensor<?x4xui8>
  return
}
