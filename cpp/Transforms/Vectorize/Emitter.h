//===- Emitter.h - Builds the vector loops of one nest -----------*- C++
//-*-===//
#ifndef TILEWRIGHT_TRANSFORMS_VECTORIZE_EMITTER_H
#define TILEWRIGHT_TRANSFORMS_VECTORIZE_EMITTER_H

#include "Transforms/Vectorize/Nest.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

#include <functional>

namespace tilewright::vectorize {

using Indices = llvm::SmallVector<mlir::OpFoldResult>;
using Values = llvm::SmallVector<mlir::Value>;

/// Index arithmetic that folds constants while it builds. All indices are
/// non-negative.
class IndexMath {
public:
  IndexMath(mlir::OpBuilder &b, mlir::Location loc) : b(b), loc(loc) {}

  mlir::OpFoldResult constant(int64_t value) { return b.getIndexAttr(value); }
  mlir::Value value(mlir::OpFoldResult ofr);
  Values values(llvm::ArrayRef<mlir::OpFoldResult> ofrs);
  mlir::OpFoldResult add(mlir::OpFoldResult lhs, mlir::OpFoldResult rhs);
  mlir::OpFoldResult sub(mlir::OpFoldResult lhs, mlir::OpFoldResult rhs);
  mlir::OpFoldResult roundDown(mlir::OpFoldResult value, int64_t multiple);
  /// The value of `expr` at the given loop indices.
  mlir::OpFoldResult evaluate(mlir::AffineExpr expr, llvm::ArrayRef<mlir::OpFoldResult> loops);

private:
  mlir::OpBuilder &b;
  mlir::Location loc;
};

/// One point of the register tile: where it is in every loop, and how many
/// lanes it has (1: scalar code).
struct Point {
  Indices index;
  int64_t width = 1;
  mlir::Value mask; // lanes that are there; null for all
  int64_t row = 0;  // which of the rows that are taken together
};

/// A piece of the lane loop: the first lane's index, the width, the mask.
struct Slot {
  mlir::OpFoldResult base;
  int64_t width;
  mlir::Value mask;
};

/// Vectors of one register tile: what AVX-512 has registers for.
inline constexpr int64_t kMaxTileVectors = 32;
/// Parallel loops around the lanes that are unrolled together.
inline constexpr int64_t kMaxOuterPoints = 16;
/// A reduction loop of so few steps is unrolled.
inline constexpr int64_t kMaxUnrolledTrips = 4;
/// Two FMA units of four cycles latency are busy with so many independent
/// accumulators.
inline constexpr int64_t kWantedAccumulators = 8;
/// Rows that are taken together where their number is not known.
inline constexpr int64_t kBlockedRows = 4;
/// Reductions over more elements than this are reduced one result at a time.
inline constexpr int64_t kLongRow = 4096;

class Emitter {
public:
  Emitter(mlir::RewriterBase &b, const Nest &nest);

  /// Builds everything at the builder's place and returns the op's results.
  Values emit();

private:
  using LoopBody = std::function<Values(mlir::OpFoldResult, Values)>;
  using PointStep = std::function<Values(const Indices &, Values)>;

  // Loops.
  void chooseTile();
  /// The loop along which the results of a reduction over lanes lie in memory,
  /// if as many of them as there are lanes should be computed together.
  std::optional<unsigned> findResultLoop();
  Values loop(mlir::OpFoldResult lo, mlir::OpFoldResult hi, int64_t step, Values carried, const LoopBody &body);
  Values loopNest(llvm::ArrayRef<unsigned> loops, Indices index, Values carried, const PointStep &step);
  Values lanes(const Indices &index, Values tensors);
  Values tail(const Indices &index, mlir::OpFoldResult from, Values tensors);
  /// Unrolled outer points times `slots`: elementwise, or accumulated over the
  /// reduction loops.
  Values block(const Indices &index, llvm::ArrayRef<Slot> slots, Values tensors);
  llvm::SmallVector<Point> pointsOf(const Indices &index, llvm::ArrayRef<Slot> slots);
  llvm::SmallVector<Indices> combinations(llvm::ArrayRef<unsigned> loops, const Indices &index);
  void splitReductions(llvm::ArrayRef<unsigned> loops, llvm::SmallVectorImpl<unsigned> &rolled,
                       llvm::SmallVectorImpl<unsigned> &unrolled);

  // Reductions whose lane loop is parallel, and whose lane loop is the
  // reduction.
  Values accumulate(llvm::ArrayRef<Point> points, Values inits);
  /// The same where factors are taken out of the sums of groups.
  Values accumulateGroups(llvm::ArrayRef<Point> points, Values inits);
  /// One step of a reduction: the accumulators of a point after its body.
  using Accumulation = std::function<Values(const Point &, llvm::ArrayRef<mlir::Value>)>;
  /// Runs `step` over `loops` for every point, with at most `maxSets` sets of accumulators, and at least `minSteps` of
  /// the innermost loop unrolled.
  Values accumulateOver(llvm::ArrayRef<unsigned> loops, llvm::ArrayRef<Point> points, Values inits, int64_t maxSets,
                        int64_t minSteps, const Accumulation &step);
  /// The product of scalars and vectors, scalars first; null for no factors.
  mlir::Value multiply(llvm::ArrayRef<mlir::Value> factors);
  Values reduceLanes(const Indices &index, Values tensors);

