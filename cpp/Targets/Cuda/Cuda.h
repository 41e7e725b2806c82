//===- Cuda.h - From buffers to code of a GPU -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_H
#define TILEWRIGHT_TARGETS_CUDA_H

#include "TwRt/TwRtDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Targets/Cuda/Cuda.h.inc"

namespace cuda {
/// How a computation is spread over threads (`tw.lowering`).
inline constexpr llvm::StringLiteral kPoints = "points"; ///< a thread per result
inline constexpr llvm::StringLiteral kRows = "rows";     ///< a group of threads per row, for several computations
inline constexpr llvm::StringLiteral kRuns = "runs";     ///< a group of threads per row, for a running total
inline constexpr llvm::StringLiteral kTiles = "tiles";   ///< a block per tile of a product
inline constexpr llvm::StringLiteral kDots = "dots";     ///< the same for few rows, which stay in registers
inline constexpr llvm::StringLiteral kMma = "mma";       ///< the same on tensor cores
inline constexpr llvm::StringLiteral kWgmma = "wgmma";   ///< the same by warpgroups, with copies by the TMA
/// A block per some rows, for two products and the softmax between them: on tensor cores, the same by warpgroups, or by fused
/// multiply-adds.
inline constexpr llvm::StringLiteral kAttention = "attention", kWarpgroupAttention = "warpgroup_attention",
                                     kPlainAttention = "plain_attention";

/// The numbers that go with it (`tw.tile`), as select wrote them into the config's `tile`.
llvm::SmallVector<int64_t> tileOf(mlir::Operation *op);
} // namespace cuda

} // namespace tilewright

#endif // TILEWRIGHT_TARGETS_CUDA_H
