//===- SplitReductions.cpp - Long reductions in two steps -----------------===//
//
// In:  stage linalg: reductions, elementwise producers fused into them.
// Out: those with few results and much to reduce are two: partial results of
//      chunks, which threads can share, and their combination.
// Here, after fusion, because only then it is known what a reduction reads, and
// before kernels are formed, because the two steps are two kernels.
//===----------------------------------------------------------------------===//
#include "Transforms/SplitReductions/SplitReductions.h"

#include "Analysis/Contraction.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tilewright {
#define GEN_PASS_DEF_SPLITREDUCTIONSPASS
#include "Transforms/SplitReductions/SplitReductions.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// A dynamic size counts as this much when a chunk is measured.
constexpr int64_t kAssumedSize = 1024;

/// The operation that combines the accumulator with a new value, if the order
/// of all values is free.
Operation *freeCombiner(linalg::GenericOp op) {
  SmallVector<Operation *> combiners;
  if (!matchReduction(op.getRegionOutputArgs(), 0, combiners) || combiners.size() != 1)
    return nullptr;
  Operation *combiner = combiners.front();
  if (!arith::getNeutralElement(combiner))
    return nullptr;
  if (isa<arith::AddFOp, arith::MulFOp>(combiner)) {
    auto flags = cast<arith::ArithFastMathInterface>(combiner).getFastMathFlagsAttr().getValue();
    return bitEnumContainsAll(flags, arith::FastMathFlags::reassoc) ? combiner : nullptr;
  }
  return combiner;
}

/// The dimension of an operand that `loop` runs along, or none.
std::optional<unsigned> dimOf(AffineMap map, unsigned loop) {
  for (auto [dim, expr] : llvm::enumerate(map.getResults()))
    if (expr == getAffineDimExpr(loop, map.getContext()))
      return dim;
  return std::nullopt;
}

/// Whether what a reduction reads is computed, element by element, from what a contraction yields.
bool reducesProduct(linalg::LinalgOp op) {
  return llvm::any_of(op.getDpsInputs(), [](Value input) {
    auto producer = input.getDefiningOp<linalg::LinalgOp>();
    return producer && (contracts(producer) || (producer.getNumReductionLoops() == 0 && reducesProduct(producer)));
  });
}

/// Whether a contraction sums up what is computed from a result, without a contraction between them.
bool feedsProduct(Value result) {
  return llvm::any_of(result.getUses(), [](OpOperand &use) {
    auto user = dyn_cast<linalg::LinalgOp>(use.getOwner());
    return user && (contracts(user) || (user->getNumResults() == 1 && feedsProduct(user->getResult(0))));
  });
}

/// A loop to split and its trips per chunk.
struct Split {
  unsigned loop;
  int64_t trips;
  OpOperand *sized; ///< an input that has the loop as a dimension
};

class Splitter {
public:
  Splitter(IRRewriter &rewriter, linalg::GenericOp op, Operation *combiner, Split split)
      : rewriter(rewriter), loc(op.getLoc()), op(op), combiner(combiner), split(split) {}

