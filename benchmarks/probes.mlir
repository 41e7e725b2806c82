// The two kernels that measure this machine's ceilings. They are written in the dialect of the last stage, so that what
// they reach is the hardware's limit and not that of a pass. benchmarks/machine.py fills in the vector width and emits
// them with the same code generator as any other kernel.
//
// Both have the ABI of compiled code: (runtime table, inputs, outputs, scratch) -> status.

// Adds chains of fused multiply-adds that never leave the registers: @ITERATIONS@ rounds of @ACCUMULATORS@ FMAs.
llvm.func @fma(%rt: !llvm.ptr, %in: !llvm.ptr, %out: !llvm.ptr, %scratch: !llvm.ptr) -> i32 {
  %zero = llvm.mlir.constant(0 : i64) : i64
  %one = llvm.mlir.constant(1 : i64) : i64
  %status = llvm.mlir.constant(0 : i32) : i32
  %count = llvm.mlir.constant(@ITERATIONS@ : i64) : i64
  %x_data = llvm.load %in : !llvm.ptr -> !llvm.ptr
  %y_data = llvm.load %out : !llvm.ptr -> !llvm.ptr
  %x = llvm.load %x_data {alignment = 4 : i64} : !llvm.ptr -> vector<@LANES@xf32>
  llvm.br ^loop(%zero, @INIT@ : i64, @TYPES@)
^loop(%i: i64, @ARGUMENTS@):
  @FMAS@
  %next = llvm.add %i, %one : i64
  %more = llvm.icmp "ult" %next, %count : i64
  llvm.cond_br %more, ^loop(%next, @RESULTS@ : i64, @TYPES@), ^done(@RESULTS@ : @TYPES@)
^done(@SUMMANDS@):
  @SUM@
  llvm.store %total, %y_data {alignment = 4 : i64} : vector<@LANES@xf32>, !llvm.ptr
  llvm.return %status : i32
}

// Reads an array once: as many loads a round as there are accumulators.
llvm.func @read(%rt: !llvm.ptr, %in: !llvm.ptr, %out: !llvm.ptr, %scratch: !llvm.ptr) -> i32 {
  %zero = llvm.mlir.constant(0 : i64) : i64
  %step = llvm.mlir.constant(@STEP@ : i64) : i64
  %status = llvm.mlir.constant(0 : i32) : i32
  %null = llvm.mlir.constant(dense<0.0> : vector<@LANES@xf32>) : vector<@LANES@xf32>
  %x_data = llvm.load %in : !llvm.ptr -> !llvm.ptr
  %y_data = llvm.load %out : !llvm.ptr -> !llvm.ptr
  %dims_at = llvm.getelementptr %in[8] : (!llvm.ptr) -> !llvm.ptr, i8
  %dims = llvm.load %dims_at : !llvm.ptr -> !llvm.ptr
  %size = llvm.load %dims : !llvm.ptr -> i64
  llvm.br ^loop(%zero, @NULLS@ : i64, @TYPES@)
^loop(%i: i64, @ARGUMENTS@):
  @LOADS@
  %next = llvm.add %i, %step : i64
  %more = llvm.icmp "ult" %next, %size : i64
  llvm.cond_br %more, ^loop(%next, @RESULTS@ : i64, @TYPES@), ^done(@RESULTS@ : @TYPES@)
^done(@SUMMANDS@):
  @SUM@
  llvm.store %total, %y_data {alignment = 4 : i64} : vector<@LANES@xf32>, !llvm.ptr
  llvm.return %status : i32
}
