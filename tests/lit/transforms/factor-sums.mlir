// RUN: tw-opt %s --split-input-file --tw-factor-sums | FileCheck %s

// The minimum of a group meets the sum of the row over the group only. All columns share that sum.
// CHECK-LABEL: func @minimums
// CHECK-SAME:    %[[X:[a-z0-9]+]]: tensor<1x8x32xf32>, %[[Q:[a-z0-9]+]]: tensor<64x8x32xi8>, %[[D:[a-z0-9]+]]: tensor<64x8xf32>, %[[M:[a-z0-9]+]]: tensor<64x8xf32>
// CHECK-DAG:     %[[PART:.*]] = arith.constant 3.125000e-02 : f32
// CHECK:         %[[MEAN:.*]] = linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]{{.*}} ins(%[[X]]
// CHECK:           arith.mulf %[[PART]], %{{.*}}
// CHECK:         } -> tensor<1x8xf32>
// CHECK:         linalg.generic {{.*}} ins(%[[X]], %[[Q]], %[[D]], %[[M]], %[[MEAN]]
// CHECK:         ^bb0(%[[A:.*]]: f32, %[[INT:.*]]: i8, %[[S:.*]]: f32, %[[MIN:.*]]: f32, %[[MEAN1:.*]]: f32, %[[ACC:.*]]: f32):
// CHECK:           %[[F:.*]] = arith.uitofp
// CHECK:           %[[XS:.*]] = arith.mulf %[[A]], %[[S]]
// CHECK:           %[[XSF:.*]] = arith.mulf %[[XS]], %[[F]]
// CHECK:           %[[T:.*]] = arith.mulf %[[MEAN1]], %[[MIN]]
// CHECK:           %[[SUM:.*]] = arith.addf %[[XSF]], %[[T]]
// CHECK:           arith.addf %[[ACC]], %[[SUM]]
func.func @minimums(%x: tensor<1x8x32xf32>, %q: tensor<64x8x32xi8>, %d: tensor<64x8xf32>, %m: tensor<64x8xf32>,
                    %out: tensor<1x64xf32>) -> tensor<1x64xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n, g, j) -> (m, g, j)>, affine_map<(m, n, g, j) -> (n, g, j)>,
                       affine_map<(m, n, g, j) -> (n, g)>, affine_map<(m, n, g, j) -> (n, g)>,
                       affine_map<(m, n, g, j) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %q, %d, %m : tensor<1x8x32xf32>, tensor<64x8x32xi8>, tensor<64x8xf32>, tensor<64x8xf32>)
      outs(%out : tensor<1x64xf32>) {
  ^bb0(%a: f32, %byte: i8, %scale: f32, %min: f32, %acc: f32):
    %wide = arith.extui %byte : i8 to i32
    %f = arith.uitofp %wide : i32 to f32
    %scaled = arith.mulf %scale, %f fastmath<contract> : f32
    %w = arith.addf %scaled, %min fastmath<contract> : f32
    %p = arith.mulf %a, %w fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %s : f32
  } -> tensor<1x64xf32>
  return %r : tensor<1x64xf32>
}

// Without minimums nothing is shared.
// CHECK-LABEL: func @scales_only
// CHECK-COUNT-1: linalg.generic
// CHECK-NOT:     linalg.generic
// CHECK:         return
func.func @scales_only(%x: tensor<1x8x32xf32>, %q: tensor<64x8x32xi8>, %d: tensor<64x8xf32>,
                       %out: tensor<1x64xf32>) -> tensor<1x64xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n, g, j) -> (m, g, j)>, affine_map<(m, n, g, j) -> (n, g, j)>,
                       affine_map<(m, n, g, j) -> (n, g)>, affine_map<(m, n, g, j) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %q, %d : tensor<1x8x32xf32>, tensor<64x8x32xi8>, tensor<64x8xf32>)
      outs(%out : tensor<1x64xf32>) {
  ^bb0(%a: f32, %byte: i8, %scale: f32, %acc: f32):
    %wide = arith.extui %byte : i8 to i32
    %f = arith.uitofp %wide : i32 to f32
    %w = arith.mulf %scale, %f fastmath<contract> : f32
    %p = arith.mulf %a, %w fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %s : f32
  } -> tensor<1x64xf32>
  return %r : tensor<1x64xf32>
}

// -----

// Rows that were rounded to bytes: signed integers are unsigned ones less a constant, which meets the mean of the row.
module attributes {tw.target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_i8 = 4 : i64}>} {
// CHECK-LABEL: func @offsets
// CHECK:         %[[ROUNDED:.*]] = linalg.generic
// CHECK:         %[[MEAN:.*]] = linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]{{.*}} ins(%[[ROUNDED]]
// CHECK:         linalg.generic {{.*}} ins(%[[ROUNDED]], %{{.*}}, %{{.*}}, %[[MEAN]]
// CHECK:         ^bb0(%{{.*}}: f32, %[[BYTE:.*]]: i8,
// CHECK:           %[[FLIPPED:.*]] = arith.xori %[[BYTE]]
// CHECK:           %[[WIDE:.*]] = arith.extui %[[FLIPPED]]
// CHECK:           arith.uitofp %[[WIDE]]
// CHECK-NOT:       arith.sitofp
// CHECK:         return
func.func @offsets(%xq: tensor<1x8x32xi8>, %xs: tensor<1x8xf32>, %q: tensor<64x8x32xi8>, %d: tensor<64x8xf32>,
                   %out: tensor<1x64xf32>) -> tensor<1x64xf32> {
  %empty = tensor.empty() : tensor<1x8x32xf32>
  %x = linalg.generic {
      indexing_maps = [affine_map<(m, g, j) -> (m, g, j)>, affine_map<(m, g, j) -> (m, g)>, affine_map<(m, g, j) -> (m, g, j)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%xq, %xs : tensor<1x8x32xi8>, tensor<1x8xf32>) outs(%empty : tensor<1x8x32xf32>) {
  ^bb0(%byte: i8, %scale: f32, %o: f32):
    %f = arith.sitofp %byte : i8 to f32
    %p = arith.mulf %f, %scale : f32
    linalg.yield %p : f32
  } -> tensor<1x8x32xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n, g, j) -> (m, g, j)>, affine_map<(m, n, g, j) -> (n, g, j)>,
                       affine_map<(m, n, g, j) -> (n, g)>, affine_map<(m, n, g, j) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %q, %d : tensor<1x8x32xf32>, tensor<64x8x32xi8>, tensor<64x8xf32>) outs(%out : tensor<1x64xf32>) {
  ^bb0(%a: f32, %byte: i8, %scale: f32, %acc: f32):
    %wide = arith.extsi %byte : i8 to i32
    %f = arith.sitofp %wide : i32 to f32
    %w = arith.mulf %scale, %f fastmath<contract> : f32
    %p = arith.mulf %a, %w fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %s : f32
  } -> tensor<1x64xf32>
  return %r : tensor<1x64xf32>
}
}
