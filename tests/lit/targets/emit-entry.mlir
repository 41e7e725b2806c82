// RUN: tw-opt %s --tw-emit-entry | FileCheck %s

// CHECK: tw.aliases = [-1]
// CHECK-SAME: tw.locations = {{\[}}["model.py", 7, 3, "", "n must be even"]]
// CHECK-LABEL: func private @main
// CHECK-SAME:    -> i32
// CHECK:         cf.assert %{{.*}}, "n must be even" {tw.location = 0 : i32}
// CHECK-LABEL: func @tw_main
// CHECK-SAME:    (%[[RT:[a-z0-9]+]]: !llvm.ptr, %[[IN:[a-z0-9]+]]: !llvm.ptr, %[[OUT:[a-z0-9]+]]: !llvm.ptr, %[[SCRATCH:[a-z0-9]+]]: !llvm.ptr) -> i32 attributes {tw.entry}
// CHECK:         llvm.getelementptr %[[IN]][0, 0]
// CHECK:         llvm.getelementptr %[[IN]][0, 1]
// CHECK:         llvm.getelementptr %[[OUT]][0, 0]
// CHECK:         %[[STATUS:.*]] = call @main(%[[RT]]
// CHECK:         return %[[STATUS]] : i32
// CHECK-LABEL: func @tw_shapes
// CHECK:         %[[DIMS:.*]]:2 = call @shapes
// CHECK:         llvm.store
// CHECK:         llvm.store
func.func @main(%rt: !llvm.ptr {tw.rt}, %x: memref<?x8xf32>, %even: memref<i8>, %out: memref<8xf32> {tw.output = 0 : i64},
                %arena: memref<?xi8> {tw.arena}) attributes {tw.host, tw.alias = array<i64: -1>} {
  %true = arith.constant true
  cf.assert %true, "n must be even" loc("model.py":7:3)
  return
}
func.func @shapes(%x: memref<?x8xf32>, %even: memref<i8>) -> (index, index) attributes {tw.shapes} {
  %c8 = arith.constant 8 : index
  %c64 = arith.constant 64 : index
  return %c8, %c64 : index, index
}
