//===- ChooseLayouts.cpp - Pack what contractions read into panels --------===//
//
// In:  stage linalg, fused: contractions that read weights (directly, through
// dequantisation in their body, or through a
//      `tw.panel` producer) or computed operands in the user's layout.
// Out: the same contractions reading panels through floordiv/mod indexing maps;
// functions @load_K that pack weights. Here, after fusion has settled what a
// contraction reads, and before kernels are formed, since packing at run time
// is itself a computation that becomes a kernel.
//
//   out[m,n] += a[m,k] * w[n,k]   ->   out[m,n] += a[m,k] * p[n floordiv 32, k,
//   n mod 32],  @load_0: w -> p
//
// Where the target sums up groups of small products at once, panels hold words
// of such groups (GroupedDot.h).
//===----------------------------------------------------------------------===//
#include "Transforms/ChooseLayouts/ChooseLayouts.h"
#include "Transforms/ChooseLayouts/GroupedDot.h"
#include "Transforms/ChooseLayouts/PackedWeights.h"
#include "Transforms/ChooseLayouts/ReadWords.h"
#include "Transforms/ChooseLayouts/StoredDot.h"

#include "Analysis/Contraction.h"

#include "Tw/TwDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

namespace tilewright {
#define GEN_PASS_DEF_CHOOSELAYOUTSPASS
#include "Transforms/ChooseLayouts/ChooseLayouts.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Where the loop `loop` appears alone in the operand's map, or nothing.
std::optional<unsigned> positionOf(AffineMap map, unsigned loop) {
  std::optional<unsigned> position;
  for (auto [i, result] : llvm::enumerate(map.getResults())) {
    if (!result.isFunctionOfDim(loop))
      continue;
    auto dim = dyn_cast<AffineDimExpr>(result);
    if (!dim || position)
      return std::nullopt;
    position = i;
  }
  return position;
}

/// The map of an operand after its dimension `position` was packed into panels.
AffineMap packedMap(AffineMap map, unsigned position, int64_t panel) {
  AffineExpr n = map.getResult(position);
  SmallVector<AffineExpr> results{n.floorDiv(panel)};
  for (auto [i, result] : llvm::enumerate(map.getResults()))
    if (i != position)
      results.push_back(result);
  results.push_back(n % panel);
  return AffineMap::get(map.getNumDims(), 0, results, map.getContext());
}

/// Whether a vector register holds a float for each value of four bits. Then numbers are looked up by an instruction that
/// wants them in the lowest bits of 32-bit lanes and nothing else; otherwise bytes that are widened one by one take fewer
/// masks and shifts.
bool looksUpFloats(ModuleOp module) {
  auto target = module->getAttrOfType<tw::TargetAttr>("tw.target");
  auto bits = target ? target.getFacts().getAs<IntegerAttr>("vector_bits") : IntegerAttr();
  return bits && bits.getInt() >= 16 * 32;
}

/// Rewrites the contractions of one module.
class Packer {
public:
  Packer(ModuleOp module, func::FuncOp main, int64_t panel, int64_t minRows)
      : main(main), rewriter(module.getContext()), panel(panel), minRows(minRows), looksUp(looksUpFloats(module)),
        instructions(module), weights(module, main, rewriter, panel) {}

  void run() {
    SmallVector<linalg::GenericOp> contractions;
    main.walk([&](linalg::GenericOp op) {
      if (columnLoop(op))
        contractions.push_back(op);
    });
    for (linalg::GenericOp op : contractions)
      packContraction(op);
    weights.readPanelsInGathers();
    weights.dropUnused();
  }

private:
  void packContraction(linalg::GenericOp op) {
    unsigned column = *columnLoop(op);
    if (packGroups(op, column))
      return;
    op = packStored(op, column);
    op = packNumbers(op, column);
    for (OpOperand *input : op.getDpsInputOperands()) {
      AffineMap map = op.getMatchingIndexingMap(input);
      std::optional<unsigned> position = positionOf(map, column);
      if (!position || map.getNumResults() < 2 || map.getNumSymbols())
        continue;
      if (weights.canPack(input->get(), {*position, std::nullopt}))
        replaceInput(op, *input, weights.pack(input->get(), {*position, std::nullopt}), *position);
      else if (auto producer = input->get().getDefiningOp<linalg::GenericOp>();
               producer && producer->hasAttr("tw.panel"))
        packPanel(op, *input, producer, *position);
      else if (paysAtRunTime(op, *input, *position)) {
        rewriter.setInsertionPoint(op);
        if (Value packed = emitPack(rewriter, op.getLoc(), input->get(), {*position, std::nullopt}, panel))
          replaceInput(op, *input, packed, *position);
      }
    }
  }

