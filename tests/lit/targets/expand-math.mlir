// RUN: tw-opt %s --tw-expand-math --split-input-file | FileCheck %s

// float32 becomes arithmetic, for scalars and vectors alike; no call.
// CHECK-LABEL: func @f32
// CHECK-NOT:     math.exp
// CHECK-NOT:     call
// CHECK:         math.fma {{.*}} : vector<16xf32>
// CHECK-NOT:     math.tanh
// CHECK:         math.fma {{.*}} : f32
func.func @f32(%v: vector<16xf32>, %s: f32) -> (vector<16xf32>, f32) {
  %e = math.exp %v : vector<16xf32>
  %t = math.tanh %s : f32
  return %e, %t : vector<16xf32>, f32
}

// -----

// Far arguments of periodic functions go to the C library, all lanes together.
// CHECK-LABEL: func @periodic
// CHECK:         %[[FAR:.*]] = vector.reduction <or>
// CHECK:         scf.if %[[FAR]]
// CHECK-COUNT-4:   call @sinf
// CHECK:         } else {
// CHECK-NOT:       call
// CHECK:         return
func.func @periodic(%v: vector<4xf32>) -> vector<4xf32> {
  %s = math.sin %v : vector<4xf32>
  return %s : vector<4xf32>
}

// -----

// float64 is the C library's; half precision computes in float32; one instruction stays one.
// CHECK-LABEL: func @others
// CHECK:         call @exp(%{{.*}}) : (f64) -> f64
// CHECK:         arith.extf %{{.*}} : bf16 to f32
// CHECK-NOT:     math.erf
// CHECK:         arith.truncf %{{.*}} : f32 to bf16
// CHECK:         math.floor
func.func @others(%d: f64, %b: bf16, %f: f32) -> (f64, bf16, f32) {
  %e = math.exp %d : f64
  %r = math.erf %b : bf16
  %l = math.floor %f : f32
  return %e, %r, %l : f64, bf16, f32
}

// -----

// CHECK-LABEL: func @square
// CHECK:         %[[S:.*]] = arith.mulf %[[X:.*]], %[[X]]
// CHECK:         return %[[S]]
func.func @square(%x: f32) -> f32 {
  %two = arith.constant 2.0 : f32
  %p = math.powf %x, %two : f32
  return %p : f32
}

// -----

// AVX-512 multiplies by a power of two in one instruction; without it two factors do.
// CHECK-LABEL: module attributes {tw.target
// CHECK:         llvm.call_intrinsic "llvm.x86.avx512.mask.scalef.ps.512"
// CHECK:         func @narrow
// CHECK:         arith.shrsi
module attributes {tw.target = #tw.target<kind = "cpu", cpu = "skylake-avx512", features = "+avx512f,+avx512vl", facts = {vector_bits = 512 : i64}>} {
  func.func @wide(%v: vector<16xf32>) -> vector<16xf32> {
    %e = math.exp %v : vector<16xf32>
    return %e : vector<16xf32>
  }
  func.func @narrow(%s: f32) -> f32 {
    %e = math.exp %s : f32
    return %e : f32
  }
}
