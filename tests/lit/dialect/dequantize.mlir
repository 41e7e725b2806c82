// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @dequantize
// CHECK: tw.dequantize %{{.*}}, %{{.*}} format = <name = "q4_0", group = 32> : (tensor<?x2x16xui8>, tensor<?x2xf16>) -> tensor<?x64xf32>
func.func @dequantize(%s: tensor<?x2x16xui8>, %d: tensor<?x2xf16>, %b: tensor<8x64xi8>, %z: tensor<8xi8>, %c: tensor<8xf32>, %k: tensor<?x4x32xui8>, %e: tensor<?x8xf32>, %n: tensor<3x32xui8>, %t: tensor<3x4xf32>) {
  %0 = tw.dequantize %s, %d format = <name = "q4_0", group = 32> : (tensor<?x2x16xui8>, tensor<?x2xf16>) -> tensor<?x64xf32>
  %1 = tw.dequantize %s, %d, %d format = <name = "q4_1", group = 32> : (tensor<?x2x16xui8>, tensor<?x2xf16>, tensor<?x2xf16>) -> tensor<?x64xf16>
  %2 = tw.dequantize %b, %c, %z format = <name = "int8", group = 0> : (tensor<8x64xi8>, tensor<8xf32>, tensor<8xi8>) -> tensor<8x64xf32>
  %3 = tw.dequantize %k, %e, %e format = <name = "q4_k", group = 32> : (tensor<?x4x32xui8>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x256xf32>
  %4 = tw.dequantize %n, %t format = <name = "int4", group = 16> : (tensor<3x32xui8>, tensor<3x4xf32>) -> tensor<3x64xf32>
  return
}

// CHECK-LABEL: func.func @more_bits
// CHECK: format = <name = "q5_1"
// CHECK: format = <name = "q5_k"
// CHECK: format = <name = "q6_k"
func.func @more_bits(%a: tensor<?x2x20xui8>, %b: tensor<?x2xf16>, %c: tensor<?x1x160xui8>, %d: tensor<?x8xf32>, %e: tensor<?x2x96xui8>, %f: tensor<?x16xf32>) {
  %0 = tw.dequantize %a, %b, %b format = <name = "q5_1", group = 32> : (tensor<?x2x20xui8>, tensor<?x2xf16>, tensor<?x2xf16>) -> tensor<?x64xf32>
  %1 = tw.dequantize %c, %d, %d format = <name = "q5_k", group = 32> : (tensor<?x1x160xui8>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x256xf32>
  %2 = tw.dequantize %e, %f format = <name = "q6_k", group = 16> : (tensor<?x2x96xui8>, tensor<?x16xf32>) -> tensor<?x256xf32>
  return
}