  /// Lets an instruction sum up groups of products, where the target has one for the operands and the columns can be
  /// packed for it.
  bool packGroups(linalg::GenericOp op, unsigned column) {
    std::optional<GroupedDot> dot = matchGroupedDot(op, column, instructions);
    if (!dot)
      return false;
    OpOperand &columns = *dot->columns;
    AffineMap map = op.getMatchingIndexingMap(&columns);
    Panels panels{*positionOf(map, column), positionOf(map, dot->depthLoop)};
    bool isWeight = weights.canPack(columns.get(), panels);
    if (!isWeight && !isReadOften(op, columns))
      return false;
    rewriter.setInsertionPoint(op);
    Value packed =
        isWeight ? weights.pack(columns.get(), panels) : emitPack(rewriter, op.getLoc(), columns.get(), panels, panel);
    if (!packed)
      return false;
    rewriter.setInsertionPoint(op);
    emitGroupedDot(rewriter, op, *dot, packed, packedMap(map, panels.column, panel));
    return true;
  }

  /// The same for weights that are stored as integers, and rows that were rounded to bytes; returns what is left to pack.
  linalg::GenericOp packStored(linalg::GenericOp op, unsigned column) {
    std::optional<StoredDot> dot = matchStoredDot(op, column, instructions);
    if (!dot)
      return op;
    SmallVector<Panels> layouts;
    for (const StoredDot::Storage &storage : dot->storages) {
      std::optional<unsigned> position = positionOf(storage.map, column);
      Panels panels{position.value_or(0), storage.map.getNumResults() - 1};
      if (!position || *position == *panels.depth || !weights.canPack(storage.operand->get(), panels))
        return op;
      layouts.push_back(panels);
    }
    SmallVector<std::pair<Value, AffineMap>> words;
    for (auto [storage, panels] : llvm::zip_equal(dot->storages, layouts))
      words.emplace_back(weights.pack(storage.operand->get(), panels), packedMap(storage.map, panels.column, panel));
    return emitStoredDot(rewriter, op, *dot, words);
  }

  /// The words of a weight whose bytes hold several numbers each.
  std::optional<Panels> wordsOf(linalg::GenericOp op, const StoredNumbers &numbers, unsigned column) {
    AffineMap map = op.getMatchingIndexingMap(numbers.storage);
    std::optional<unsigned> position = positionOf(map, column);
    if (!looksUp || !position || column == numbers.loop)
      return std::nullopt;
    Panels panels{*position, map.getNumResults() - 1};
    return weights.canPack(numbers.storage->get(), panels) ? std::optional(panels) : std::nullopt;
  }

  /// Reads such a weight in words; returns what is left to pack.
  linalg::GenericOp packNumbers(linalg::GenericOp op, unsigned column) {
    std::optional<StoredNumbers> numbers = matchStoredNumbers(op);
    bool isSummed = numbers && op.getIteratorTypesArray()[numbers->loop] == utils::IteratorType::reduction;
    std::optional<Panels> panels = isSummed ? wordsOf(op, *numbers, column) : std::nullopt;
    if (!panels)
      return op;
    AffineMap map = op.getMatchingIndexingMap(numbers->storage);
    Value words = weights.pack(numbers->storage->get(), *panels);
    return emitSplitLoop(rewriter, op, *numbers, words, packedMap(map, panels->column, panel));
  }

  bool isReadOften(linalg::GenericOp op, OpOperand &input) {
    int64_t rows = timesRead(op, input);
    return ShapedType::isDynamic(rows) || rows >= minRows;
  }

  /// Many rows share the operand, and vectors along the column loop would
  /// stride through it. Operands with adjacent columns are left to `select`:
  /// they can be packed tile by tile, where they are used.
  bool paysAtRunTime(linalg::GenericOp op, OpOperand &input, unsigned position) {
    AffineMap map = op.getMatchingIndexingMap(&input);
    if (!isReadOften(op, input))
      return false;
    bool adjacent = position + 1 == map.getNumResults();
    return !adjacent && isa<RankedTensorType>(input.get().getType()) && map.isProjectedPermutation();
  }

  void replaceInput(linalg::GenericOp op, OpOperand &input, Value packed, unsigned position) {
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    maps[input.getOperandNumber()] = packedMap(maps[input.getOperandNumber()], position, panel);
    rewriter.modifyOpInPlace(op, [&] {
      input.set(packed);
      op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
    });
  }

