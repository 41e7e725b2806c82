// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @dequantize_c1(%s: tensor<4x2x16xui8>, %d: tensor<4x2xf16>) {
  // expected-error @+1 {{(c1) there is no format}}
  %0 = tw.dequantize %s, %d format = <name = "q2_k", group = 32> : (tensor<4x2x16xui8>, tensor<4x2xf16>) -> tensor<4x64xf32>
  return
}

// -----

func.func @dequantize_c2(%s: tensor<4x2x16xi8>, %d: tensor<4x2xf16>) {
  // expected-error @+1 {{(c2) storage}}
  %0 = tw.dequantize %s, %d format = <name = "q4_0", group = 32> : (tensor<4x2x16xi8>, tensor<4x2xf16>) -> tensor<4x64xf32>
  return
}

// -----

func.func @dequantize_c2_scales(%s: tensor<4x2x16xui8>, %d: tensor<4x3xf16>) {
  // expected-error @+1 {{(c2) scales}}
  %0 = tw.dequantize %s, %d format = <name = "q4_0", group = 32> : (tensor<4x2x16xui8>, tensor<4x3xf16>) -> tensor<4x64xf32>
  return
}

// -----

func.func @dequantize_c3(%s: tensor<4x2x16xui8>, %d: tensor<4x2xf16>) {
  // expected-error @+1 {{(c3) mins are missing}}
  %0 = tw.dequantize %s, %d format = <name = "q4_1", group = 32> : (tensor<4x2x16xui8>, tensor<4x2xf16>) -> tensor<4x64xf32>
  return
}

// -----

func.func @dequantize_c4(%s: tensor<4x2x16xui8>, %d: tensor<4x2xf16>) {
  // expected-error @+1 {{(c4) the result must be a matrix}}
  %0 = tw.dequantize %s, %d format = <name = "q4_0", group = 32> : (tensor<4x2x16xui8>, tensor<4x2xf16>) -> tensor<4x?xf32>
  return
}

// -----

func.func @dequantize_c2_q6_k(%s: tensor<4x2x96xui8>, %d: tensor<4x8xf32>) {
  // expected-error @+1 {{(c2) scales}}
  %0 = tw.dequantize %s, %d format = <name = "q6_k", group = 16> : (tensor<4x2x96xui8>, tensor<4x8xf32>) -> tensor<4x256xf32>
  return
}

// -----

func.func @dequantize_c5(%s: tensor<4x64xi8>, %d: tensor<4xf32>) {
  // expected-error @+1 {{(c5) 64 columns are no groups of 48}}
  %0 = tw.dequantize %s, %d format = <name = "int8", group = 48> : (tensor<4x64xi8>, tensor<4xf32>) -> tensor<4x64xf32>
  return
}
