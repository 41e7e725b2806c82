// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @quantize_c1(%x: tensor<4x64xf32>) {
  // expected-error @+1 {{(c1) cannot quantise to}}
  %0, %1 = tw.quantize %x format = <name = "q4_k", group = 32> : tensor<4x64xf32> -> tensor<4x2x32xi8>, tensor<4x2xf16>
  return
}

// -----

func.func @quantize_c2(%x: tensor<64xf32>) {
  // expected-error @+1 {{(c2) the input must be a matrix}}
  %0, %1 = tw.quantize %x format = <name = "q8_0", group = 32> : tensor<64xf32> -> tensor<2x32xi8>, tensor<2xf16>
  return
}

// -----

func.func @quantize_c3(%x: tensor<4x64xf32>) {
  // expected-error @+2 {{(c2) storage}}
  // expected-error @+1 {{(c3) the planes do not fit the format}}
  %0, %1 = tw.quantize %x format = <name = "q8_0", group = 32> : tensor<4x64xf32> -> tensor<4x3x32xi8>, tensor<4x2xf16>
  return
}

// -----

func.func @quantize_c4_missing(%x: tensor<4x64xf32>) {
  // expected-error @+1 {{(c4) mins are given for q4_1 only}}
  %0, %1 = tw.quantize %x format = <name = "q4_1", group = 32> : tensor<4x64xf32> -> tensor<4x2x16xui8>, tensor<4x2xf16>
  return
}

// -----

func.func @quantize_c4_superfluous(%x: tensor<4x64xf32>) {
  // expected-error @+1 {{(c4) mins are given for q4_1 only}}
  %0, %1, %2 = tw.quantize %x format = <name = "q4_0", group = 32>
    : tensor<4x64xf32> -> tensor<4x2x16xui8>, tensor<4x2xf16>, tensor<4x2xf16>
  return
}
