// RUN: tw-opt %s --tw-outputs-to-arguments --verify-diagnostics --split-input-file

// expected-error @+1 {{returns a buffer that is not its destination}}
func.func private @kernel_0(%x: memref<4xf32>) -> memref<4xf32> attributes {tw.kernel} {
  %a = memref.alloc() : memref<4xf32>
  return %a : memref<4xf32>
}

// -----

func.func @main(%n: index) -> index attributes {tw.host} {
  // expected-error @+1 {{returns 'index', expected buffers only}}
  return %n : index
}
