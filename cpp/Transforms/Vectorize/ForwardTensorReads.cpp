//===- ForwardTensorReads.cpp - What was just written is not read again
//-----===//
//
// In:  a vector.transfer_read or tensor.extract of a tensor that a chain of
// transfer_write and tensor.insert made. Out: the value that was written. The
// chain dies if nobody else wants it, so the epilogue of a register tile works
// on the
//      accumulators themselves.
// Why here: it needs 1-d vectors at known places; upstream's fold stops at the
// first write it does not match.
//
//   %t1 = vector.transfer_write %v, %t0[0, 0] ; %t2 = vector.transfer_write %w,
//   %t1[0, 16] vector.transfer_read %t2[0, 0]  ->  %v
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Vectorize.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace {

/// An index as a value (null for none) plus a constant.
std::pair<Value, int64_t> splitOffset(Value index) {
  APInt constant;
  if (matchPattern(index, m_ConstantInt(&constant)))
    return {Value(), constant.getSExtValue()};
  if (auto add = index.getDefiningOp<arith::AddIOp>())
    if (matchPattern(add.getRhs(), m_ConstantInt(&constant)))
      return {add.getLhs(), constant.getSExtValue()};
  return {index, 0};
}

/// The distance from `a` to `b`, if it is a constant.
std::optional<int64_t> distance(Value a, Value b) {
  auto [aBase, aOffset] = splitOffset(a);
  auto [bBase, bOffset] = splitOffset(b);
  if (aBase != bBase)
    return std::nullopt;
  return bOffset - aOffset;
}

/// One access to neighbours in the last dimension of a tensor.
struct Window {
  OperandRange indices;
  int64_t width;
  Value mask;
};

bool isPlain(VectorTransferOpInterface op) {
  return op.getVectorType().getRank() == 1 && op.getPermutationMap().isMinorIdentity() && op.isDimInBounds(0);
}

enum class Overlap { None, Same, Inside, Unknown };

/// How `read` lies to `written`; `offset` is where inside.
Overlap compare(const Window &read, const Window &written, int64_t &offset) {
  bool othersEqual = true;
  for (unsigned i = 0, e = read.indices.size(); i + 1 < e; ++i) {
    std::optional<int64_t> d = distance(written.indices[i], read.indices[i]);
    if (d && *d != 0)
      return Overlap::None;
    othersEqual &= d.has_value();
  }
  if (read.indices.empty())
    return Overlap::Same;
  std::optional<int64_t> d = distance(written.indices.back(), read.indices.back());
  if (d && (*d >= written.width || -*d >= read.width))
    return Overlap::None;
  if (!d || !othersEqual)
    return Overlap::Unknown;
  offset = *d;
  if (*d == 0 && read.width == written.width)
    return Overlap::Same;
  return *d >= 0 && *d + read.width <= written.width ? Overlap::Inside : Overlap::Unknown;
}

/// The value that a read finds, or null. New ops are only made if one is
/// returned.
Value findWritten(PatternRewriter &b, Operation *op, Value tensor, const Window &read, Value padding) {
  while (Operation *def = tensor.getDefiningOp()) {
    auto write = dyn_cast<vector::TransferWriteOp>(def);
    auto insert = dyn_cast<tensor::InsertOp>(def);
    if (!insert && !(write && isPlain(write)))
      return nullptr;
    Window written = insert ? Window{insert.getIndices(), 1, Value()}
                            : Window{write.getIndices(), write.getVectorType().getNumElements(), write.getMask()};
    int64_t offset = 0;
    Overlap overlap = compare(read, written, offset);
    if (overlap == Overlap::None) {
      tensor = insert ? insert.getDest() : write.getBase();
      continue;
    }
    Value value = insert ? insert.getScalar() : write.getVector();
    bool readsVector = padding != nullptr, wroteVector = write != nullptr;
    if (overlap == Overlap::Same && readsVector == wroteVector && read.mask == written.mask) {
      if (!read.mask)
        return value;
      Value rest = vector::BroadcastOp::create(b, op->getLoc(), value.getType(), padding);
      return arith::SelectOp::create(b, op->getLoc(), read.mask, value, rest);
    }
    if (overlap != Overlap::Unknown && !readsVector && wroteVector && !written.mask)
      return vector::ExtractOp::create(b, op->getLoc(), value, offset);
    return nullptr;
  }
  return nullptr;
}

struct ForwardWriteToTransferRead : OpRewritePattern<vector::TransferReadOp> {
  ForwardWriteToTransferRead(MLIRContext *context, int64_t *count) : OpRewritePattern(context), count(count) {}

  LogicalResult matchAndRewrite(vector::TransferReadOp op, PatternRewriter &rewriter) const override {
    if (!isa<RankedTensorType>(op.getShapedType()) || !isPlain(op))
      return rewriter.notifyMatchFailure(op, "not a 1-d read of a tensor in bounds");
    Window window{op.getIndices(), op.getVectorType().getNumElements(), op.getMask()};
    Value value = findWritten(rewriter, op, op.getBase(), window, op.getPadding());
    if (!value)
      return rewriter.notifyMatchFailure(op, "no write of the same elements is in sight");
    rewriter.replaceOp(op, value);
    if (count)
      ++*count;
    return success();
  }
  int64_t *count;
};

struct ForwardWriteToExtract : OpRewritePattern<tensor::ExtractOp> {
  ForwardWriteToExtract(MLIRContext *context, int64_t *count) : OpRewritePattern(context), count(count) {}

  LogicalResult matchAndRewrite(tensor::ExtractOp op, PatternRewriter &rewriter) const override {
    Window window{op.getIndices(), 1, Value()};
    Value value = findWritten(rewriter, op, op.getTensor(), window, nullptr);
    if (!value)
      return rewriter.notifyMatchFailure(op, "no write of the same element is in sight");
    rewriter.replaceOp(op, value);
    if (count)
      ++*count;
    return success();
  }
  int64_t *count;
};

} // namespace

void tilewright::populateForwardTensorReadPatterns(RewritePatternSet &patterns, int64_t *numForwarded) {
  patterns.add<ForwardWriteToTransferRead, ForwardWriteToExtract>(patterns.getContext(), numForwarded);
}
