//===- FragmentAttention.h - Scores in fragments of tensor cores -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_FRAGMENTATTENTION_H
#define TILEWRIGHT_TARGETS_CUDA_FRAGMENTATTENTION_H

#include "Targets/Cuda/AttentionEmitter.h"

namespace tilewright::cuda {

/// Rows of queries that a warp has; columns of a fragment, and how deep a product with one is.
inline constexpr int64_t kWarpRows = 16, kStepColumns = 8, kStepDepth = 16;

/// Attention whose scores and results lie in fragments of m16n8, as `mma.sync` and `wgmma` leave sums ("Matrix Fragments for
/// mma.m16n8k16" of the PTX ISA): of each, a lane has two neighbours of a row and two of the row eight below.
class FragmentAttention : public AttentionEmitter {
public:
  using AttentionEmitter::AttentionEmitter;

protected:
  /// What a thread knows of the rows that it has a part of.
  struct State {
    Values sums;            ///< fragments of the result
    Values highest, totals; ///< per row: the maximum so far, the lane's part of the sum
  };

  /// Decides which rows a block has, so many, and its warps, sixteen each.
  void beginWarps(int64_t rows);
  /// Goes along the keys up to `end`, so many at a time: `body` returns what it knows then, and what else is
  /// carried on.
  State alongKeys(Value end, int64_t step, mlir::ValueRange carried,
                  llvm::function_ref<std::pair<State, Values>(State, Value first, mlir::ValueRange)> body);
  /// Makes weights of scores, the first of the warp's rows and key `first`: the user's formulas, the exponential of the
  /// difference from the maximum so far, which `state` learns. Returns what earlier sums are to be multiplied with, per row.
  Values weigh(State &state, Values &scores, Value first);
  /// Scales what was summed up under a lower maximum.
  void rescale(State &state, const Values &factors);
  /// Weights in the type of the values: a left factor of sixteen rows, the depth from key number `key` on.
  Values leftFactor(const Values &weights, int64_t key);
  /// The results: sums divided by the sum of the weights.
  Values results(const State &state);

  Value rowStart; ///< the warp's first row

private:
  Value acrossQuad(Value value, bool isSum);
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_FRAGMENTATTENTION_H
