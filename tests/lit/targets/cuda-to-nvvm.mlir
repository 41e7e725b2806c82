// RUN: tw-opt %s --tw-cuda-to-nvvm --split-input-file | FileCheck %s

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

// -----

// From sm_90 on, a kernel waits for the one before it in its own code: after what needs no memory, before all that does. Then the
// next one may begin.
// CHECK-LABEL: llvm.func @early
// CHECK-SAME:    tw.overlap
// CHECK:         nvvm.read.ptx.sreg.tid.x
// CHECK:         llvm.getelementptr
// CHECK-NEXT:    llvm.inline_asm has_side_effects {{.*}}"griddepcontrol.wait;", "~{memory}"
// CHECK-NEXT:    llvm.inline_asm has_side_effects {{.*}}"griddepcontrol.launch_dependents;", "~{memory}"
// CHECK-NEXT:    llvm.load
// CHECK-LABEL: llvm.func @branch
// CHECK:         "griddepcontrol.wait;"
// CHECK:         llvm.cond_br
module attributes {tw.target = #tw.target<kind = "cuda", cpu = "sm_90", features = "+ptx78", facts = {capability = 90 : i64}>} {
  gpu.module @device {
    func.func @early(%x: !llvm.ptr<1>) attributes {tw.device, tw.threads = 256 : i64} {
      %i = nvvm.read.ptx.sreg.tid.x : i32
      %at = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      %value = llvm.load %at : !llvm.ptr<1> -> f32
      llvm.store %value, %x : f32, !llvm.ptr<1>
      return
    }
    func.func @branch(%x: !llvm.ptr<1>, %is: i1, %value: f32) attributes {tw.device, tw.threads = 256 : i64} {
      cf.cond_br %is, ^write, ^end
    ^write:
      llvm.store %value, %x : f32, !llvm.ptr<1>
      cf.br ^end
    ^end:
      return
    }
  }
}

// -----

// CHECK-LABEL: llvm.func @older
// CHECK-NOT:     griddepcontrol
module attributes {tw.target = #tw.target<kind = "cuda", cpu = "sm_80", features = "+ptx70", facts = {capability = 80 : i64}>} {
  gpu.module @device {
    func.func @older(%x: !llvm.ptr<1>) attributes {tw.device, tw.threads = 256 : i64} {
      %value = llvm.load %x : !llvm.ptr<1> -> f32
      llvm.store %value, %x : f32, !llvm.ptr<1>
      return
    }
  }
}
