//===- PackedWeights.cpp - The packed form of weights ---------------------===//
//
// In:  weights of @main and the dimensions that somebody wants in panels.
// Out: arguments of @main that hold the panels, and functions @load_K that make them from the raw weights.
//===----------------------------------------------------------------------===//
#include "Transforms/ChooseLayouts/PackedWeights.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace tilewright;

/// The reassociation of a reshape, and whether it expands.
static std::optional<std::pair<SmallVector<ReassociationIndices, 4>, bool>> reshapeOf(Operation *op) {
  if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(op))
    return std::pair(expand.getReassociationIndices(), true);
  if (auto collapse = dyn_cast_or_null<tensor::CollapseShapeOp>(op))
    return std::pair(collapse.getReassociationIndices(), false);
  return std::nullopt;
}

/// The dimension of a reshape's source that is dimension `position` of its result, or nothing if that one is split or
/// merged.
static std::optional<unsigned> sourcePosition(ArrayRef<ReassociationIndices> groups, bool expands, unsigned position) {
  if (!expands)
    return groups[position].size() == 1 ? std::optional<unsigned>(groups[position].front()) : std::nullopt;
  for (auto [i, group] : llvm::enumerate(groups))
    if (group.size() == 1 && group.front() == position)
      return i;
  return std::nullopt;
}

/// The same for the dimension whose neighbours share words: a reshape may split it, if words do not cross parts.
static std::optional<unsigned> sourceDepth(ArrayRef<ReassociationIndices> groups, bool expands, RankedTensorType result,
                                           unsigned position) {
  if (expands)
    for (auto [i, group] : llvm::enumerate(groups))
      if (group.back() == position && result.getDimSize(position) % groupOf(result.getElementType()) == 0)
        return i;
  return sourcePosition(groups, expands, position);
}

/// The panels of a reshape's source that `panels` of its `result` are, or nothing if it splits or merges their dimensions.
static std::optional<Panels> sourcePanels(ArrayRef<ReassociationIndices> groups, bool expands, RankedTensorType result,
                                          Panels panels) {
  std::optional<unsigned> column = sourcePosition(groups, expands, panels.column);
  std::optional<unsigned> depth = panels.depth ? sourceDepth(groups, expands, result, *panels.depth) : panels.depth;
  if (!column || (panels.depth && !depth))
    return std::nullopt;
  return Panels{*column, depth};
}

std::optional<PackedWeights::Weight> PackedWeights::behind(Value value, Panels panels) {
  while (auto reshape = reshapeOf(value.getDefiningOp())) {
    std::optional<Panels> source =
        sourcePanels(reshape->first, reshape->second, cast<RankedTensorType>(value.getType()), panels);
    if (!source)
      return std::nullopt;
    panels = *source;
    value = value.getDefiningOp()->getOperand(0);
  }
  auto argument = dyn_cast<BlockArgument>(value);
  if (!argument || argument.getOwner() != &main.getBody().front() ||
      !main.getArgAttr(argument.getArgNumber(), "tw.weight") ||
      !cast<RankedTensorType>(argument.getType()).hasStaticShape())
    return std::nullopt;
  return Weight{argument, panels, Value()};
}

Value PackedWeights::pack(Value value, Panels panels) {
  Operation *def = value.getDefiningOp();
  auto reshape = reshapeOf(def);
  if (!reshape)
    return packedArgument(cast<BlockArgument>(value), panels);
  auto &[groups, expands] = *reshape;
  Panels inner = *sourcePanels(groups, expands, cast<RankedTensorType>(value.getType()), panels);
  Value source = pack(def->getOperand(0), inner);
  // The same reshape of what lies between the panel's number and the column.
  SmallVector<ReassociationIndices> between;
  int64_t next = 1;
  for (auto [i, group] : llvm::enumerate(groups)) {
    if (i == (expands ? inner.column : panels.column))
      continue;
    between.emplace_back();
    for (size_t count = group.size(); count > 0; --count)
      between.back().push_back(next++);
  }
  between.insert(between.begin(), ReassociationIndices{0});
  between.push_back({next});
  RankedTensorType type = packedType(cast<RankedTensorType>(value.getType()), panels, width);
  rewriter.setInsertionPoint(def);
  if (expands)
    return tensor::ExpandShapeOp::create(rewriter, def->getLoc(), type, source, between);
  return tensor::CollapseShapeOp::create(rewriter, def->getLoc(), type, source, between);
}

