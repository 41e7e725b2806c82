//===- StoredDot.cpp - Products of stored integers and rounded rows -------===//
//
// What is matched and made stands in the header. The rounded row becomes words of four bytes, and a scale for each
// group, by operations of their own; integers of the column are taken out of all four bytes of a word at once.
//===----------------------------------------------------------------------===//
#include "Transforms/ChooseLayouts/StoredDot.h"
#include "Transforms/ChooseLayouts/Panels.h"

#include "TwRt/TwRtDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace tilewright;

namespace {

/// A byte in all four places of a word.
constexpr uint32_t kEveryByte = 0x01010101;

std::optional<int64_t> constantOf(Value value) {
  APInt constant;
  return matchPattern(value, m_ConstantInt(&constant)) ? std::optional(constant.getSExtValue()) : std::nullopt;
}

/// `value` for the four bytes of `word`.
Value emitBytewise(OpBuilder &b, Location loc, Value value, Value byte, Value word, IRMapping &mapping) {
  if (value == byte)
    return word;
  Operation *def = value.getDefiningOp();
  Value source = emitBytewise(b, loc, def->getOperand(0), byte, word, mapping);
  if (isa<arith::ExtUIOp>(def))
    return source;
  if (isa<arith::ShRUIOp>(def))
    return arith::ShRUIOp::create(b, loc, source, mapping.lookupOrDefault(def->getOperand(1)));
  uint32_t every = static_cast<uint32_t>(*constantOf(def->getOperand(1)) & 255) * kEveryByte;
  Value constant = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(static_cast<int32_t>(every)));
  if (isa<arith::AndIOp>(def))
    return arith::AndIOp::create(b, loc, source, constant);
  return arith::XOrIOp::create(b, loc, source, constant);
}

/// A generic over the first `rank` loops of `producer` whose result is `value` of its body.
Value emitPartOf(RewriterBase &rewriter, linalg::GenericOp producer, Value value, unsigned rank) {
  Location loc = producer.getLoc();
  llvm::SetVector<Value> needed;
  needed.insert(value);
  for (size_t i = 0; i < needed.size(); ++i)
    if (Operation *def = needed[i].getDefiningOp(); def && def->getBlock() == producer.getBody())
      needed.insert_range(def->getOperands());
  SmallVector<Value> inputs, arguments;
  SmallVector<AffineMap> maps;
  for (OpOperand *input : producer.getDpsInputOperands())
    if (BlockArgument argument = producer.getMatchingBlockArgument(input); needed.contains(argument)) {
      inputs.push_back(input->get());
      arguments.push_back(argument);
      AffineMap map = producer.getMatchingIndexingMap(input);
      maps.push_back(AffineMap::get(rank, 0, map.getResults(), map.getContext()));
    }
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, producer.getDpsInits().front());
  sizes.resize(rank);
  Value empty = tensor::EmptyOp::create(rewriter, loc, sizes, value.getType());
  maps.push_back(rewriter.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> kinds(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(rewriter, loc, empty.getType(), inputs, empty, maps, kinds,
                                   [&](OpBuilder &b, Location l, ValueRange args) {
                                     IRMapping mapping;
                                     mapping.map(arguments, args.drop_back());
                                     for (Operation &def : producer.getBody()->without_terminator())
                                       if (needed.contains(def.getResult(0)))
                                         b.clone(def, mapping);
                                     linalg::YieldOp::create(b, l, mapping.lookupOrDefault(value));
                                   })
      .getResult(0);
}

/// The words of a tensor of bytes: four neighbours of its last dimension each.
Value emitWordsOf(RewriterBase &rewriter, Location loc, Value bytes) {
  auto type = cast<RankedTensorType>(bytes.getType());
  unsigned last = type.getRank() - 1;
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, bytes);
  sizes[last] = rewriter.getIndexAttr(type.getDimSize(last) / kWordBytes);
  Value empty = tensor::EmptyOp::create(rewriter, loc, sizes, rewriter.getI32Type());
  AffineMap identity = rewriter.getMultiDimIdentityMap(type.getRank());
  AffineExpr loop = rewriter.getAffineDimExpr(last);
  SmallVector<AffineMap> maps;
  for (int64_t i = 0; i < kWordBytes; ++i)
    maps.push_back(identity.replace(loop, loop * kWordBytes + i, type.getRank(), 0));
  maps.push_back(identity);
  SmallVector<utils::IteratorType> kinds(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(rewriter, loc, empty.getType(), SmallVector<Value>(kWordBytes, bytes), empty, maps,
                                   kinds,
                                   [](OpBuilder &b, Location l, ValueRange args) {
                                     linalg::YieldOp::create(b, l, emitWord(b, l, args.drop_back(), false));
                                   })
      .getResult(0);
}

/// `value` with its dimensions split as in `view`; `view` splits more dimensions than `value` may have, and the last of
/// `value` is in units of `unit`.
Value splitLike(RewriterBase &rewriter, tensor::ExpandShapeOp view, Value value, int64_t unit) {
  auto type = cast<RankedTensorType>(value.getType()), viewed = view.getResultType();
  SmallVector<ReassociationIndices> groups = view.getReassociationIndices();
  bool isWhole = static_cast<size_t>(type.getRank()) == groups.size();
  groups.resize(type.getRank());
  SmallVector<OpFoldResult> sizes = view.getMixedOutputShape();
  unsigned rank = groups.back().back() + 1;
  SmallVector<int64_t> shape(viewed.getShape().take_front(rank));
  sizes.resize(rank);
  if (isWhole) {
    shape.back() /= unit;
    sizes.back() = rewriter.getIndexAttr(shape.back());
  }
  if (rank == static_cast<unsigned>(type.getRank()))
    return value;
  return tensor::ExpandShapeOp::create(rewriter, view.getLoc(), type.clone(shape), value, groups, sizes);
}

/// Whether what `op` adds up may be added in another order.
bool mayReassociate(linalg::GenericOp op) {
  auto add = cast<arith::AddFOp>(op.getBody()->getTerminator()->getOperand(0).getDefiningOp());
  return arith::bitEnumContainsAll(add.getFastmath(), arith::FastMathFlags::reassoc);
}

/// Whether the sizes that become words are known.
bool hasStaticGroups(const RoundedToBytes &rounded) {
  auto isStatic = [](Value value) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    return type && type.getRank() > 0 && !type.isDynamicDim(type.getRank() - 1);
  };
  return isStatic(rounded.producer->getResult(0)) && isStatic(rounded.view);
}

} // namespace

