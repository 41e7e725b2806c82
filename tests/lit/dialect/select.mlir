// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @select
// CHECK: tw.select %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x4xf32>
func.func @select(%c: tensor<?x4xi1>, %a: tensor<?x4xf32>) {
  %0 = tw.select %c, %a, %a : tensor<?x4xf32>
  return
}