  /// Rebuilds a panel producer so that it writes panels, from weights that are
  /// packed themselves.
  void packPanel(linalg::GenericOp op, OpOperand &input, linalg::GenericOp producer, unsigned position) {
    AffineMap written = producer.getMatchingIndexingMap(producer.getDpsInitOperand(0));
    auto loop = dyn_cast<AffineDimExpr>(written.getResult(position));
    if (!loop || producer.getNumReductionLoops() || !written.isPermutation())
      return;
    unsigned n = loop.getPosition(), loops = producer.getNumLoops();
    for (OpOperand *operand : producer.getDpsInputOperands()) {
      AffineMap map = producer.getMatchingIndexingMap(operand);
      std::optional<unsigned> at = positionOf(map, n);
      if (map.isFunctionOfDim(n) && !(at && weights.canPack(operand->get(), {*at, std::nullopt})))
        return;
    }
    // Loops of the new producer: the panel's number in place of n, everything
    // else as it was, the column last.
    MLIRContext *context = op.getContext();
    AffineExpr outerLoop = getAffineDimExpr(n, context), lane = getAffineDimExpr(loops, context);
    std::optional<StoredNumbers> numbers = matchStoredNumbers(producer);
    std::optional<Panels> words = numbers ? wordsOf(producer, *numbers, n) : std::nullopt;
    SmallVector<AffineMap> maps;
    SmallVector<Value> inputs;
    for (OpOperand *operand : producer.getDpsInputOperands()) {
      AffineMap map = producer.getMatchingIndexingMap(operand);
      if (words && operand == numbers->storage) {
        inputs.push_back(weights.pack(operand->get(), *words));
        AffineExpr byte = getAffineDimExpr(numbers->loop, context);
        map = map.replace(byte, byte.floorDiv(kWordBytes), loops, 0);
        maps.push_back(panelMap(map, words->column, outerLoop, lane, loops + 1));
      } else if (std::optional<unsigned> at = positionOf(map, n)) {
        inputs.push_back(weights.pack(operand->get(), {*at, std::nullopt}));
        maps.push_back(panelMap(map, *at, outerLoop, lane, loops + 1));
      } else {
        inputs.push_back(operand->get());
        maps.push_back(AffineMap::get(loops + 1, 0, map.getResults(), context));
      }
    }
    maps.push_back(panelMap(written, position, outerLoop, lane, loops + 1));

    rewriter.setInsertionPoint(producer);
    auto type = cast<RankedTensorType>(producer.getResult(0).getType());
    SmallVector<int64_t> shape{llvm::divideCeil(type.getDimSize(position), panel)};
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (i != position)
        shape.push_back(type.getDimSize(i));
    shape.push_back(panel);
    Value empty = tensor::EmptyOp::create(rewriter, producer.getLoc(), shape, type.getElementType());
    SmallVector<utils::IteratorType> kinds(loops + 1, utils::IteratorType::parallel);
    auto panelOp = linalg::GenericOp::create(rewriter, producer.getLoc(), empty.getType(), inputs, empty, maps, kinds);
    panelOp.getRegion().takeBody(producer.getRegion());
    if (words)
      emitBytesOfWords(rewriter, panelOp, panelOp.getBody()->getArgument(numbers->storage->getOperandNumber()),
                       numbers->widened, numbers->loop);
    panelOp->setAttr("tw.panel", rewriter.getUnitAttr());
    panelOp->setAttr("tw.dequantize", rewriter.getUnitAttr());
    replaceInput(op, input, panelOp.getResult(0), position);
    rewriter.eraseOp(producer);
  }

  AffineMap panelMap(AffineMap map, unsigned position, AffineExpr outer, AffineExpr lane, unsigned loops) {
    SmallVector<AffineExpr> results{outer};
    for (auto [i, result] : llvm::enumerate(map.getResults()))
      if (i != position)
        results.push_back(result);
    results.push_back(lane);
    return AffineMap::get(loops, 0, results, map.getContext());
  }

  func::FuncOp main;
  IRRewriter rewriter;
  int64_t panel, minRows;
  bool looksUp;
  DotInstructions instructions;
  PackedWeights weights;
};

struct ChooseLayouts : tilewright::impl::ChooseLayoutsPassBase<ChooseLayouts> {
  using ChooseLayoutsPassBase::ChooseLayoutsPassBase;

  void runOnOperation() override {
    auto main = getOperation().lookupSymbol<func::FuncOp>("main");
    if (!main || panel <= 0)
      return;
    Packer(getOperation(), main, panel, minRows).run();
    // What lowering of packs left behind (linalg.transpose) is a structured
    // copy like any other.
    SmallVector<linalg::LinalgOp> named;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (isa<linalg::TransposeOp, linalg::CopyOp, linalg::BroadcastOp>(op.getOperation()))
        named.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (linalg::LinalgOp op : named) {
      rewriter.setInsertionPoint(op);
      (void)linalg::generalizeNamedOp(rewriter, op);
    }
  }
};

} // namespace