std::optional<StoredDot> tilewright::matchStoredDot(linalg::GenericOp op, unsigned columnLoop,
                                                    DotInstructions instructions) {
  Value summand = instructions.i8 ? summandOf(op) : Value();
  if (!summand || !summand.getType().isF32() || !mayReassociate(op))
    return std::nullopt;
  StoredDot dot;
  dot.row = dot.storage = nullptr;
  for (OpOperand *input : op.getDpsInputOperands())
    if (std::optional<RoundedToBytes> rounded = roundedToBytes(input->get())) {
      if (dot.row)
        return std::nullopt;
      dot.row = input;
      dot.rounded = *rounded;
    }
  if (!dot.row)
    return std::nullopt;
  AffineMap rows = op.getMatchingIndexingMap(dot.row);
  BlockArgument row = op.getMatchingBlockArgument(dot.row);
  if (rows.isFunctionOfDim(columnLoop) || !rows.isProjectedPermutation() || !hasStaticGroups(dot.rounded))
    return std::nullopt;

  // The innermost loop of both sides, in which nothing else changes.
  dot.depthLoop = cast<AffineDimExpr>(rows.getResults().back()).getPosition();
  int64_t size = op.getStaticLoopRanges()[dot.depthLoop];
  if (op.getIteratorTypesArray()[dot.depthLoop] != utils::IteratorType::reduction || ShapedType::isDynamic(size) ||
      size % kWordBytes != 0)
    return std::nullopt;
  dot.products = expandProducts(summand);
  LoopsOf loopsOf(op);
  unsigned found = 0;
  for (auto [i, product] : llvm::enumerate(dot.products)) {
    SmallVector<Value> inside;
    llvm::copy_if(product.factors, std::back_inserter(inside),
                  [&](Value factor) { return loopsOf(factor).test(dot.depthLoop); });
    if (inside.empty())
      continue;
    if (++found > 1 || inside.size() != 2 || !llvm::is_contained(inside, row))
      return std::nullopt;
    dot.product = i;
    dot.number = inside[0] == row ? inside[1] : inside[0];
  }
  auto number = found ? dot.number.getDefiningOp<arith::UIToFPOp>() : arith::UIToFPOp();
  if (!number)
    return std::nullopt;
  for (OpOperand *input : op.getDpsInputOperands())
    if (isBytewise(op, number.getIn(), op.getMatchingBlockArgument(input)))
      dot.storage = input;
  if (!dot.storage)
    return std::nullopt;
  AffineMap columns = op.getMatchingIndexingMap(dot.storage);
  if (!columns.isProjectedPermutation() || columns.getResults().back() != rows.getResults().back())
    return std::nullopt;
  return dot;
}

