//===- KnownDivisor.h - What an index is a multiple of -----------*- C++
//-*-===//
#ifndef TILEWRIGHT_TRANSFORMS_PEEL_KNOWNDIVISOR_H
#define TILEWRIGHT_TRANSFORMS_PEEL_KNOWNDIVISOR_H

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace tilewright {

/// A number that divides `index` whatever its value is; 0 for the constant 0,
/// which everything divides, and 1 where nothing is known.
int64_t knownDivisor(mlir::OpFoldResult index);

/// Whether the loop's last trip is known to be as long as the others.
bool dividesEvenly(mlir::scf::ForOp loop);

/// What the loop's trips leave of its range, where that is one known number or
/// nothing: 4 for tiles of 12 in groups of 168 out of 1000.
std::optional<int64_t> knownRemainder(mlir::scf::ForOp loop);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_PEEL_KNOWNDIVISOR_H
