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
//===----------------------------------------------------------------------===//
#include "Transforms/ChooseLayouts/ChooseLayouts.h"

#include "Analysis/Contraction.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"

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

/// Emits the packing of `source` along `position`: [.., N, ..] to [N/panel, ..,
/// panel], the last panel zero-padded.
Value emitPack(OpBuilder &builder, Location loc, Value source, unsigned position, int64_t panel) {
  auto type = cast<RankedTensorType>(source.getType());
  SmallVector<int64_t> outer{position};
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (i != position)
      outer.push_back(i);
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, source);
  AffineExpr s = builder.getAffineSymbolExpr(0);
  SmallVector<OpFoldResult> packed;
  for (int64_t i : outer)
    packed.push_back(i == position ? affine::makeComposedFoldedAffineApply(builder, loc, s.ceilDiv(panel), {sizes[i]})
                                   : sizes[i]);
  packed.push_back(builder.getIndexAttr(panel));
  Value empty = tensor::EmptyOp::create(builder, loc, packed, type.getElementType());
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type.getElementType()));
  return linalg::PackOp::create(builder, loc, source, empty, SmallVector<int64_t>{position},
                                SmallVector<OpFoldResult>{builder.getIndexAttr(panel)}, zero, outer)
      .getResult();
}

/// Rewrites one module; remembers which @load_K packs which kind of weight.
class Packer {
public:
  Packer(ModuleOp module, func::FuncOp main, int64_t panel, int64_t minRows)
      : module(module), main(main), rewriter(module.getContext()), panel(panel), minRows(minRows) {}

  void run() {
    SmallVector<linalg::GenericOp> contractions;
    main.walk([&](linalg::GenericOp op) {
      if (columnLoop(op))
        contractions.push_back(op);
    });
    for (linalg::GenericOp op : contractions)
      packContraction(op);
    dropUnusedWeights();
  }

private:
  void packContraction(linalg::GenericOp op) {
    unsigned column = *columnLoop(op);
    for (OpOperand *input : op.getDpsInputOperands()) {
      AffineMap map = op.getMatchingIndexingMap(input);
      std::optional<unsigned> position = positionOf(map, column);
      if (!position || map.getNumResults() < 2 || map.getNumSymbols())
        continue;
      if (weightOf(input->get()))
        replaceInput(op, *input, packedWeight(cast<BlockArgument>(input->get()), *position), *position);
      else if (auto producer = input->get().getDefiningOp<linalg::GenericOp>();
               producer && producer->hasAttr("tw.panel"))
        packPanel(op, *input, producer, *position);
      else if (paysAtRunTime(op, *input, column, *position)) {
        rewriter.setInsertionPoint(op);
        Value packed = emitPack(rewriter, op.getLoc(), input->get(), *position, panel);
        FailureOr<linalg::LowerPackResult> lowered = linalg::lowerPack(rewriter, packed.getDefiningOp<linalg::PackOp>(),
                                                                       /*lowerPadLikeWithInsertSlice=*/false);
        if (succeeded(lowered))
          replaceInput(op, *input, lowered->transposeOp ? lowered->transposeOp->getResult(0) : packed, *position);
      }
    }
  }

  /// A weight argument of @main, or null.
  BlockArgument weightOf(Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    if (!argument || argument.getOwner() != &main.getBody().front())
      return {};
    return main.getArgAttr(argument.getArgNumber(), "tw.weight") ? argument : BlockArgument();
  }