Value PackedWeights::packedArgument(BlockArgument raw, Panels panels) {
  for (const Weight &weight : weights)
    if (weight.raw == raw && weight.panels == panels)
      return weight.packed;
  auto type = cast<RankedTensorType>(raw.getType());
  StringAttr loader = loaderFor(type, panels, raw.getLoc());
  Attribute name = main.getArgAttr(raw.getArgNumber(), "tw.weight");
  unsigned index = main.getNumArguments();
  SmallVector<NamedAttribute> attributes{
      rewriter.getNamedAttr("tw.weight", name), rewriter.getNamedAttr("tw.name", name),
      rewriter.getNamedAttr("tw.packed_by", loader),
      rewriter.getNamedAttr("tw.sources", rewriter.getArrayAttr({rewriter.getI64IntegerAttr(raw.getArgNumber())}))};
  (void)main.insertArgument(index, packedType(type, panels, width), rewriter.getDictionaryAttr(attributes),
                            raw.getLoc());
  weights.push_back({raw, panels, main.getArgument(index)});
  return weights.back().packed;
}

StringAttr PackedWeights::loaderFor(RankedTensorType type, Panels panels, Location loc) {
  std::string key;
  llvm::raw_string_ostream stream(key);
  stream << type << "@" << panels.column;
  if (panels.depth)
    stream << "," << *panels.depth;
  StringAttr &name = loaders[key];
  if (name)
    return name;
  name = rewriter.getStringAttr("load_" + Twine(loaders.size() - 1));
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(rewriter, loc, name, FunctionType::get(type.getContext(), {type}, {}));
  function->setAttr("tw.load", rewriter.getUnitAttr());
  rewriter.setInsertionPointToStart(function.addEntryBlock());
  Value packed = emitLargePack(rewriter, loc, function.getArgument(0), panels, width);
  function.setType(FunctionType::get(type.getContext(), {type}, {packed.getType()}));
  func::ReturnOp::create(rewriter, loc, packed);
  return name;
}

void PackedWeights::readPanelsInGathers() {
  eraseUnusedReshapes();
  for (auto [raw, panels, packed] : weights) {
    if (!llvm::all_of(raw.getUsers(), llvm::IsaPred<tensor::ExtractOp>))
      continue;
    for (Operation *user : llvm::make_early_inc_range(raw.getUsers())) {
      auto extract = cast<tensor::ExtractOp>(user);
      rewriter.setInsertionPoint(extract);
      Location loc = extract.getLoc();
      SmallVector<Value> indices(extract.getIndices());
      // An index is no negative number, so the unsigned operations, which are a shift and a mask, do.
      auto split = [&](Value index, int64_t by) {
        Value divisor = arith::ConstantIndexOp::create(rewriter, loc, by);
        Value quotient = arith::DivUIOp::create(rewriter, loc, index, divisor);
        Value rest = arith::RemUIOp::create(rewriter, loc, index, divisor);
        return std::pair(quotient, rest);
      };
      Value inWord;
      if (panels.depth)
        std::tie(indices[*panels.depth], inWord) = split(indices[*panels.depth], groupOf(extract.getType()));
      auto [number, lane] = split(indices[panels.column], width);
      Value element =
          tensor::ExtractOp::create(rewriter, loc, packed, panelOrder<Value>(indices, panels.column, number, lane));
      if (panels.depth)
        element = emitElement(rewriter, loc, element, inWord, extract.getType());
      rewriter.replaceOp(extract, element);
    }
  }
}

void PackedWeights::eraseUnusedReshapes() {
  SmallVector<Operation *> reshapes;
  main.walk([&](Operation *op) {
    if (reshapeOf(op))
      reshapes.push_back(op);
  });
  for (Operation *op : llvm::reverse(reshapes))
    if (op->use_empty())
      rewriter.eraseOp(op);
}

void PackedWeights::dropUnused() {
  llvm::BitVector unused(main.getNumArguments());
  for (const Weight &weight : weights)
    if (weight.raw.use_empty())
      unused.set(weight.raw.getArgNumber());
  main->setAttr("tw.dropped_arguments", rewriter.getDenseI64ArrayAttr(llvm::map_to_vector(
                                            unused.set_bits(), [](unsigned i) { return int64_t(i); })));
  (void)main.eraseArguments(unused);
}
