//===- RowSteps.h - In which steps a loop over rows treats a row -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CPU_ROWSTEPS_H
#define TILEWRIGHT_TARGETS_CPU_ROWSTEPS_H

#include "Targets/Cpu/Cpu.h"

namespace tilewright::overlap {

/// An operation in the body of the loop over rows.
struct Member {
  mlir::Operation *op;
  bool walk = false;       ///< a loop along the row, with the bounds of all others
  bool everywhere = false; ///< cheap and the same in every stage: constants, indices, views
  bool after = false;      ///< it waits for a walk of its own stage
  int64_t stage = 0;       ///< so many iterations after its row's first is it executed
};

/// A value that later stages use: in iterations up to `rows` after that of its own stage.
struct Carried {
  mlir::Value value;
  int64_t stage, rows;
};

/// A buffer that holds something of the current row: of as many rows as are under way between `stage` and its last use.
struct Ring {
  mlir::Value buffer;
  int64_t stage, rows;
};

/// The steps of a row: operations of a stage use what stages before it found for the same row, and memory keeps its
/// order.
struct RowSteps {
  mlir::scf::ForOp rows;
  mlir::scf::ForOp model;             ///< a walk whose bounds, which all have, are known outside of `rows`
  llvm::SmallVector<Member> members;  ///< in the order of the body
  llvm::SmallVector<Carried> carried; ///< by stage
  llvm::SmallVector<Ring> rings;
  llvm::DenseMap<mlir::Operation *, mlir::Value>
      forwarded; ///< reads of a walk, and what another of the stage wrote there
  int64_t stages = 1;

  /// Whether a loop has several loops in its body, and those none: no two such loops lie in each other.
  static bool mayHave(mlir::scf::ForOp rows);
  /// The steps of a loop with walks in at least two stages; none where that cannot be told, or iterations depend on each
  /// other.
  static std::optional<RowSteps> of(mlir::scf::ForOp rows);
};

} // namespace tilewright::overlap

#endif // TILEWRIGHT_TARGETS_CPU_ROWSTEPS_H
