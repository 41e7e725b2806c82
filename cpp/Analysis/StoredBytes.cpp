//===- StoredBytes.cpp - Products of integers in bytes --------------------===//
//
// Definitions stand in the header.
//
//===----------------------------------------------------------------------===//
#include "Analysis/StoredBytes.h"

#include "Analysis/Products.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace tilewright;

static constexpr int64_t kByteBits = 8;

static std::optional<int64_t> constantOf(Value value) {
  APInt constant;
  return matchPattern(value, m_ConstantInt(&constant)) ? std::optional(constant.getSExtValue()) : std::nullopt;
}

std::optional<RoundedToBytes> tilewright::roundedToBytes(Value value) {
  Value source = value;
  if (auto expand = source.getDefiningOp<tensor::ExpandShapeOp>())
    source = expand.getSrc();
  auto producer = source.getDefiningOp<linalg::GenericOp>();
  if (!producer || producer.getNumReductionLoops() || producer->getNumResults() != 1 || producer.getNumLoops() < 2 ||
      producer.hasIndexSemantics() || producer.payloadUsesValueFromOperand(producer.getDpsInitOperand(0)) ||
      !producer.getMatchingIndexingMap(producer.getDpsInitOperand(0)).isIdentity())
    return std::nullopt;
  auto product = producer.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::MulFOp>();
  if (!product || !product.getType().isF32())
    return std::nullopt;
  LoopsOf loopsOf(producer);
  for (unsigned i : {0, 1}) {
    auto number = product->getOperand(i).getDefiningOp<arith::SIToFPOp>();
    auto wide = number ? number.getIn().getDefiningOp<arith::ExtSIOp>() : nullptr;
    Value integer = wide ? wide.getIn() : number ? number.getIn() : Value(), scale = product->getOperand(1 - i);
    if (integer && integer.getType().isInteger(kByteBits) && !loopsOf(scale).test(producer.getNumLoops() - 1))
      return RoundedToBytes{producer, integer, scale, value};
  }
  return std::nullopt;
}

bool tilewright::readsRoundedBytes(linalg::GenericOp op, OpOperand *weight) {
  return llvm::any_of(op.getDpsInputOperands(),
                      [&](OpOperand *input) { return input != weight && roundedToBytes(input->get()).has_value(); });
}

/// The most that a number of bits to shift by can be: sums and products of constants and loop indices.
static std::optional<int64_t> mostOf(linalg::GenericOp op, Value value) {
  if (std::optional<int64_t> constant = constantOf(value))
    return *constant >= 0 ? constant : std::nullopt;
  Operation *def = value.getDefiningOp();
  if (auto index = dyn_cast_or_null<linalg::IndexOp>(def)) {
    int64_t size = op.getStaticLoopRanges()[index.getDim()];
    return ShapedType::isDynamic(size) || size < 1 ? std::nullopt : std::optional(size - 1);
  }
  if (isa_and_nonnull<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtUIOp>(def))
    return mostOf(op, def->getOperand(0));
  if (!isa_and_nonnull<arith::MulIOp, arith::AddIOp>(def))
    return std::nullopt;
  std::optional<int64_t> lhs = mostOf(op, def->getOperand(0)), rhs = mostOf(op, def->getOperand(1));
  if (!lhs || !rhs)
    return std::nullopt;
  return isa<arith::MulIOp>(def) ? *lhs * *rhs : *lhs + *rhs;
}

bool tilewright::runsInWords(AffineMap map, unsigned loop) {
  if (map.getNumResults() == 0 || map.getNumSymbols())
    return false;
  AffineExpr step = getAffineDimExpr(loop, map.getContext());
  for (AffineExpr result : map.getResults().drop_back())
    if (result.isFunctionOfDim(loop))
      return false;
  AffineExpr rest = simplifyAffineExpr(map.getResults().back() - step, map.getNumDims(), 0);
  return !rest.isFunctionOfDim(loop) && rest.isMultipleOf(kWordBytes);
}

AffineMap tilewright::inWords(AffineMap map, unsigned loop) {
  AffineExpr step = getAffineDimExpr(loop, map.getContext());
  SmallVector<AffineExpr> results(map.getResults());
  AffineExpr rest = simplifyAffineExpr(results.back() - step, map.getNumDims(), 0);
  results.back() = simplifyAffineExpr(rest.floorDiv(kWordBytes) + step, map.getNumDims(), 0);
  return AffineMap::get(map.getNumDims(), 0, results, map.getContext());
}

