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
constexpr int64_t kByteBits = 8;

std::optional<int64_t> constantOf(Value value) {
  APInt constant;
  return matchPattern(value, m_ConstantInt(&constant)) ? std::optional(constant.getSExtValue()) : std::nullopt;
}

/// Four bits, each in the lowest place of a byte of its own after a multiplication by this: the copies that it adds up lie
/// seven places apart, and no two of their bits in one.
constexpr int32_t kSpreadBits = 0x00204081;

Value emitWordConstant(OpBuilder &b, Location loc, uint32_t value) {
  return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(static_cast<int32_t>(value)));
}

/// Emits for four neighbours, in the bytes of a word, what the body of `op` does for one.
class BytewiseEmitter {
public:
  BytewiseEmitter(OpBuilder &b, Location loc, const StoredDot &dot, IRMapping &mapping)
      : b(b), loc(loc), dot(dot), mapping(mapping) {}

  /// `word` holds what stands for `argument`, offset by 128 in each byte.
  void setWord(BlockArgument argument, Value word) {
    words[argument] = arith::XOrIOp::create(b, loc, word, emitWordConstant(b, loc, 128 * kEveryByte));
  }

  Value emit(Value value) {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return words.lookup(argument);
    Operation *def = value.getDefiningOp();
    if (auto shift = dyn_cast<arith::ShRUIOp>(def))
      return emitShift(shift);
    Value source = emit(def->getOperand(0));
    if (isa<arith::ExtUIOp>(def))
      return source;
    if (isa<arith::AddIOp>(def))
      return arith::AddIOp::create(b, loc, source, emit(def->getOperand(1)));
    if (isa<arith::OrIOp>(def))
      return arith::OrIOp::create(b, loc, source, emit(def->getOperand(1)));
    auto constant = static_cast<uint32_t>(*constantOf(def->getOperand(1)) & 255);
    if (isa<arith::MulIOp>(def)) // no byte grows into the next one
      return arith::MulIOp::create(b, loc, source, emitWordConstant(b, loc, constant));
    Value every = emitWordConstant(b, loc, constant * kEveryByte);
    if (isa<arith::AndIOp>(def))
      return arith::AndIOp::create(b, loc, source, every);
    return arith::XOrIOp::create(b, loc, source, every);
  }

private:
  Value emitShift(arith::ShRUIOp shift) {
    if (!shiftsByStep(shift, dot.depthLoop))
      return arith::ShRUIOp::create(b, loc, emit(shift.getLhs()), mapping.lookupOrDefault(shift.getRhs()));
    // The bits of four steps, from their byte of the word to the lowest places, and from there to a byte each.
    auto byte = cast<BlockArgument>(shift.getLhs().getDefiningOp<arith::ExtUIOp>().getIn());
    const StoredDot::Storage *storage = llvm::find_if(dot.storages, [&](const StoredDot::Storage &each) {
      return each.operand->getOperandNumber() == byte.getArgNumber();
    });
    Value bits = arith::ShRUIOp::create(b, loc, words.lookup(byte), emitPlace(storage->place));
    bits = arith::AndIOp::create(b, loc, bits, emitWordConstant(b, loc, (1 << kWordBytes) - 1));
    return arith::MulIOp::create(b, loc, bits, emitWordConstant(b, loc, kSpreadBits));
  }

  /// Where in a word the bits of four steps begin: in the byte number `place`, four for each step of the words' loop.
  Value emitPlace(ArrayRef<int64_t> place) {
    Value sum = emitWordConstant(b, loc, static_cast<uint32_t>(place.back() * kByteBits));
    for (auto [loop, bytes] : llvm::enumerate(place.drop_back())) {
      int64_t bits = loop == dot.depthLoop ? kWordBytes : bytes * kByteBits;
      if (bits == 0)
        continue;
      Value step = arith::IndexCastOp::create(b, loc, b.getI32Type(), linalg::IndexOp::create(b, loc, loop));
      Value term = arith::MulIOp::create(b, loc, step, emitWordConstant(b, loc, static_cast<uint32_t>(bits)));
      sum = arith::AddIOp::create(b, loc, sum, term);
    }
    return sum;
  }

  OpBuilder &b;
  Location loc;
  const StoredDot &dot;
  IRMapping &mapping;
  llvm::DenseMap<BlockArgument, Value> words;
};

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
  dot.row = nullptr;
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
  std::optional<Bytewise> bytes = number ? bytewise(op, number.getIn(), dot.depthLoop) : std::nullopt;
  if (!bytes)
    return std::nullopt;
  auto operandOf = [&](BlockArgument argument) { return &op->getOpOperand(argument.getArgNumber()); };
  for (BlockArgument argument : bytes->words) {
    AffineMap map = op.getMatchingIndexingMap(operandOf(argument));
    dot.storages.push_back({operandOf(argument), inWords(map, dot.depthLoop), {}});
  }
  for (BlockArgument argument : bytes->bits) {
    AffineMap map = op.getMatchingIndexingMap(operandOf(argument));
    BytesOfBits bits = *bytesOfBits(map, op.getStaticLoopRanges());
    dot.storages.push_back({operandOf(argument), bits.map, bits.place});
  }
  return dot;
}

linalg::GenericOp tilewright::emitStoredDot(RewriterBase &rewriter, linalg::GenericOp op, const StoredDot &dot,
                                            ArrayRef<std::pair<Value, AffineMap>> words) {
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
    inputs.push_back(input == dot.row ? row : input->get());
    maps.push_back(op.getMatchingIndexingMap(input));
  }
  for (auto [storage, packed] : llvm::zip_equal(dot.storages, words))
    std::tie(inputs[storage.operand->getOperandNumber()], maps[storage.operand->getOperandNumber()]) = packed;
  inputs.push_back(scales);
  maps.push_back(scaleMap);
  maps.push_back(op.getMatchingIndexingMap(op.getDpsInitOperand(0)));
  unsigned rowNumber = dot.row->getOperandNumber();
  auto isWord = [&](unsigned operand) {
    return operand == rowNumber || llvm::any_of(dot.storages, [&](const StoredDot::Storage &storage) {
             return storage.operand->getOperandNumber() == operand;
           });
  };
  auto add = cast<arith::AddFOp>(op.getBody()->getTerminator()->getOperand(0).getDefiningOp());
  auto flags = add.getFastmathAttr();
  auto result = linalg::GenericOp::create(
      rewriter, loc, op.getResultTypes(), inputs, op.getOutputs(), maps, op.getIteratorTypesArray(),
      [&](OpBuilder &b, Location l, ValueRange args) {
        IRMapping mapping;
        Block *body = op.getBody();
        for (auto [i, argument] : llvm::enumerate(body->getArguments().drop_back()))
          if (!isWord(i))
            mapping.map(argument, args[i]);
        Value number = cast<arith::UIToFPOp>(dot.number.getDefiningOp()).getIn();
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
        BytewiseEmitter bytewise(b, l, dot, mapping);
        for (const StoredDot::Storage &storage : dot.storages) {
          unsigned operand = storage.operand->getOperandNumber();
          bytewise.setWord(body->getArgument(operand), args[operand]);
        }
        Value integers = bytewise.emit(number);
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
