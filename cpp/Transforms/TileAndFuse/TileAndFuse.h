//===- TileAndFuse.h - Tile kernels as their configs say --------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_TILEANDFUSE_H
#define TILEWRIGHT_TRANSFORMS_TILEANDFUSE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/TileAndFuse/TileAndFuse.h.inc"
/// Ends reductions in the tiles of a kernel where a mask of the same tile lets
/// nothing of the rest through.
mlir::LogicalResult skipMasked(mlir::func::FuncOp function);
/// Copies the operands that `tw.pack` numbers, once per workgroup tile.
void packOperands(mlir::func::FuncOp function);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_TILEANDFUSE_H
