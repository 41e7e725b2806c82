//===- Cpu.h - From buffers to code of the host CPU -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CPU_H
#define TILEWRIGHT_TARGETS_CPU_H

#include "TwRt/TwRtDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Targets/Cpu/Cpu.h.inc"

/// Whether all elements of `type` lie one after the other in memory, as far as the type tells.
bool isContiguous(mlir::MemRefType type, int64_t fromDim = 0);

/// Adds the lowering of `rt.group_dot`, and of the addition of its result, to one instruction.
void populateGroupDotPatterns(mlir::RewritePatternSet &patterns);

/// Adds the description of expanded buffers with several dynamic sizes in a group by sizes and strides.
void populateExpandedShapePatterns(mlir::RewritePatternSet &patterns);

/// What arithmetic may count on beyond what every CPU has.
struct CpuFeatures {
  bool avx512 = false; ///< with the 128- and 256-bit forms
};

/// Adds the expansions of float32 functions into arithmetic.
void populateFloatFunctionPatterns(mlir::RewritePatternSet &patterns, CpuFeatures features);

/// Adds the patterns that make floats of four-bit integers by looking them up.
void populateTableLookupPatterns(mlir::RewritePatternSet &patterns, CpuFeatures features);

} // namespace tilewright

#endif // TILEWRIGHT_TARGETS_CPU_H
