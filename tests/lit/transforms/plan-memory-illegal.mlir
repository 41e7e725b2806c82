// RUN: tw-opt %s --tw-plan-memory --verify-diagnostics --split-input-file

// expected-error @+1 {{has no shape function}}
func.func @main(%x: memref<4xf32>) attributes {tw.host} {
  return
}

// -----

func.func private @use(memref<4xf32, strided<[2]>>)
func.func @main(%x: memref<4xf32>) attributes {tw.host} {
  // expected-error @+1 {{cannot be planned}}
  %a = memref.alloc() : memref<4xf32, strided<[2]>>
  call @use(%a) : (memref<4xf32, strided<[2]>>) -> ()
  return
}
func.func @shapes(%x: memref<4xf32>) attributes {tw.shapes} {
  return
}
