// RUN: tw-opt %s --tw-to-linalg | FileCheck %s

// Signedness lives in the type of the operation and picks the arithmetic; the result is signless, the signature too.
// CHECK-LABEL: func.func @unsigned(
// CHECK-SAME: tensor<?x4xi8>
// CHECK: linalg.generic
// CHECK: arith.maxui
// CHECK-NOT: unrealized_conversion_cast
func.func @unsigned(%a: tensor<?x4xui8>) -> tensor<?x4xui8> {
  %0 = tw.max %a, %a : tensor<?x4xui8>
  return %0 : tensor<?x4xui8>
}

// CHECK-LABEL: func.func @signed
// CHECK: arith.maxsi
func.func @signed(%a: tensor<4xi8>) -> tensor<4xi8> {
  %0 = tw.max %a, %a : tensor<4xi8>
  return %0 : tensor<4xi8>
}

// A formula of several steps is computed in f32 and rounded once.
// CHECK-LABEL: func.func @half
// CHECK: arith.extf {{.*}} f16 to f32
// CHECK: math.exp {{.*}} fastmath<contract> : f32
// CHECK: arith.truncf {{.*}} f32 to f16
func.func @half(%a: tensor<4xf16>) -> tensor<4xf16> {
  %0 = tw.silu %a : tensor<4xf16>
  return %0 : tensor<4xf16>
}

// Division by zero does not reach the machine instruction.
// CHECK-LABEL: func.func @divide
// CHECK: %[[DIVISOR:.*]] = arith.select
// CHECK: arith.divsi %{{.*}}, %[[DIVISOR]]
func.func @divide(%a: tensor<4xi32>) -> tensor<4xi32> {
  %0 = tw.floor_div %a, %a : tensor<4xi32>
  return %0 : tensor<4xi32>
}

// CHECK-LABEL: func.func @constants
// CHECK: arith.constant dense<[1, -56]> : tensor<2xi8>
func.func @constants() -> tensor<2xui8> {
  %0 = arith.constant dense<[1, 200]> : tensor<2xui8>
  return %0 : tensor<2xui8>
}

// 8-bit floats are bytes but where they are converted; between kinds by way of float32.
// CHECK-LABEL: func.func @float8
// CHECK-SAME:    (%{{.*}}: tensor<4xi8>) -> (tensor<4xi8>, tensor<4xbf16>, tensor<4xi8>, tensor<2xi8>)
// CHECK:         %[[X:.*]] = arith.bitcast %{{.*}} : i8 to f8E4M3FN
// CHECK-NEXT:    %[[WIDE:.*]] = arith.extf %[[X]] {{.*}}: f8E4M3FN to f32
// CHECK-NEXT:    %[[Y:.*]] = arith.truncf %[[WIDE]] {{.*}}: f32 to f8E5M2
// CHECK-NEXT:    arith.bitcast %[[Y]] : f8E5M2 to i8
// CHECK:         arith.extf %{{.*}} : f8E4M3FN to bf16
// CHECK:         arith.constant dense<[56, -72]> : tensor<2xi8>
func.func @float8(%x: tensor<4xf8E4M3FN>) -> (tensor<4xf8E5M2>, tensor<4xbf16>, tensor<4xf8E4M3FN>, tensor<2xf8E4M3FN>) {
  %0 = tw.cast %x : tensor<4xf8E4M3FN> to tensor<4xf8E5M2>
  %1 = tw.cast %x : tensor<4xf8E4M3FN> to tensor<4xbf16>
  %2 = tw.flip %x axes = [0] : tensor<4xf8E4M3FN>
  %3 = arith.constant dense<[1.0, -1.0]> : tensor<2xf8E4M3FN>
  return %0, %1, %2, %3 : tensor<4xf8E5M2>, tensor<4xbf16>, tensor<4xf8E4M3FN>, tensor<2xf8E4M3FN>
}
