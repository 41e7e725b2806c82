//===- SmallIntegers.cpp - Bits of a word become floats without conversion --===//
//
// In:  device code at the end of stage target: conversions to f32 of integers that are a few bits of a word, as
//      dequantisation makes them.
// Out: the bits put into the significand of 2^23 (one `lop3`), less what that adds: exact, for every value. Conversions run
//      at a fourth of the rate of additions, or at an eighth, and need a shift for every value besides.
// Here, where the code of a thread is known: which bits are wanted often depends on an unrolled index.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Cuda.h"

#include "mlir/IR/Matchers.h"

namespace tilewright {
#define GEN_PASS_DEF_CUDASMALLINTEGERSPASS
#include "Targets/Cuda/Cuda.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Bits below the exponent of a float, and the float whose last bit counts one.
constexpr int64_t kSignificand = 23, kOnes = 0x4B000000;
/// By how much words are shifted whose wanted bits are too high: what is left of any field fits, so that its fields share it.
constexpr int64_t kHalf = 16;

/// An integer: `width` bits of `word` from bit `low` on, exclusive or `flip`, plus `offset`.
struct Field {
  Value word;
  int64_t low = 0, width = 32, flip = 0, offset = 0;
  bool isPlain() const { return !flip && !offset; }
};

std::optional<int64_t> constantOf(Value value) {
  APInt found;
  return matchPattern(value, m_ConstantInt(&found)) ? std::optional(found.getSExtValue()) : std::nullopt;
}

/// Bits that an integer has at most, if it is not negative; all of its type's where that is not known.
int64_t widthOf(Value value) {
  int64_t bits = value.getType().getIntOrFloatBitWidth();
  Operation *def = value.getDefiningOp();
  if (!def || def->getNumOperands() > 2)
    return bits;
  if (isa<arith::ExtUIOp>(def))
    return widthOf(def->getOperand(0));
  std::optional<int64_t> constant = def->getNumOperands() == 2 ? constantOf(def->getOperand(1)) : std::nullopt;
  bool isPositive = constant && *constant > 0;
  int64_t found = bits;
  if (isa<arith::AndIOp>(def) && isPositive)
    found = llvm::Log2_64(*constant) + 1;
  else if (isa<arith::MulIOp>(def) && isPositive)
    found = widthOf(def->getOperand(0)) + llvm::Log2_64_Ceil(*constant);
  else if (isa<arith::ShLIOp>(def) && constant && *constant >= 0)
    found = widthOf(def->getOperand(0)) + *constant;
  else if (isa<arith::AddIOp>(def))
    found = std::max(widthOf(def->getOperand(0)), widthOf(def->getOperand(1))) + 1;
  return std::min(found, bits);
}

/// What an integer is made of; any value is at least a field of itself.
Field fieldOf(Value value) {
  int64_t bits = value.getType().getIntOrFloatBitWidth();
  Field itself{value, 0, widthOf(value)};
  Operation *def = value.getDefiningOp();
  if (!def)
    return itself;
  if (isa<arith::ExtUIOp, arith::ExtSIOp>(def)) {
    int64_t from = def->getOperand(0).getType().getIntOrFloatBitWidth();
    Field inner = fieldOf(def->getOperand(0));
    bool isSigned = isa<arith::ExtSIOp>(def) && inner.width == from;
    if (from < 8 || inner.offset || (isSigned && inner.flip))
      return itself;
    if (isSigned) {
      inner.flip = int64_t{1} << (from - 1);
      inner.offset = -inner.flip;
    }
    return inner;
  }
  if (isa<arith::TruncIOp>(def)) {
    Field inner = fieldOf(def->getOperand(0));
    if (bits < 8 || !inner.isPlain())
      return itself;
    inner.width = std::min(inner.width, bits);
    return inner;
  }
  if (def->getNumOperands() != 2)
    return itself;
  std::optional<int64_t> constant = constantOf(def->getOperand(1));
  Field inner = fieldOf(def->getOperand(0));
  if (!constant)
    return itself;
  if (isa<arith::AddIOp, arith::SubIOp>(def) && inner.width < bits && bits == 32) {
    inner.offset += isa<arith::AddIOp>(def) ? *constant : -*constant;
    return inner;
  }
  if (isa<arith::XOrIOp>(def) && !inner.offset && *constant >= 0 && *constant < (int64_t{1} << inner.width)) {
    inner.flip ^= *constant;
    return inner;
  }
  if (isa<arith::AndIOp>(def) && inner.isPlain() && *constant > 0 && llvm::isMask_64(*constant)) {
    inner.width = std::min<int64_t>(inner.width, llvm::countr_one(static_cast<uint64_t>(*constant)));
    return inner;
  }
  if (isa<arith::ShRUIOp>(def) && inner.isPlain() && *constant >= 0 && *constant < inner.width) {
    inner.low += *constant;
    inner.width -= *constant;
    return inner;
  }
  return itself;
}

/// The same number as a conversion of `field` gives; null where it is not small.
Value convert(OpBuilder &builder, Location loc, const Field &field) {
  constexpr int64_t most = int64_t{1} << (kSignificand - 1);
  Type i32 = builder.getI32Type();
  int64_t bits = field.word.getType().getIntOrFloatBitWidth();
  if (bits > 32 || field.width >= kSignificand || field.low + field.width > bits || field.offset <= -most ||
      field.offset >= most)
    return {};
  auto integer = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(static_cast<int32_t>(value)));
  };
  auto number = [&](double value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(static_cast<float>(value)));
  };
  Value word = bits == 32 ? field.word : arith::ExtUIOp::create(builder, loc, i32, field.word).getResult();
  int64_t low = field.low;
  if (low + field.width > kSignificand) {
    word = arith::ShRUIOp::create(builder, loc, word, integer(kHalf));
    low -= kHalf;
  }
  if (low < 0)
    return {};
  int64_t mask = (int64_t{1} << field.width) - 1;
  // (word & mask) ^ raised, written as the one instruction that it is: with two constants, the assembler would take two.
  Value raised = LLVM::InlineAsmOp::create(
                     builder, loc, i32, ValueRange{word, integer(mask << low), integer(kOnes | field.flip << low)},
                     "lop3.b32 $0, $1, $2, $3, 0x6a;", "=r,r,r,r", /*has_side_effects=*/false,
                     /*is_align_stack=*/false, LLVM::TailCallKind::None, LLVM::AsmDialectAttr(), ArrayAttr())
                     .getRes();
  Value found = arith::BitcastOp::create(builder, loc, builder.getF32Type(), raised);
  // The field counts 2^low; all steps are exact.
  double more = static_cast<double>(int64_t{1} << (kSignificand - low)) - static_cast<double>(field.offset);
  if (low == 0)
    return arith::SubFOp::create(builder, loc, found, number(more));
  return LLVM::FMAOp::create(builder, loc, found, number(1.0 / static_cast<double>(int64_t{1} << low)), number(-more));
}

struct CudaSmallIntegersPass : tilewright::impl::CudaSmallIntegersPassBase<CudaSmallIntegersPass> {
  void runOnOperation() override {
    SmallVector<Operation *> conversions;
    getOperation().walk([&](Operation *op) {
      if (isa<arith::SIToFPOp, arith::UIToFPOp>(op) && op->getResult(0).getType().isF32() &&
          op->getOperand(0).getType().isInteger(32))
        conversions.push_back(op);
    });
    for (Operation *op : conversions) {
      Field field = fieldOf(op->getOperand(0));
      // Read without its sign, a negative number is a large one.
      if (isa<arith::UIToFPOp>(op) && field.offset < 0)
        continue;
      OpBuilder builder(op);
      if (Value found = convert(builder, op->getLoc(), field)) {
        op->getResult(0).replaceAllUsesWith(found);
        op->erase();
      }
    }
  }
};

} // namespace