/// The factors of the loops in `expr`, and the constant; nothing if it is more than a sum of multiples.
static std::optional<SmallVector<int64_t>> factorsOf(AffineExpr expr, unsigned loops) {
  MLIRContext *context = expr.getContext();
  SmallVector<AffineExpr> at(loops, getAffineConstantExpr(0, context));
  auto valueAt = [&] { return cast<AffineConstantExpr>(expr.replaceDims(at)).getValue(); };
  int64_t constant = valueAt();
  SmallVector<int64_t> factors;
  AffineExpr sum = getAffineConstantExpr(constant, context);
  for (unsigned loop = 0; loop < loops; ++loop) {
    at[loop] = getAffineConstantExpr(1, context);
    factors.push_back(valueAt() - constant);
    at[loop] = getAffineConstantExpr(0, context);
    sum = sum + getAffineDimExpr(loop, context) * factors.back();
  }
  factors.push_back(constant);
  bool isSum = simplifyAffineExpr(expr - sum, loops, 0) == at.front();
  return isSum ? std::optional(factors) : std::nullopt;
}

std::optional<BytesOfBits> tilewright::bytesOfBits(AffineMap map, ArrayRef<int64_t> ranges) {
  unsigned loops = map.getNumDims();
  if (map.getNumResults() == 0 || map.getNumSymbols() || loops == 0)
    return std::nullopt;
  std::optional<SmallVector<int64_t>> factors = factorsOf(map.getResults().back(), loops);
  if (!factors || llvm::any_of(*factors, [](int64_t factor) { return factor < 0; }))
    return std::nullopt;
  BytesOfBits bits;
  bits.place.resize(loops + 1);
  bits.place.back() = factors->back() % kWordBytes;
  AffineExpr word = getAffineConstantExpr(factors->back() / kWordBytes, map.getContext());
  int64_t most = bits.place.back();
  for (unsigned loop = 0; loop < loops; ++loop) {
    int64_t factor = (*factors)[loop];
    if (factor % kWordBytes == 0) {
      word = word + getAffineDimExpr(loop, map.getContext()) * (factor / kWordBytes);
      continue;
    }
    if (ShapedType::isDynamic(ranges[loop]))
      return std::nullopt;
    bits.place[loop] = factor;
    most += factor * (ranges[loop] - 1);
  }
  if (most >= kWordBytes)
    return std::nullopt;
  SmallVector<AffineExpr> results(map.getResults());
  results.back() = word;
  bits.map = AffineMap::get(loops, 0, results, map.getContext());
  return bits;
}

bool tilewright::shiftsByStep(arith::ShRUIOp shift, unsigned loop) {
  Value amount = shift.getRhs();
  while (Operation *def = amount.getDefiningOp()) {
    if (auto index = dyn_cast<linalg::IndexOp>(def))
      return index.getDim() == loop;
    if (!isa<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtUIOp>(def))
      return false;
    amount = def->getOperand(0);
  }
  return false;
}

namespace {

/// Follows the steps that make a number of stored bytes.
class BytewiseSteps {
public:
  BytewiseSteps(linalg::GenericOp op, unsigned loop) : op(op), loop(loop), loopsOf(op) {}

  /// The largest value of `value`, which fits a byte; nothing if some step cannot be taken.
  std::optional<int64_t> most(Value value) {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return readsWord(argument) ? std::optional<int64_t>(kMostOfByte) : std::nullopt;
    Operation *def = value.getDefiningOp();
    if (isa<arith::ExtUIOp>(def))
      return most(def->getOperand(0));
    if (isa<arith::AddIOp, arith::OrIOp>(def)) {
      std::optional<int64_t> lhs = most(def->getOperand(0)), rhs = most(def->getOperand(1));
      return lhs && rhs ? inByte(*lhs + *rhs) : std::nullopt;
    }
    if (!isa<arith::XOrIOp, arith::AndIOp, arith::MulIOp>(def))
      return std::nullopt;
    std::optional<int64_t> constant = constantOf(def->getOperand(1));
    if (constant && value.getType().isInteger(kByteBits))
      constant = *constant & kMostOfByte;
    if (!constant || !inByte(*constant))
      return std::nullopt;
    if (auto shift = def->getOperand(0).getDefiningOp<arith::ShRUIOp>())
      return isa<arith::AndIOp>(def) ? masked(shift, *constant) : std::nullopt;
    std::optional<int64_t> source = most(def->getOperand(0));
    if (!source)
      return std::nullopt;
    if (isa<arith::MulIOp>(def))
      return inByte(*source * *constant);
    return isa<arith::AndIOp>(def) ? std::min(*source, *constant) : kMostOfByte;
  }

  Bytewise found;

private:
  static constexpr int64_t kMostOfByte = (1 << kByteBits) - 1;

  static std::optional<int64_t> inByte(int64_t value) {
    return value >= 0 && value <= kMostOfByte ? std::optional(value) : std::nullopt;
  }

