// RUN: tw-opt %s --tw-normalize | FileCheck %s
// RUN: tw-opt %s --tw-normalize=keep=softmax,attention | FileCheck %s --check-prefix=KEEP

// CHECK-LABEL: func.func @softmax
// CHECK: tw.reduce_max
// CHECK: tw.sub
// CHECK: tw.exp
// CHECK: tw.sum
// CHECK: tw.reciprocal %{{.*}} : tensor<?xf32>
// CHECK: tw.mul
// CHECK-NOT: tw.div
// KEEP-LABEL: func.func @softmax
// KEEP-NEXT: tw.softmax
func.func @softmax(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = tw.softmax %x axis = 1 : tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// Half precision is computed in f32.
// CHECK-LABEL: func.func @rms_norm
// CHECK: tw.cast %{{.*}} : tensor<?x8xf16> to tensor<?x8xf32>
// CHECK: tw.rsqrt %{{.*}} : tensor<?xf32>
// CHECK: tw.cast %{{.*}} : tensor<?x8xf32> to tensor<?x8xf16>
func.func @rms_norm(%x: tensor<?x8xf16>, %w: tensor<8xf16>) -> tensor<?x8xf16> {
  %0 = tw.rms_norm %x, %w {eps = 1.0e-5} : tensor<?x8xf16>, tensor<8xf16>
  return %0 : tensor<?x8xf16>
}

// The queries of one group share keys and values: nothing is repeated in memory.
// CHECK-LABEL: func.func @attention
// CHECK: tw.reshape {{.*}} tensor<1x4x?x8xf32> -> tensor<1x2x2x?x8xf32>
// CHECK: tw.dot_general {{.*}} lhs_batch = [0, 1] rhs_batch = [0, 1]
// CHECK: tw.compare "le"
// CHECK: tw.select
// CHECK: tw.dot_general
// CHECK: tw.reshape {{.*}} tensor<1x2x2x?x8xf32> -> tensor<1x4x?x8xf32>
// KEEP-LABEL: func.func @attention
// KEEP-NEXT: tw.attention
func.func @attention(%q: tensor<1x4x?x8xf32>, %k: tensor<1x2x?x8xf32>) -> tensor<1x4x?x8xf32> {
  %0 = tw.attention %q, %k, %k {causal = true, scale = 0.5}
    : tensor<1x4x?x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32> -> tensor<1x4x?x8xf32>
  return %0 : tensor<1x4x?x8xf32>
}

// Must not fire: the last query sees all keys, so nothing is masked.
// CHECK-LABEL: func.func @one_query
// CHECK-NOT: tw.select
// CHECK: return
func.func @one_query(%q: tensor<1x2x1x8xf32>, %k: tensor<1x2x?x8xf32>) -> tensor<1x2x1x8xf32> {
  %0 = tw.attention %q, %k, %k {causal = true, scale = 0.5}
    : tensor<1x2x1x8xf32>, tensor<1x2x?x8xf32>, tensor<1x2x?x8xf32> -> tensor<1x2x1x8xf32>
  return %0 : tensor<1x2x1x8xf32>
}

// An index out of range is found before anything is read.
// CHECK-LABEL: func.func @raise
// CHECK: tw.check
// CHECK: tw.gather {{.*}}mode = "checked"
func.func @raise(%x: tensor<?x4xf32>, %i: tensor<5xi64>) -> tensor<5x4xf32> {
  %0 = tw.gather %x, %i axis = 0 {mode = "raise"} : tensor<?x4xf32>, tensor<5xi64> -> tensor<5x4xf32>
  return %0 : tensor<5x4xf32>
}
