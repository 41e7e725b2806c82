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

bool tilewright::isBytewise(linalg::GenericOp op, Value value, Value byte) {
  if (value == byte)
    return byte.getType().isInteger(kByteBits);
  Operation *def = value.getDefiningOp();
  if (isa_and_nonnull<arith::ExtUIOp>(def))
    return isBytewise(op, def->getOperand(0), byte);
  if (!isa_and_nonnull<arith::XOrIOp, arith::AndIOp>(def))
    return false;
  std::optional<int64_t> constant = constantOf(def->getOperand(1));
  bool fits = constant && ((*constant >= 0 && *constant < (1 << kByteBits)) || value.getType().isInteger(kByteBits));
  if (!fits)
    return false;
  Value source = def->getOperand(0);
  auto shift = source.getDefiningOp<arith::ShRUIOp>();
  if (!shift)
    return isBytewise(op, source, byte);
  // No more may be kept than a byte has left.
  std::optional<int64_t> most = mostOf(op, shift.getRhs());
  return isa<arith::AndIOp>(def) && shift.getType().isInteger(32) && most && *most < kByteBits && *constant >= 0 &&
         *constant < (1 << (kByteBits - *most)) && isBytewise(op, shift.getLhs(), byte);
}

std::optional<Offset> tilewright::offsetOf(Operation *conversion) {
  Value integer = conversion->getOperand(0);
  if (isa<arith::UIToFPOp>(conversion))
    return Offset{integer};
  Operation *def = integer.getDefiningOp();
  if (auto wide = dyn_cast_or_null<arith::ExtSIOp>(def); wide && wide.getIn().getType().isInteger(kByteBits))
    return Offset{wide.getIn(), 1 << (kByteBits - 1), true};
  auto isBits = [](Value value) {
    auto mask = value.getDefiningOp<arith::AndIOp>();
    return mask && constantOf(mask.getRhs()).value_or(-1) >= 0;
  };
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
  OpOperand *storage = nullptr;
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    if (!map.isFunctionOfDim(innermost))
      continue;
    if (storage || !getElementTypeOrSelf(input->get()).isInteger(kByteBits) || !map.isProjectedPermutation() ||
        map.getResults().back() != getAffineDimExpr(innermost, op.getContext()))
      return false;
    storage = input;
  }
  int64_t size = op.getStaticLoopRanges()[innermost];
  if (!storage || ShapedType::isDynamic(size) || size % kWordBytes != 0)
    return false;
  unsigned conversions = 0;
  bool fits = true;
  Value byte = op.getMatchingBlockArgument(storage);
  for (Operation &def : *op.getBody())
    if (isa<arith::SIToFPOp, arith::UIToFPOp>(def)) {
      ++conversions;
      std::optional<Offset> offset = offsetOf(&def);
      fits &= offset && (offset->isSignedByte ? offset->bits == byte : isBytewise(op, offset->bits, byte));
    }
  return fits && conversions == 1;
}
