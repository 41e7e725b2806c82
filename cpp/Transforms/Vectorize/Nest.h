//===- Nest.h - What the vectoriser knows about one loop nest ----*- C++
//-*-===//
#ifndef TILEWRIGHT_TRANSFORMS_VECTORIZE_NEST_H
#define TILEWRIGHT_TRANSFORMS_VECTORIZE_NEST_H

#include "Analysis/Running.h"
#include "Tw/TwDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <optional>
#include <string>

namespace tilewright::vectorize {

/// How the elements that one vector of lanes touches lie in an operand.
enum class Access {
  Uniform,    // the same element for every lane
  Contiguous, // neighbours in the last dimension
  Transposed, // neighbours of the loop `Nest::transposed` are neighbours in memory
  PerLane     // anything else: one scalar access per lane
};

/// How a value of the body depends on the lane.
enum class Spread {
  Uniform, // one scalar
  Lane,    // the lane's own index plus a scalar; made a vector only on demand
  Vector
};

/// One product of the sum that a nest adds up: of the group's elements, and what their sum is multiplied by.
struct Term {
  llvm::SmallVector<mlir::Value> kept, factored;
  bool negative = false;
  mlir::Value integer; // the only factor that is kept, before its conversion, if sums of it are integers
};

/// A sum over `outer` of sums over the `group` elements of `inner`, whose common factors are taken out.
struct Factoring {
  llvm::SmallVector<unsigned> outer, inner;
  llvm::SmallVector<Term> terms;
  int64_t group = 1;
};

/// Everything about one linalg.generic that the emitter needs; the op is not
/// changed.
struct Nest {
  mlir::linalg::GenericOp op;
  int64_t lane = 0, lanes = 0, unroll = 1;
  bool laneIsReduction = false;
  std::optional<unsigned> transposed; // the loop along which operands that lie across the lanes are contiguous
  bool scalarTail = false;            // the remainder along the lanes cannot be masked
  llvm::SmallVector<int64_t> sizes;   // per loop; kDynamic where only known at run time
  llvm::SmallVector<std::pair<unsigned, unsigned>> sizeSource; // per loop: operand and dimension that has its size
  llvm::SmallVector<unsigned> outer, reductions;               // loops other than the lane
  llvm::SmallVector<Access> access;                            // per operand
  llvm::SmallVector<int> sameAsOutput;            // per input: the output with the same tensor and map, or -1
  llvm::SmallVector<mlir::Operation *> combiners; // per output: its reduction's combiner, or null

  std::optional<Factoring> factoring; // of a sum of products with common factors
  std::optional<Running> running;     // where totals on the way are results, too

  bool isStatic(unsigned loop) const { return !mlir::ShapedType::isDynamic(sizes[loop]); }
};

/// The kind of a combiner that may be reassociated, or none.
std::optional<mlir::vector::CombiningKind> combiningKind(mlir::Operation *op);

/// How the lanes see an index expression, if vectors of `lanes` start at
/// multiples of `lanes` of the loop.
Access classify(mlir::AffineExpr expr, unsigned lane, int64_t lanes, int64_t laneSize);

/// How the result of a body op depends on the lane, given the same for its
/// operands; none if it cannot be vectorised.
std::optional<Spread> spreadOf(mlir::Operation *op, llvm::ArrayRef<Spread> operands, unsigned lane);

/// Whether a tensor.extract in a body reads neighbours of the last dimension.
bool isContiguousExtract(llvm::ArrayRef<Spread> indices);

/// The factors that can be taken out of sums over the inner reduction loops, if there are any.
std::optional<Factoring> factorGroups(const Nest &nest);

/// Describes `op` for its configuration, or says in `reason` why it has to stay
/// loops.
mlir::FailureOr<Nest> analyse(mlir::linalg::GenericOp op, tw::ConfigAttr config, std::string &reason);

} // namespace tilewright::vectorize

#endif // TILEWRIGHT_TRANSFORMS_VECTORIZE_NEST_H
