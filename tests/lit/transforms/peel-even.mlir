// RUN: tw-opt %s --allow-unregistered-dialect --pass-pipeline='builtin.module(func.func(tw-peel),canonicalize)' | FileCheck %s

// Groups of 128 columns out of 576 leave one of 64: every group is a whole number of tiles, so there is no remainder.
// CHECK-LABEL: func @even_groups
// CHECK:         scf.for {{.*}} step %c128
// CHECK:           scf.for {{.*}} step %c32
// CHECK:             "test.tile"(%c32)
// CHECK-NOT:       scf.for
func.func @even_groups() {
  %c0 = arith.constant 0 : index
  %c32 = arith.constant 32 : index
  %c128 = arith.constant 128 : index
  %c576 = arith.constant 576 : index
  scf.for %i = %c0 to %c576 step %c128 {
    %group = affine.min affine_map<(d0) -> (128, -d0 + 576)>(%i)
    scf.for %j = %c0 to %group step %c32 {
      %size = affine.min affine_map<(d0)[s0] -> (32, -d0 + s0)>(%j)[%group]
      "test.tile"(%size) : (index) -> ()
    } {tw.peel}
  }
  return
}

// Must not fire: the last group is 44 columns, which leaves 12.
// CHECK-LABEL: func @uneven_groups
// CHECK:           "test.tile"(%c32)
// CHECK:           scf.for
// CHECK:             "test.tile"(%c12)
func.func @uneven_groups() {
  %c0 = arith.constant 0 : index
  %c32 = arith.constant 32 : index
  %c128 = arith.constant 128 : index
  %c556 = arith.constant 556 : index
  scf.for %i = %c0 to %c556 step %c128 {
    %group = affine.min affine_map<(d0) -> (128, -d0 + 556)>(%i)
    scf.for %j = %c0 to %group step %c32 {
      %size = affine.min affine_map<(d0)[s0] -> (32, -d0 + s0)>(%j)[%group]
      "test.tile"(%size) : (index) -> ()
    } {tw.peel}
  }
  return
}

// Tiles of 12 in groups of 168 rows out of 1000: the last group leaves 4, the others nothing.
// CHECK-LABEL: func @known_remainder
// CHECK:         scf.for {{.*}} step %c168
// CHECK:           scf.for {{.*}} step %c12
// CHECK:             "test.tile"(%c12)
// CHECK:           scf.for {{.*}} step %c12
// CHECK:             "test.tile"(%c4)
func.func @known_remainder() {
  %c0 = arith.constant 0 : index
  %c12 = arith.constant 12 : index
  %c168 = arith.constant 168 : index
  %c1000 = arith.constant 1000 : index
  scf.for %i = %c0 to %c1000 step %c168 {
    %group = affine.min affine_map<(d0) -> (168, -d0 + 1000)>(%i)
    scf.for %j = %c0 to %group step %c12 {
      %size = affine.min affine_map<(d0)[s0] -> (12, -d0 + s0)>(%j)[%group]
      "test.tile"(%size) : (index) -> ()
    } {tw.peel}
  }
  return
}

// Must not fire: groups of 100 leave 4, the last one (of 30) leaves 6.
// CHECK-LABEL: func @two_remainders
// CHECK:             "test.tile"(%c12)
// CHECK:             "test.tile"(%{{[0-9]+}})
func.func @two_remainders() {
  %c0 = arith.constant 0 : index
  %c12 = arith.constant 12 : index
  %c100 = arith.constant 100 : index
  %c530 = arith.constant 530 : index
  scf.for %i = %c0 to %c530 step %c100 {
    %group = affine.min affine_map<(d0) -> (100, -d0 + 530)>(%i)
    scf.for %j = %c0 to %group step %c12 {
      %size = affine.min affine_map<(d0)[s0] -> (12, -d0 + s0)>(%j)[%group]
      "test.tile"(%size) : (index) -> ()
    } {tw.peel}
  }
  return
}
