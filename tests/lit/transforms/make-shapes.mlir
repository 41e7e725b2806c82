// RUN: tw-opt %s --split-input-file --verify-diagnostics --tw-make-shapes | FileCheck %s

// CHECK-LABEL: func.func @shapes
// CHECK-SAME:    (%[[X:.*]]: tensor<?x4xf32>) -> (index, index) attributes {tw.shapes}
// CHECK-DAG:     %[[C5:.*]] = arith.constant 5 : index
// CHECK-DAG:     %[[N:.*]] = tensor.dim %[[X]]
// CHECK-NOT:     linalg
// CHECK:         return %[[N]], %[[C5]]
#id = affine_map<(m, n) -> (m, n)>
#col = affine_map<(m, n) -> (m)>
func.func @main(%x: tensor<?x4xf32>) -> tensor<?x5xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %s = tensor.extract_slice %x[0, 0] [%n, 1] [1, 1] : tensor<?x4xf32> to tensor<?xf32>
  %e = tensor.empty(%n) : tensor<?x5xf32>
  %r = linalg.generic {indexing_maps = [#col, #id], iterator_types = ["parallel", "parallel"]}
      ins(%s : tensor<?xf32>) outs(%e : tensor<?x5xf32>) {
  ^bb0(%v: f32, %o: f32):
    linalg.yield %v : f32
  } -> tensor<?x5xf32>
  return %r : tensor<?x5xf32>
}

// -----

// A size that is read from data cannot be known before the call.
func.func @main(%x: tensor<i64>) -> tensor<?xf32> {
  // expected-error @+1 {{the size of an output depends on computed data}}
  %v = tensor.extract %x[] : tensor<i64>
  %n = arith.index_cast %v : i64 to index
  %e = tensor.empty(%n) : tensor<?xf32>
  return %e : tensor<?xf32>
}

// -----

// A while results in its second value only: that one's size counts, whatever is carried first.
// CHECK-LABEL: func.func @shapes
// CHECK-SAME:    (%{{.*}}: tensor<?xf32>, %[[Y:.*]]: tensor<?xf32>)
// CHECK:         %[[N:.*]] = tensor.dim %[[Y]]
// CHECK-NOT:     scf.while
// CHECK:         return %[[N]]
func.func private @goes_on(tensor<?xf32>, tensor<?xf32>) -> i1 attributes {tw.kernel}
func.func private @step(tensor<?xf32>) -> tensor<?xf32> attributes {tw.kernel}
func.func @main(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %r = scf.while (%x = %a, %y = %b) : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32> {
    %c = func.call @goes_on(%x, %y) : (tensor<?xf32>, tensor<?xf32>) -> i1
    scf.condition(%c) %y : tensor<?xf32>
  } do {
  ^bb0(%y: tensor<?xf32>):
    %next = func.call @step(%y) : (tensor<?xf32>) -> tensor<?xf32>
    scf.yield %a, %next : tensor<?xf32>, tensor<?xf32>
  }
  return %r : tensor<?xf32>
}

// -----

// What a condition computes has the size of what it writes to.
// CHECK-LABEL: func.func @shapes
// CHECK-SAME:    (%{{.*}}: tensor<i64>, %[[Y:.*]]: tensor<?xf32>)
// CHECK:         %[[N:.*]] = tensor.dim %[[Y]]
// CHECK:         return %[[N]]
func.func private @odd(tensor<i64>) -> i1 attributes {tw.kernel}
func.func @main(%n: tensor<i64>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %r = scf.while (%y = %b) : (tensor<?xf32>) -> tensor<?xf32> {
    %size = tensor.dim %y, %c0 : tensor<?xf32>
    %e = tensor.empty(%size) : tensor<?xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
    %c = func.call @odd(%n) : (tensor<i64>) -> i1
    scf.condition(%c) %f : tensor<?xf32>
  } do {
  ^bb0(%y: tensor<?xf32>):
    scf.yield %y : tensor<?xf32>
  }
  return %r : tensor<?xf32>
}