  // Running totals.
  /// The reduction is another loop than the lanes: one vector of totals for each point.
  Values runAcross(llvm::ArrayRef<Point> points, Values tensors);
  /// The reduction is the loop of the lanes.
  Values runAlong(const Indices &index, Values tensors);
  /// The totals of the lanes up to and including each: of x, x + x moved up by one lane, that moved up by two, ...
  mlir::Value runLanes(mlir::Value terms);
  mlir::Value addToTotal(mlir::Value total, mlir::Value term);
  mlir::Value writeTotal(const Point &point, mlir::Value total, mlir::Value tensor);
  /// Adds the lanes of one step of the other reduction loops; `vectors` partial
  /// vectors are kept for each point and output.
  Values reduceLanesOnce(llvm::ArrayRef<Point> points, const Indices &index, Values partials, int64_t vectors);
  mlir::Value combine(unsigned output, mlir::Value lhs, mlir::Value rhs);
  mlir::Value combineTree(unsigned output, Values parts);
  /// Reduces each of as many vectors as there are lanes; lane i of the result is
  /// vector i's.
  mlir::Value combineTransposed(unsigned output, Values rows);
  mlir::Value neutral(unsigned output, int64_t width);
  /// Whether the lanes reduce floats to a maximum or minimum: then NaN is looked
  /// for beside the comparisons, which become one instruction each.
  bool isExtremum() const;
  mlir::Value quietNaN(int64_t width);
  /// The larger (or smaller) of two vectors; `kept`, which is never NaN, where
  /// `candidate` is.
  mlir::Value extremum(mlir::Value candidate, mlir::Value kept);
  /// The extremum of the lanes of a vector without NaN.
  mlir::Value extremumOfLanes(mlir::Value vec);

  // Points.
  Values evaluateBody(const Point &point, llvm::ArrayRef<mlir::Value> outputs);
  /// The values `wanted` of the body; nothing that they do not need is built.
  Values evaluate(const Point &point, llvm::ArrayRef<mlir::Value> outputs, mlir::ValueRange wanted);
  mlir::Value evaluateExtract(mlir::tensor::ExtractOp op, const Point &point, mlir::Value tensor,
                              llvm::ArrayRef<mlir::OpFoldResult> bases, llvm::ArrayRef<mlir::Value> vectors,
                              llvm::ArrayRef<Spread> spreads);
  /// Reads a square of every operand that lies across the lanes, one vector for
  /// each of the rows that are taken together.
  void readTransposed(const Point &first);
  Values transpose(Values rows);
  mlir::Value readOperand(mlir::OpOperand &operand, const Point &point, mlir::Value tensor);
  mlir::Value readVector(mlir::Value tensor, llvm::ArrayRef<mlir::OpFoldResult> indices, const Point &point);
  mlir::Value writeVector(mlir::Value value, mlir::Value tensor, llvm::ArrayRef<mlir::OpFoldResult> indices,
                          mlir::Value mask);
  mlir::Value readInit(unsigned output, const Point &point, mlir::Value tensor);
  mlir::Value writeOutput(unsigned output, const Point &point, mlir::Value value, mlir::Value tensor);
  Indices operandIndices(mlir::OpOperand &operand, const Point &point, int64_t laneOffset);
  mlir::Value widen(mlir::Value value, int64_t width);
  mlir::Value guardDivisor(mlir::Operation *op, mlir::Value divisor, const Point &point);

  mlir::OpFoldResult size(unsigned loop) const { return loopSizes[loop]; }
  bool usesOutput(unsigned output) const;
  mlir::OpOperand *outputOperand(unsigned output) { return op.getDpsInitOperand(output); }

  mlir::RewriterBase &b;
  mlir::Location loc;
  IndexMath math;
  const Nest &nest;
  mlir::linalg::GenericOp op;
  Indices loopSizes;
  llvm::SmallVector<unsigned> unrolledOuter, loopedOuter;
  int64_t outerPoints = 1;
  std::optional<unsigned> blockedOuter; // a loop of unknown size that is taken
                                        // `blockRows` at a time
  int64_t blockFactor = 1;
  int64_t blockRows = 1;
  llvm::DenseMap<unsigned, Values> squares; // per transposed operand: the vectors of the current rows
  Values initScalars;                       // per output: the value that fills the initial tensor, or
                                            // null
};

} // namespace tilewright::vectorize

#endif // TILEWRIGHT_TRANSFORMS_VECTORIZE_EMITTER_H
