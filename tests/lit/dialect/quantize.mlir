// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @quantize
// CHECK: tw.quantize %{{.*}} format = <name = "q8_0", group = 32> : tensor<?x64xf32> -> tensor<?x2x32xi8>, tensor<?x2xf16>
// CHECK: tw.quantize %{{.*}} format = <name = "q4_1", group = 32> : tensor<?x64xf32> -> tensor<?x2x16xui8>, tensor<?x2xf16>, tensor<?x2xf16>
func.func @quantize(%x: tensor<?x64xf32>) {
  %0, %1 = tw.quantize %x format = <name = "q8_0", group = 32> : tensor<?x64xf32> -> tensor<?x2x32xi8>, tensor<?x2xf16>
  %2, %3, %4 = tw.quantize %x format = <name = "q4_1", group = 32>
    : tensor<?x64xf32> -> tensor<?x2x16xui8>, tensor<?x2xf16>, tensor<?x2xf16>
  return
}