  /// Many rows share the operand, and its rows along the column loop are not
  /// already adjacent and short.
  bool paysAtRunTime(linalg::GenericOp op, OpOperand &input, unsigned column, unsigned position) {
    AffineMap map = op.getMatchingIndexingMap(&input);
    int64_t rows = timesRead(op, input), columns = op.getStaticLoopRanges()[column];
    if (!ShapedType::isDynamic(rows) && rows < minRows)
      return false;
    bool adjacent = position + 1 == map.getNumResults();
    // Adjacent rows of up to four panels stay in the first-level cache's reach
    // without packing.
    return !(adjacent && !ShapedType::isDynamic(columns) && columns <= 4 * panel) &&
           isa<RankedTensorType>(input.get().getType()) && map.isProjectedPermutation();
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
      if (map.isFunctionOfDim(n) && (!weightOf(operand->get()) || !positionOf(map, n)))
        return;
    }
    // Loops of the new producer: the panel's number in place of n, everything
    // else as it was, the column last.
    MLIRContext *context = op.getContext();
    AffineExpr outerLoop = getAffineDimExpr(n, context), lane = getAffineDimExpr(loops, context);
    SmallVector<AffineMap> maps;
    SmallVector<Value> inputs;
    for (OpOperand *operand : producer.getDpsInputOperands()) {
      AffineMap map = producer.getMatchingIndexingMap(operand);
      if (std::optional<unsigned> at = positionOf(map, n)) {
        inputs.push_back(packedWeight(cast<BlockArgument>(operand->get()), *at));
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

  /// The argument of @main that holds `raw` packed along `position`; made once
  /// per weight and position.
  Value packedWeight(BlockArgument raw, unsigned position) {
    Value &known = packedOf[{raw, position}];
    if (known)
      return known;
    auto type = cast<RankedTensorType>(raw.getType());
    SmallVector<int64_t> shape{llvm::divideCeil(type.getDimSize(position), panel)};
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (i != position)
        shape.push_back(type.getDimSize(i));
    shape.push_back(panel);
    auto packedType = RankedTensorType::get(shape, type.getElementType());
    StringAttr loader = loaderFor(type, position, raw.getLoc());
    Attribute name = main.getArgAttr(raw.getArgNumber(), "tw.weight");
    unsigned index = main.getNumArguments();
    SmallVector<NamedAttribute> attributes{
        rewriter.getNamedAttr("tw.weight", name), rewriter.getNamedAttr("tw.name", name),
        rewriter.getNamedAttr("tw.packed_by", loader),
        rewriter.getNamedAttr("tw.sources", rewriter.getArrayAttr({rewriter.getI64IntegerAttr(raw.getArgNumber())}))};
    (void)main.insertArgument(index, packedType, rewriter.getDictionaryAttr(attributes), raw.getLoc());
    known = main.getArgument(index);
    return known;
  }

  StringAttr loaderFor(RankedTensorType type, unsigned position, Location loc) {
    std::string key;
    llvm::raw_string_ostream(key) << type << "@" << position;
    StringAttr &name = loaders[key];
    if (name)
      return name;
    name = rewriter.getStringAttr("load_" + Twine(loaders.size() - 1));
    rewriter.setInsertionPointToEnd(module.getBody());
    auto function = func::FuncOp::create(rewriter, loc, name, FunctionType::get(type.getContext(), {type}, {}));
    function->setAttr("tw.load", rewriter.getUnitAttr());
    rewriter.setInsertionPointToStart(function.addEntryBlock());
    Value packed = emitPack(rewriter, loc, function.getArgument(0), position, panel);
    function.setType(FunctionType::get(type.getContext(), {type}, {packed.getType()}));
    auto pack = packed.getDefiningOp<linalg::PackOp>();
    auto terminator = func::ReturnOp::create(rewriter, loc, packed);
    rewriter.setInsertionPoint(pack);
    (void)linalg::lowerPack(rewriter, pack,
                            /*lowerPadLikeWithInsertSlice=*/false);
    (void)terminator;
    return name;
  }

  /// Raw weights that only packing read are no arguments of @main any more;
  /// their names stay in the packed ones.
  void dropUnusedWeights() {
    llvm::BitVector unused(main.getNumArguments());
    llvm::DenseSet<unsigned> packed;
    for (auto &[key, value] : packedOf)
      packed.insert(key.first.getArgNumber());
    for (BlockArgument argument : main.getArguments())
      if (packed.contains(argument.getArgNumber()) && argument.use_empty())
        unused.set(argument.getArgNumber());
    main->setAttr("tw.dropped_arguments", rewriter.getDenseI64ArrayAttr(llvm::map_to_vector(
                                              unused.set_bits(), [](unsigned i) { return int64_t(i); })));
    (void)main.eraseArguments(unused);
  }

  ModuleOp module;
  func::FuncOp main;
  IRRewriter rewriter;
  int64_t panel, minRows;
  llvm::MapVector<std::pair<BlockArgument, unsigned>, Value> packedOf;
  llvm::StringMap<StringAttr> loaders;
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
