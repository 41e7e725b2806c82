// RUN: tw-opt %s --tw-expand-float8 | FileCheck %s

// Normal numbers get the other bias, small ones are integers times the smallest; the last code is the only NaN.
// CHECK-LABEL: func @widen
// CHECK-SAME:    (%[[X:.*]]: f8E4M3FN
// CHECK-DAG:     %[[LEAST:.*]] = arith.constant 0.001953125 : f32
// CHECK-DAG:     %[[LAST:.*]] = arith.constant 127 : i32
// CHECK:         %[[BYTE:.*]] = arith.bitcast %[[X]] : f8E4M3FN to i8
// CHECK:         arith.extui %[[BYTE]] : i8 to i32
// CHECK:         arith.mulf %{{.*}}, %[[LEAST]] : f32
// CHECK:         arith.cmpi uge, %{{.*}}, %[[LAST]] : i32
// CHECK-NOT:     arith.extf
// CHECK:         arith.bitcast %{{.*}} : i32 to f32
func.func @widen(%x: f8E4M3FN) -> f32 {
  %y = arith.extf %x : f8E4M3FN to f32
  return %y : f32
}

// Half-precision types hold all values: they come last, or first.
// CHECK-LABEL: func @halves
// CHECK:         %[[WIDE:.*]] = arith.bitcast %{{.*}} : vector<8xi32> to vector<8xf32>
// CHECK:         arith.truncf %[[WIDE]] : vector<8xf32> to vector<8xbf16>
// CHECK:         arith.extf %{{.*}} : vector<8xf16> to vector<8xf32>
// CHECK:         arith.trunci %{{.*}} : vector<8xi32> to vector<8xi8>
func.func @halves(%x: vector<8xf8E5M2>, %y: vector<8xf16>) -> (vector<8xbf16>, vector<8xf8E5M2>) {
  %a = arith.extf %x : vector<8xf8E5M2> to vector<8xbf16>
  %b = arith.truncf %y : vector<8xf16> to vector<8xf8E5M2>
  return %a, %b : vector<8xbf16>, vector<8xf8E5M2>
}

// float64 goes by way of float32. What is too large for a type with infinity becomes that.
// CHECK-LABEL: func @wide
// CHECK-DAG:     %[[INFINITY:.*]] = arith.constant 124 : i32
// CHECK:         arith.truncf %{{.*}} : f64 to f32
// CHECK:         arith.minsi %{{.*}}, %[[INFINITY]] : i32
// CHECK:         arith.bitcast %{{.*}} : i8 to f8E5M2
func.func @wide(%x: f64) -> f8E5M2 {
  %y = arith.truncf %x : f64 to f8E5M2
  return %y : f8E5M2
}

// Must not fire: other types.
// CHECK-LABEL: func @others
// CHECK:         arith.extf %{{.*}} : f16 to f32
// CHECK-NEXT:    arith.truncf %{{.*}} : f32 to bf16
func.func @others(%x: f16) -> bf16 {
  %a = arith.extf %x : f16 to f32
  %b = arith.truncf %a : f32 to bf16
  return %b : bf16
}