  void run() {
    rewriter.setInsertionPoint(op);
    OpFoldResult extent = tensor::getMixedSize(rewriter, loc, split.sized->get(),
                                               *dimOf(op.getMatchingIndexingMap(split.sized), split.loop));
    AffineExpr n = rewriter.getAffineSymbolExpr(0);
    auto apply = [&](AffineExpr expr) { return affine::makeComposedFoldedAffineApply(rewriter, loc, expr, {extent}); };
    OpFoldResult chunks = apply(n.floorDiv(split.trips));
    OpFoldResult whole = apply(n.floorDiv(split.trips) * split.trips), rest = apply(n % split.trips);
    Value partial = reduceChunks(chunks, whole);
    Value init = op.getDpsInits().front();
    if (!isConstantIntValue(rest, 0))
      init = reduceRest(whole, rest);
    rewriter.replaceOp(op, combinePartials(partial, init));
  }

private:
  /// `size` elements from `offset` on along the split loop.
  Value slice(OpOperand *input, OpFoldResult offset, OpFoldResult size) {
    std::optional<unsigned> dim = dimOf(op.getMatchingIndexingMap(input), split.loop);
    if (!dim)
      return input->get();
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, input->get());
    if (isEqualConstantIntOrValue(sizes[*dim], size))
      return input->get();
    SmallVector<OpFoldResult> offsets(sizes.size(), rewriter.getIndexAttr(0));
    SmallVector<OpFoldResult> strides(sizes.size(), rewriter.getIndexAttr(1));
    offsets[*dim] = offset;
    sizes[*dim] = size;
    return tensor::ExtractSliceOp::create(rewriter, loc, input->get(), offsets, sizes, strides);
  }

  /// Dimension `dim` of `value` as chunks of `trips`.
  Value inChunks(Value value, unsigned dim, OpFoldResult chunks) {
    auto type = cast<RankedTensorType>(value.getType());
    SmallVector<ReassociationIndices> groups;
    SmallVector<OpFoldResult> sizes;
    for (OpFoldResult size : tensor::getMixedSizes(rewriter, loc, value)) {
      groups.emplace_back();
      groups.back().push_back(sizes.size());
      if (groups.size() - 1 == dim) {
        sizes.push_back(chunks);
        groups.back().push_back(sizes.size());
        size = rewriter.getIndexAttr(split.trips);
      }
      sizes.push_back(size);
    }
    SmallVector<int64_t> shape;
    SmallVector<Value> dynamic;
    dispatchIndexOpFoldResults(sizes, dynamic, shape);
    return tensor::ExpandShapeOp::create(rewriter, loc, type.clone(shape), value, groups, sizes);
  }

  /// The same computation with a new outermost parallel loop over the chunks.
  Value reduceChunks(OpFoldResult chunks, OpFoldResult whole) {
    MLIRContext *context = op.getContext();
    unsigned loops = op.getNumLoops();
    AffineExpr chunkLoop = getAffineDimExpr(0, context);
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    for (OpOperand &operand : op->getOpOperands()) {
      AffineMap map = op.getMatchingIndexingMap(&operand).shiftDims(1);
      SmallVector<AffineExpr> results(map.getResults());
      if (op.isDpsInit(&operand)) {
        results.insert(results.begin(), chunkLoop);
      } else {
        inputs.push_back(slice(&operand, rewriter.getIndexAttr(0), whole));
        if (std::optional<unsigned> dim = dimOf(op.getMatchingIndexingMap(&operand), split.loop)) {
          inputs.back() = inChunks(inputs.back(), *dim, chunks);
          results.insert(results.begin() + *dim, chunkLoop);
        }
      }
      maps.push_back(AffineMap::get(loops + 1, 0, results, context));
    }
    SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
    kinds.insert(kinds.begin(), utils::IteratorType::parallel);

    Value init = op.getDpsInits().front();
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, init);
    sizes.insert(sizes.begin(), chunks);
    Type element = getElementTypeOrSelf(init.getType());
    Value empty = tensor::EmptyOp::create(rewriter, loc, sizes, element);
    Value neutral = arith::ConstantOp::create(rewriter, loc, *arith::getNeutralElement(combiner));
    Value filled = linalg::FillOp::create(rewriter, loc, neutral, empty).getResult(0);
    auto partial = linalg::GenericOp::create(rewriter, loc, filled.getType(), inputs, filled, maps, kinds);
    rewriter.cloneRegionBefore(op.getRegion(), partial.getRegion(), partial.getRegion().begin());
    partial->setAttr("tw.partial", rewriter.getUnitAttr());
    return partial.getResult(0);
  }

  Value reduceRest(OpFoldResult whole, OpFoldResult rest) {
    auto tail = cast<linalg::GenericOp>(rewriter.clone(*op));
    rewriter.setInsertionPoint(tail);
    for (OpOperand *input : op.getDpsInputOperands())
      tail->setOperand(input->getOperandNumber(), slice(input, whole, rest));
    rewriter.setInsertionPoint(op);
    return tail.getResult(0);
  }

  Value combinePartials(Value partial, Value init) {
    MLIRContext *context = op.getContext();
    int64_t rank = cast<RankedTensorType>(partial.getType()).getRank();
    AffineMap all = AffineMap::getMultiDimIdentityMap(rank, context);
    SmallVector<AffineMap> maps{all, all.dropResult(0)};
    SmallVector<utils::IteratorType> kinds(rank, utils::IteratorType::parallel);
    kinds.front() = utils::IteratorType::reduction;
    auto body = [&](OpBuilder &b, Location loc, ValueRange args) {
      OperationState state(loc, combiner->getName().getIdentifier(), {args[1], args[0]}, args[0].getType(),
                           combiner->getAttrs());
      linalg::YieldOp::create(b, loc, b.create(state)->getResult(0));
    };
    return linalg::GenericOp::create(rewriter, loc, init.getType(), partial, init, maps, kinds, body).getResult(0);
  }

  IRRewriter &rewriter;
  Location loc;
  linalg::GenericOp op;
  Operation *combiner;
  Split split;
};

