// RUN: tw-opt %s --tw-choose-layouts --split-input-file | FileCheck %s

// A tied table, looked up by number and multiplied: both read the panels, and the table itself is no argument any more.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
#row = affine_map<(m, k) -> (m)>
#id = affine_map<(m, k) -> (m, k)>

// CHECK-LABEL: func.func @main
// CHECK-SAME:    %{{[^:]*}}: tensor<?xindex>, %{{[^:]*}}: tensor<?x64xf32>, %{{[^:]*}}: tensor<?x100xf32>, %[[W:[^:]*]]: tensor<4x64x32xf32> {
// CHECK:         linalg.generic
// CHECK:         ^bb0(%[[N:[^:]*]]: index, %{{.*}}: f32):
// CHECK:           %[[K:.*]] = linalg.index 1
// CHECK:           %[[PANEL:.*]] = arith.divui %[[N]], %{{.*}}
// CHECK:           %[[LANE:.*]] = arith.remui %[[N]], %{{.*}}
// CHECK:           tensor.extract %[[W]][%[[PANEL]], %[[K]], %[[LANE]]]
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %[[W]] :
func.func @main(%ids: tensor<?xindex>, %w: tensor<100x64xf32> {tw.weight = "w"}, %e: tensor<?x64xf32>,
                %f: tensor<?x100xf32>) -> tensor<?x100xf32> {
  %x = linalg.generic {indexing_maps = [#row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<?xindex>) outs(%e : tensor<?x64xf32>) {
  ^bb0(%n: index, %o: f32):
    %k = linalg.index 1 : index
    %v = tensor.extract %w[%n, %k] : tensor<100x64xf32>
    linalg.yield %v : f32
  } -> tensor<?x64xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x64xf32>, tensor<100x64xf32>) outs(%f : tensor<?x100xf32>) {
  ^bb0(%p: f32, %q: f32, %acc: f32):
    %t = arith.mulf %p, %q : f32
    %s = arith.addf %acc, %t : f32
    linalg.yield %s : f32
  } -> tensor<?x100xf32>
  return %r : tensor<?x100xf32>
}

// -----

// Must not fire: a table that is only looked up stays as it is, and so does one that something else runs along.

#row = affine_map<(m, k) -> (m)>
#id = affine_map<(m, k) -> (m, k)>

// CHECK-LABEL: func.func @main
// CHECK:         tensor.extract %{{.*}}[%{{.*}}, %{{.*}}] : tensor<100x64xf32>
func.func @main(%ids: tensor<?xindex>, %w: tensor<100x64xf32> {tw.weight = "w"}, %e: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %x = linalg.generic {indexing_maps = [#row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<?xindex>) outs(%e : tensor<?x64xf32>) {
  ^bb0(%n: index, %o: f32):
    %k = linalg.index 1 : index
    %v = tensor.extract %w[%n, %k] : tensor<100x64xf32>
    linalg.yield %v : f32
  } -> tensor<?x64xf32>
  return %x : tensor<?x64xf32>
}

// -----

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
#row = affine_map<(m, k) -> (m)>
#id = affine_map<(m, k) -> (m, k)>

// CHECK-LABEL: func.func @main
// CHECK-SAME:    tensor<100x64xf32> {tw.weight = "w"}
// CHECK-SAME:    tensor<4x64x32xf32> {
// CHECK:         tensor.extract %{{.*}}[%{{.*}}, %{{.*}}] : tensor<100x64xf32>
func.func @main(%ids: tensor<?xindex>, %w: tensor<100x64xf32> {tw.weight = "w"}, %e: tensor<?x64xf32>,
                %f: tensor<?x100xf32>, %g: tensor<100x64xf32>) -> (tensor<?x100xf32>, tensor<100x64xf32>) {
  %x = linalg.generic {indexing_maps = [#row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<?xindex>) outs(%e : tensor<?x64xf32>) {
  ^bb0(%n: index, %o: f32):
    %k = linalg.index 1 : index
    %v = tensor.extract %w[%n, %k] : tensor<100x64xf32>
    linalg.yield %v : f32
  } -> tensor<?x64xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x64xf32>, tensor<100x64xf32>) outs(%f : tensor<?x100xf32>) {
  ^bb0(%p: f32, %q: f32, %acc: f32):
    %t = arith.mulf %p, %q : f32
    %s = arith.addf %acc, %t : f32
    linalg.yield %s : f32
  } -> tensor<?x100xf32>
  %d = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<100x64xf32>) outs(%g : tensor<100x64xf32>) {
  ^bb0(%p: f32, %o: f32):
    %t = arith.negf %p : f32
    linalg.yield %t : f32
  } -> tensor<100x64xf32>
  return %r, %d : tensor<?x100xf32>, tensor<100x64xf32>
}
