// RUN: tw-opt %s --tw-cuda-lower-launches --split-input-file --verify-diagnostics | FileCheck %s

// A launch passes the kernel's number and the addresses of its arguments; windows of arrays are where they begin.
// CHECK:       module attributes {tw.device_kernels = ["first", "second"]}
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%[[TABLE:.*]]: !llvm.ptr
// CHECK-DAG:     llvm.alloca %{{.*}} x i64
// CHECK-DAG:     llvm.alloca %{{.*}} x !llvm.ptr
// CHECK:         memref.extract_aligned_pointer_as_index
// CHECK:         %[[OFFSET:.*]] = arith.muli %{{.*}}, %{{.*}} : index
// CHECK:         llvm.inttoptr
// CHECK:         %[[NUMBER:.*]] = llvm.mlir.constant(1 : i32)
// CHECK:         llvm.getelementptr %[[TABLE]][0, 6]
// CHECK:         llvm.call %{{.*}}(%[[TABLE]], %[[NUMBER]], %{{.*}}) : !llvm.ptr, (!llvm.ptr, i32, i64, i32, !llvm.ptr) -> ()
// CHECK:         llvm.getelementptr %[[TABLE]][0, 7]
// CHECK:         llvm.call %{{.*}}(%[[TABLE]], %{{.*}}) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, i64) -> ()
func.func @main(%table: !llvm.ptr, %x: memref<4xf32, strided<[1], offset: ?>>, %n: index, %flag: memref<i64>) -> i64 {
  rt.launch_kernel @second[%n, 256] (%x, %n : memref<4xf32, strided<[1], offset: ?>>, index)
  %r = rt.read %flag : memref<i64>
  return %r : i64
}
gpu.module @device {
  func.func @first() attributes {tw.device, tw.threads = 256 : i64} { return }
  func.func @second(%x: !llvm.ptr<1>, %n: index) attributes {tw.device, tw.threads = 256 : i64} { return }
}

// -----

func.func @main(%table: !llvm.ptr, %n: index) {
  // expected-error @+1 {{names no kernel of the device: @third}}
  rt.launch_kernel @third[%n, 256] ()
  return
}

// -----

// In the place of a tensor map goes what it is made of: address, sizes with the innermost first, bytes of a row. What launches
// of a kernel want beyond arguments stands beside the names.
// CHECK:       module attributes {tw.device_extras = {copies = {maps = [{box = array<i64: 64, 128>, parameter = 0 : i64, swizzle = 128 : i64, type = bf16}], overlap, parameters = 2 : i64, persistent = 2 : i64, shared = 65536 : i64}}, tw.device_kernels = ["copies"]}
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%{{.*}}: !llvm.ptr, %[[X:.*]]: memref<?x96xbf16>
// CHECK:         %[[WORDS:.*]] = llvm.alloca %{{.*}} x i64
// CHECK:         memref.extract_aligned_pointer_as_index %[[X]]
// CHECK:         llvm.getelementptr %[[WORDS]][0]
// CHECK:         %[[COLUMNS:.*]] = memref.dim %[[X]], %c1
// CHECK:         llvm.getelementptr %[[WORDS]][1]
// CHECK:         %[[PITCH:.*]] = arith.muli %{{.*}}, %[[COLUMNS]]
// CHECK:         llvm.getelementptr %[[WORDS]][3]
// CHECK:         memref.dim %[[X]], %c0
// CHECK:         llvm.getelementptr %[[WORDS]][2]
func.func @main(%table: !llvm.ptr, %x: memref<?x96xbf16>, %y: memref<4xf32>, %n: index) {
  rt.launch_kernel @copies[%n, 384] (%x, %y : memref<?x96xbf16>, memref<4xf32>)
  return
}
gpu.module @device {
  func.func @copies(%x: !llvm.ptr {tw.tensor_map = {box = array<i64: 64, 128>, swizzle = 128 : i64, type = bf16}},
                    %y: !llvm.ptr<1>) attributes {tw.device, tw.overlap, tw.persistent = 2 : i64, tw.shared = 65536 : i64, tw.threads = 384 : i64} { return }
}