  bool isByte(BlockArgument argument) {
    return argument.getOwner() == op.getBody() && argument.getType().isInteger(kByteBits) &&
           argument.getArgNumber() < op.getNumDpsInputs();
  }
  AffineMap mapOf(BlockArgument argument) {
    return op.getMatchingIndexingMap(&op->getOpOperand(argument.getArgNumber()));
  }

  bool readsWord(BlockArgument argument) {
    bool reads = isByte(argument) && runsInWords(mapOf(argument), loop);
    if (reads)
      found.words.insert(argument);
    return reads;
  }

  /// `shift` and then `mask`: no more may be kept than a byte has left.
  std::optional<int64_t> masked(arith::ShRUIOp shift, int64_t mask) {
    std::optional<int64_t> by = mostOf(op, shift.getRhs());
    if (!shift.getType().isInteger(32) || !by || *by >= kByteBits || mask >= (1 << (kByteBits - *by)))
      return std::nullopt;
    if (!loopsOf(shift.getRhs()).test(loop))
      return most(shift.getLhs()) ? std::optional(mask) : std::nullopt;
    // Eight steps take the eight bits of a byte that is the same for all of them.
    auto wide = shift.getLhs().getDefiningOp<arith::ExtUIOp>();
    auto byte = dyn_cast_or_null<BlockArgument>(wide ? wide.getIn() : Value());
    SmallVector<int64_t> ranges = op.getStaticLoopRanges();
    if (!byte || !isByte(byte) || mask != 1 || ranges[loop] != kByteBits || !shiftsByStep(shift, loop) ||
        mapOf(byte).isFunctionOfDim(loop) || !bytesOfBits(mapOf(byte), ranges))
      return std::nullopt;
    found.bits.insert(byte);
    return mask;
  }

  linalg::GenericOp op;
  unsigned loop;
  LoopsOf loopsOf;
};

} // namespace

std::optional<Bytewise> tilewright::bytewise(linalg::GenericOp op, Value value, unsigned loop) {
  BytewiseSteps steps(op, loop);
  std::optional<int64_t> most = steps.most(value);
  if (!most || steps.found.words.empty())
    return std::nullopt;
  steps.found.most = *most;
  return steps.found;
}

/// Whether `value` is no negative number, being put together of masked bits.
static bool isBits(Value value) {
  Operation *def = value.getDefiningOp();
  if (isa_and_nonnull<arith::AddIOp, arith::OrIOp>(def))
    return isBits(def->getOperand(0)) && isBits(def->getOperand(1));
  bool hasConstant =
      isa_and_nonnull<arith::AndIOp, arith::MulIOp>(def) && constantOf(def->getOperand(1)).value_or(-1) >= 0;
  return hasConstant && (isa<arith::AndIOp>(def) || isBits(def->getOperand(0)));
}

std::optional<Offset> tilewright::offsetOf(Operation *conversion) {
  Value integer = conversion->getOperand(0);
  if (isa<arith::UIToFPOp>(conversion))
    return Offset{integer};
  Operation *def = integer.getDefiningOp();
  if (auto wide = dyn_cast_or_null<arith::ExtSIOp>(def); wide && wide.getIn().getType().isInteger(kByteBits))
    return Offset{wide.getIn(), 1 << (kByteBits - 1), true};
  if (isBits(integer))
    return Offset{integer};
  auto sub = dyn_cast_or_null<arith::SubIOp>(def);
  std::optional<int64_t> middle = sub ? constantOf(sub.getRhs()) : std::nullopt;
  if (!middle || !isBits(sub.getLhs()))
    return std::nullopt;
  return Offset{sub.getLhs(), *middle};
}

bool tilewright::dequantisesBytes(linalg::GenericOp op) {
  if (op.getNumReductionLoops() || op.getNumLoops() == 0 || op->getNumResults() != 1)
    return false;
  unsigned innermost = op.getNumLoops() - 1;
  int64_t size = op.getStaticLoopRanges()[innermost];
  if (ShapedType::isDynamic(size) || size % kWordBytes != 0)
    return false;
  Operation *conversion = nullptr;
  for (Operation &def : *op.getBody())
    if (isa<arith::SIToFPOp, arith::UIToFPOp>(def)) {
      if (conversion)
        return false;
      conversion = &def;
    }
  std::optional<Offset> offset = conversion ? offsetOf(conversion) : std::nullopt;
  std::optional<Bytewise> number = offset ? bytewise(op, offset->bits, innermost) : std::nullopt;
  if (!number || (offset->isSignedByte && !isa<BlockArgument>(offset->bits)))
    return false;
  return llvm::all_of(op.getDpsInputOperands(), [&](OpOperand *input) {
    return number->words.contains(op.getMatchingBlockArgument(input)) ||
           !op.getMatchingIndexingMap(input).isFunctionOfDim(innermost);
  });
}