linalg::GenericOp tilewright::emitStoredDot(RewriterBase &rewriter, linalg::GenericOp op, const StoredDot &dot,
                                            Value words, AffineMap wordsMap) {
  Location loc = op.getLoc();
  linalg::GenericOp producer = dot.rounded.producer;
  unsigned rank = producer.getNumLoops();
  rewriter.setInsertionPoint(op);
  Value bytes = emitPartOf(rewriter, producer, dot.rounded.integer, rank);
  Value row = emitWordsOf(rewriter, loc, bytes);
  Value scales = emitPartOf(rewriter, producer, dot.rounded.scale, rank - 1);
  unsigned scaleRank = rank - 1;
  if (auto view = dot.rounded.view.getDefiningOp<tensor::ExpandShapeOp>()) {
    row = splitLike(rewriter, view, row, kWordBytes);
    scales = splitLike(rewriter, view, scales, 1);
    scaleRank = cast<RankedTensorType>(scales.getType()).getRank();
  }
  AffineMap rowMap = op.getMatchingIndexingMap(dot.row);
  AffineMap scaleMap =
      AffineMap::get(rowMap.getNumDims(), 0, rowMap.getResults().take_front(scaleRank), op.getContext());

  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (OpOperand *input : op.getDpsInputOperands()) {
    bool isRow = input == dot.row, isStorage = input == dot.storage;
    inputs.push_back(isRow ? row : isStorage ? words : input->get());
    maps.push_back(isStorage ? wordsMap : op.getMatchingIndexingMap(input));
  }
  inputs.push_back(scales);
  maps.push_back(scaleMap);
  maps.push_back(op.getMatchingIndexingMap(op.getDpsInitOperand(0)));
  unsigned rowNumber = dot.row->getOperandNumber(), storageNumber = dot.storage->getOperandNumber();
  auto add = cast<arith::AddFOp>(op.getBody()->getTerminator()->getOperand(0).getDefiningOp());
  auto flags = add.getFastmathAttr();
  auto result = linalg::GenericOp::create(
      rewriter, loc, op.getResultTypes(), inputs, op.getOutputs(), maps, op.getIteratorTypesArray(),
      [&](OpBuilder &b, Location l, ValueRange args) {
        IRMapping mapping;
        Block *body = op.getBody();
        for (auto [i, argument] : llvm::enumerate(body->getArguments().drop_back()))
          if (i != rowNumber && i != storageNumber)
            mapping.map(argument, args[i]);
        Value number = cast<arith::UIToFPOp>(dot.number.getDefiningOp()).getIn(),
              byte = body->getArgument(storageNumber);
        auto multiply = [&](ValueRange factors) {
          Value product = factors.front();
          for (Value factor : factors.drop_front())
            product = arith::MulFOp::create(b, l, product, factor, flags);
          return product;
        };
        // What the body computes besides; steps of the integers that are left over are dead.
        for (Operation &def : body->without_terminator())
          if (llvm::all_of(def.getOperands(), [&](Value operand) {
                return operand.getParentBlock() != body || mapping.contains(operand);
              }))
            b.clone(def, mapping);
        Value flip = arith::ConstantOp::create(b, l, b.getI32IntegerAttr(static_cast<int32_t>(128 * kEveryByte)));
        Value word = arith::XOrIOp::create(b, l, args[storageNumber], flip);
        Value integers = emitBytewise(b, l, number, byte, word, mapping);
        Value sum = rt::GroupDotOp::create(b, l, b.getI32Type(), integers, args[rowNumber]);
        Value float32 = arith::SIToFPOp::create(b, l, b.getF32Type(), sum);
        Value total;
        for (auto [i, product] : llvm::enumerate(dot.products)) {
          SmallVector<Value> factors;
          for (Value factor : product.factors) {
            if (factor == dot.number)
              factors.push_back(float32);
            else if (factor == body->getArgument(rowNumber))
              factors.push_back(args[inputs.size() - 1]);
            else
              factors.push_back(mapping.lookupOrDefault(factor));
          }
          // A step stands for four: what was added at each of them is added four times.
          if (i != dot.product)
            factors.push_back(arith::ConstantOp::create(b, l, b.getF32FloatAttr(kWordBytes)));
          Value term = multiply(factors);
          if (product.negative)
            term = arith::NegFOp::create(b, l, term, flags);
          total = total ? arith::AddFOp::create(b, l, total, term, flags).getResult() : term;
        }
        linalg::YieldOp::create(b, l, arith::AddFOp::create(b, l, args.back(), total, flags).getResult());
      });
  result->setAttr("tw.group_dot", rewriter.getUnitAttr());
  rewriter.replaceOp(op, result);
  return result;
}