struct SplitReductions : tilewright::impl::SplitReductionsPassBase<SplitReductions> {
  using SplitReductionsPassBase::SplitReductionsPassBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<linalg::GenericOp> ops;
    getOperation().walk([&](linalg::GenericOp op) { ops.push_back(op); });
    for (linalg::GenericOp op : ops) {
      if (op.getNumReductionLoops() == 0 || op.getNumDpsInits() != 1 || op->hasAttr("tw.lowering") ||
          !op.hasPureTensorSemantics() || op.hasIndexSemantics() || contracts(op))
        continue;
      Operation *combiner = freeCombiner(op);
      if (!combiner || (!betweenProducts && reducesProduct(op) && feedsProduct(op->getResult(0))))
        continue;
      if (std::optional<Split> split = choose(op)) {
        Splitter(rewriter, op, combiner, *split).run();
        ++numSplit;
      }
    }
  }

  std::optional<Split> choose(linalg::GenericOp op) const {
    SmallVector<int64_t> ranges = op.getStaticLoopRanges();
    SmallVector<unsigned> parallel, reductions;
    op.getParallelDims(parallel);
    op.getReductionDims(reductions);
    int64_t results = 1;
    for (unsigned d : parallel) {
      if (ShapedType::isDynamic(ranges[d]))
        return std::nullopt;
      results *= ranges[d];
    }
    // Where the result's own loops are enough, each result is best computed in
    // one go.
    AffineMap output = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    bool sideBySide = llvm::any_of(op.getDpsInputOperands(), [&](OpOperand *input) {
      AffineMap map = op.getMatchingIndexingMap(input);
      bool reduced = llvm::any_of(reductions, [&](unsigned d) { return map.isFunctionOfDim(d); });
      return reduced && output.getNumResults() > 0 && map.getResults().back() == output.getResults().back();
    });
    if (results == 0 || results >= (sideBySide ? columns : rows) || !output.isProjectedPermutation())
      return std::nullopt;
    const unsigned *loop = llvm::find_if(reductions, [&](unsigned d) { return ranges[d] != 1; });
    return loop == reductions.end() ? std::nullopt : measure(op, *loop, ranges);
  }

  /// Chunks of `loop`, if there would be two at least.
  std::optional<Split> measure(linalg::GenericOp op, unsigned loop, ArrayRef<int64_t> ranges) const {
    Split split{loop, chunk, nullptr};
    for (OpOperand *input : op.getDpsInputOperands()) {
      AffineMap map = op.getMatchingIndexingMap(input);
      bool runs = dimOf(map, loop).has_value();
      // A window or a diagonal: a chunk of the loop is no slice of that operand.
      int64_t uses = llvm::count_if(map.getResults(), [&](AffineExpr expr) { return expr.isFunctionOfDim(loop); });
      if (uses != runs)
        return std::nullopt;
      if (runs)
        split.sized = input;
    }
    if (!split.sized)
      return std::nullopt;
    for (auto [d, range] : llvm::enumerate(ranges))
      if (d != loop)
        split.trips /= std::max<int64_t>(1, ShapedType::isDynamic(range) ? kAssumedSize : range);
    split.trips = std::max<int64_t>(split.trips, 1);
    int64_t extent = ranges[loop];
    if (ShapedType::isDynamic(extent))
      return split;
    if (extent < 2 * split.trips)
      return std::nullopt;
    // Chunks that divide the loop leave no rest.
    for (int64_t trips = split.trips; 2 * trips > split.trips; --trips)
      if (extent % trips == 0) {
        split.trips = trips;
        break;
      }
    return split;
  }
};

} // namespace
