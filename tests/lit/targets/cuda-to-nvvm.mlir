// RUN: tw-opt %s --tw-cuda-to-nvvm | FileCheck %s

// Functions become kernels with their number of threads, elementary functions calls of libdevice; half precision is
// computed in float32. Host code is not touched.
// CHECK:       gpu.module @device
// CHECK-DAG:     llvm.func @__nv_expf(f32) -> f32
// CHECK-DAG:     llvm.func @__nv_exp(f64) -> f64
// CHECK:         llvm.func @kernel_0_0(%{{.*}}: !llvm.ptr<1>, %{{.*}}: i64)
// CHECK-SAME:      nvvm.kernel, nvvm.reqntid = array<i32: 256, 1, 1>
// CHECK:           llvm.call @__nv_expf
// CHECK:           llvm.fpext %{{.*}} : f16 to f32
// CHECK:           llvm.call @__nv_expf
// CHECK:           llvm.fptrunc %{{.*}} : f32 to f16
// CHECK:           llvm.call @__nv_exp(
// CHECK:       func.func @host
// CHECK:         math.exp
gpu.module @device {
  func.func @kernel_0_0(%x: !llvm.ptr<1>, %n: index) attributes {tw.device, tw.threads = 256 : i64} {
    %i = nvvm.read.ptx.sreg.tid.x : i32
    %single = llvm.load %x : !llvm.ptr<1> -> f32
    %half = llvm.load %x : !llvm.ptr<1> -> f16
    %double = llvm.load %x : !llvm.ptr<1> -> f64
    %a = math.exp %single : f32
    %b = math.exp %half : f16
    %c = math.exp %double : f64
    llvm.store %a, %x : f32, !llvm.ptr<1>
    llvm.store %b, %x : f16, !llvm.ptr<1>
    llvm.store %c, %x : f64, !llvm.ptr<1>
    return
  }
}
func.func @host(%x: f32) -> f32 {
  %y = math.exp %x : f32
  return %y : f32
}
