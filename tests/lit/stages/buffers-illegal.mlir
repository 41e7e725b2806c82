// RUN: tw-opt %s --verify-diagnostics --tw-verify-stage

module attributes {tw.stage = "buffers"} {
  func.func @main() attributes {tw.host} {
    // expected-error @+1 {{is illegal at stage 'buffers': memory is planned}}
    %a = memref.alloc() : memref<4xf32>
    // expected-error @+1 {{is illegal at stage 'buffers': tensors are buffers by now}}
    %e = tensor.empty() : tensor<4xf32>
    return
  }
}
