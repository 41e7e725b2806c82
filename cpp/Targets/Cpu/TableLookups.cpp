//===- TableLookups.cpp - Floats of few bits come from a register ------------===//
//
// In:  vectors of floats that are made of the low four bits of integers: masked, moved by constants, converted.
// Out: one permutation of a register that holds all sixteen results.
// The permutation looks at four bits of an index by itself, so no mask is left either; the results are those of the
// arithmetic, bit by bit, since it is the arithmetic that fills the table.
//
//   float((v & 15) - 8)   ->   vpermps {-8.0, ..., 7.0}, v
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace tilewright;

namespace {

constexpr int64_t kEntries = 16;
/// Operations between the mask and the conversion that are looked through.
constexpr int64_t kMaxSteps = 4;

/// The value that a constant repeats in every lane.
std::optional<APInt> splatOf(Value value) {
  APInt scalar;
  return matchPattern(value, m_ConstantInt(&scalar)) ? std::optional<APInt>(scalar) : std::nullopt;
}

/// `op` applied to a number and a constant, in either order; none for operations that a table is not filled with.
std::optional<APInt> apply(Operation *op, const APInt &lhs, const APInt &rhs) {
  if (isa<arith::AddIOp>(op))
    return lhs + rhs;
  if (isa<arith::SubIOp>(op))
    return lhs - rhs;
  if (isa<arith::MulIOp>(op))
    return lhs * rhs;
  if (isa<arith::XOrIOp>(op))
    return lhs ^ rhs;
  if (isa<arith::OrIOp>(op))
    return lhs | rhs;
  return std::nullopt;
}

/// The index of a table, and what stands in it, for an integer that depends on four bits.
struct Table {
  Value index;
  SmallVector<APInt> entries;
};

std::optional<Table> tableOf(Value value, int64_t steps) {
  Operation *def = value.getDefiningOp();
  if (!def || def->getNumOperands() != 2 || steps == 0)
    return std::nullopt;
  std::optional<APInt> lhs = splatOf(def->getOperand(0)), rhs = splatOf(def->getOperand(1));
  if (!lhs == !rhs)
    return std::nullopt;
  Value varying = def->getOperand(lhs ? 1 : 0);
  if (isa<arith::AndIOp>(def) && (lhs ? *lhs : *rhs) == kEntries - 1) {
    Table table{varying, {}};
    for (int64_t i = 0; i < kEntries; ++i)
      table.entries.push_back(APInt(32, i));
    return table;
  }
  std::optional<Table> table = tableOf(varying, steps - 1);
  if (!table)
    return std::nullopt;
  for (APInt &entry : table->entries) {
    std::optional<APInt> result = lhs ? apply(def, *lhs, entry) : apply(def, entry, *rhs);
    if (!result)
      return std::nullopt;
    entry = *result;
  }
  return table;
}

template <typename Conversion> struct ConvertByTable : OpRewritePattern<Conversion> {
  using OpRewritePattern<Conversion>::OpRewritePattern;

  LogicalResult matchAndRewrite(Conversion op, PatternRewriter &rewriter) const override {
    auto from = dyn_cast<VectorType>(op.getIn().getType()), to = dyn_cast<VectorType>(op.getType());
    if (!from || from.getRank() != 1 || from.isScalable() || from.getNumElements() != kEntries ||
        !from.getElementType().isInteger(32) || !to.getElementType().isF32())
      return rewriter.notifyMatchFailure(op, "no register of 32-bit numbers");
    std::optional<Table> table = tableOf(op.getIn(), kMaxSteps);
    if (!table)
      return rewriter.notifyMatchFailure(op, "depends on more than four bits");
    SmallVector<float> entries;
    for (const APInt &entry : table->entries) {
      APFloat number(APFloat::IEEEsingle());
      number.convertFromAPInt(entry, std::is_same_v<Conversion, arith::SIToFPOp>, APFloat::rmNearestTiesToEven);
      entries.push_back(number.convertToFloat());
    }
    Value values = arith::ConstantOp::create(rewriter, op.getLoc(), DenseElementsAttr::get(to, ArrayRef(entries)));
    auto name = rewriter.getStringAttr("llvm.x86.avx512.permvar.sf.512");
    rewriter.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(op, to, name, ValueRange{values, table->index});
    return success();
  }
};

} // namespace

void tilewright::populateTableLookupPatterns(RewritePatternSet &patterns, CpuFeatures features) {
  if (features.avx512)
    patterns.add<ConvertByTable<arith::SIToFPOp>, ConvertByTable<arith::UIToFPOp>>(patterns.getContext());
}
