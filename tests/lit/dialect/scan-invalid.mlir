// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @scan_c1(%a: tensor<f32>, %xs: tensor<f32>) {
  // expected-error @+1 {{has no leading dimension}}
  %0:2 = tw.scan init(%a) over(%xs) : (tensor<f32>), (tensor<f32>) -> tensor<f32>, tensor<4xf32> {
  ^bb0(%c: tensor<f32>, %x: tensor<f32>):
    tw.yield %c, %x : tensor<f32>, tensor<f32>
  }
  return
}

// -----

func.func @scan_c2(%a: tensor<f32>, %xs: tensor<4xf32>) {
  // expected-error @+1 {{(c2) the body must take}}
  %0:2 = tw.scan init(%a) over(%xs) : (tensor<f32>), (tensor<4xf32>) -> tensor<f32>, tensor<4xf32> {
  ^bb0(%c: tensor<f32>, %x: tensor<1xf32>):
    tw.yield %c, %c : tensor<f32>, tensor<f32>
  }
  return
}

// -----

func.func @scan_c3(%a: tensor<f32>, %xs: tensor<4xf32>) {
  // expected-error @+1 {{(c3) the body must yield}}
  %0:2 = tw.scan init(%a) over(%xs) : (tensor<f32>), (tensor<4xf32>) -> tensor<f32>, tensor<4x2xf32> {
  ^bb0(%c: tensor<f32>, %x: tensor<f32>):
    tw.yield %c, %x : tensor<f32>, tensor<f32>
  }
  return
}

// -----

func.func @scan_c4(%a: tensor<f32>, %xs: tensor<4xf32>) {
  // expected-error @+1 {{(c4) 'tensor<5xf32>' does not stack slices}}
  %0:2 = tw.scan init(%a) over(%xs) : (tensor<f32>), (tensor<4xf32>) -> tensor<f32>, tensor<5xf32> {
  ^bb0(%c: tensor<f32>, %x: tensor<f32>):
    tw.yield %c, %x : tensor<f32>, tensor<f32>
  }
  return
}
