//===- PackedWeights.cpp - The packed form of weights ---------------------===//
//
// In:  weights of @main and the dimension that somebody wants in panels.
// Out: arguments of @main that hold the panels, and functions @load_K that make them from the raw weights.
//===----------------------------------------------------------------------===//
#include "Transforms/ChooseLayouts/PackedWeights.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace tilewright;

Value tilewright::emitPack(OpBuilder &builder, Location loc, Value source, unsigned position, int64_t panel) {
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

/// `items` as a packed tensor orders them: what belongs to `position` first, the others, what belongs to the column.
template <typename T> static SmallVector<T> panelOrder(ArrayRef<T> items, unsigned position, T first, T last) {
  SmallVector<T> ordered{first};
  for (auto [i, item] : llvm::enumerate(items))
    if (i != position)
      ordered.push_back(item);
  ordered.push_back(last);
  return ordered;
}

static RankedTensorType packedType(RankedTensorType type, unsigned position, int64_t panel) {
  int64_t count = llvm::divideCeil(type.getDimSize(position), panel);
  return type.clone(panelOrder(type.getShape(), position, count, panel));
}

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

std::optional<PackedWeights::Dimension> PackedWeights::behind(Value value, unsigned position) {
  while (auto reshape = reshapeOf(value.getDefiningOp())) {
    std::optional<unsigned> source = sourcePosition(reshape->first, reshape->second, position);
    if (!source)
      return std::nullopt;
    position = *source;
    value = value.getDefiningOp()->getOperand(0);
  }
  auto argument = dyn_cast<BlockArgument>(value);
  if (!argument || argument.getOwner() != &main.getBody().front() ||
      !main.getArgAttr(argument.getArgNumber(), "tw.weight") ||
      !cast<RankedTensorType>(argument.getType()).hasStaticShape())
    return std::nullopt;
  return Dimension(argument, position);
}

Value PackedWeights::pack(Value value, unsigned position) {
  Operation *def = value.getDefiningOp();
  auto reshape = reshapeOf(def);
  if (!reshape)
    return packedArgument({cast<BlockArgument>(value), position});
  auto &[groups, expands] = *reshape;
  unsigned inner = *sourcePosition(groups, expands, position);
  Value source = pack(def->getOperand(0), inner);
  // The same reshape of what lies between the panel's number and the column.
  SmallVector<ReassociationIndices> between;
  int64_t next = 1;
  for (auto [i, group] : llvm::enumerate(groups)) {
    if (i == (expands ? inner : position))
      continue;
    between.emplace_back();
    for (size_t count = group.size(); count > 0; --count)
      between.back().push_back(next++);
  }
  between.insert(between.begin(), ReassociationIndices{0});
  between.push_back({next});
  RankedTensorType type = packedType(cast<RankedTensorType>(value.getType()), position, panel);
  rewriter.setInsertionPoint(def);
  if (expands)
    return tensor::ExpandShapeOp::create(rewriter, def->getLoc(), type, source, between);
  return tensor::CollapseShapeOp::create(rewriter, def->getLoc(), type, source, between);
}

Value PackedWeights::packedArgument(Dimension key) {
  Value &known = packedOf[key];
  if (known)
    return known;
  auto [raw, position] = key;
  auto type = cast<RankedTensorType>(raw.getType());
  StringAttr loader = loaderFor(type, position, raw.getLoc());
  Attribute name = main.getArgAttr(raw.getArgNumber(), "tw.weight");
  unsigned index = main.getNumArguments();
  SmallVector<NamedAttribute> attributes{
      rewriter.getNamedAttr("tw.weight", name), rewriter.getNamedAttr("tw.name", name),
      rewriter.getNamedAttr("tw.packed_by", loader),
      rewriter.getNamedAttr("tw.sources", rewriter.getArrayAttr({rewriter.getI64IntegerAttr(raw.getArgNumber())}))};
  (void)main.insertArgument(index, packedType(type, position, panel), rewriter.getDictionaryAttr(attributes),
                            raw.getLoc());
  known = main.getArgument(index);
  return known;
}

StringAttr PackedWeights::loaderFor(RankedTensorType type, unsigned position, Location loc) {
  std::string key;
  llvm::raw_string_ostream(key) << type << "@" << position;
  StringAttr &name = loaders[key];
  if (name)
    return name;
  name = rewriter.getStringAttr("load_" + Twine(loaders.size() - 1));
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(rewriter, loc, name, FunctionType::get(type.getContext(), {type}, {}));
  function->setAttr("tw.load", rewriter.getUnitAttr());
  rewriter.setInsertionPointToStart(function.addEntryBlock());
  Value packed = emitPack(rewriter, loc, function.getArgument(0), position, panel);
  function.setType(FunctionType::get(type.getContext(), {type}, {packed.getType()}));
  func::ReturnOp::create(rewriter, loc, packed);
  auto pack = packed.getDefiningOp<linalg::PackOp>();
  rewriter.setInsertionPoint(pack);
  (void)linalg::lowerPack(rewriter, pack, /*lowerPadLikeWithInsertSlice=*/false);
  return name;
}

void PackedWeights::readPanelsInGathers() {
  eraseUnusedReshapes();
  for (auto &[key, packed] : packedOf) {
    auto [raw, position] = key;
    if (!llvm::all_of(raw.getUsers(), llvm::IsaPred<tensor::ExtractOp>))
      continue;
    for (Operation *user : llvm::make_early_inc_range(raw.getUsers())) {
      auto extract = cast<tensor::ExtractOp>(user);
      rewriter.setInsertionPoint(extract);
      Location loc = extract.getLoc();
      SmallVector<Value> indices(extract.getIndices());
      Value width = arith::ConstantIndexOp::create(rewriter, loc, panel);
      // An index is no negative number, so the unsigned operations, which are a shift and a mask, do.
      Value number = arith::DivUIOp::create(rewriter, loc, indices[position], width);
      Value column = arith::RemUIOp::create(rewriter, loc, indices[position], width);
      rewriter.replaceOpWithNewOp<tensor::ExtractOp>(extract, packed,
                                                     panelOrder<Value>(indices, position, number, column));
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
  for (auto &[key, value] : packedOf)
    if (key.first.use_empty())
      unused.set(key.first.getArgNumber());
  main->setAttr("tw.dropped_arguments", rewriter.getDenseI64ArrayAttr(llvm::map_to_vector(
                                            unused.set_bits(), [](unsigned i) { return int64_t(i); })));
  (void)main.eraseArguments(unused);
}
