//===- GroupDot.cpp - Inner products of groups, one instruction each ------===//
//
// In:  `rt.group_dot` on words or vectors of them, usually followed by the addition of its result.
// Out: one `vdpbf16ps` or `vpdpbusd` for both. Words that fill no register of 128 bits are computed in one.
//
//   %d = rt.group_dot %w, %r : vector<16xi32> -> vector<16xf32>
//   %s = arith.addf %acc, %d
// becomes
//   %s = llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"(%acc, %w as bf16, %r as bf16)
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

using namespace mlir;
using namespace tilewright;

namespace {

constexpr int64_t kLeastLanes = 4, kMostLanes = 16;

/// `value`, a scalar or a short vector, in the first lanes of a vector of `lanes`.
Value widen(OpBuilder &builder, Location loc, Value value, int64_t lanes) {
  auto type = dyn_cast<VectorType>(value.getType());
  if (!type)
    return vector::BroadcastOp::create(builder, loc, VectorType::get({lanes}, value.getType()), value);
  int64_t had = type.getNumElements();
  if (had == lanes)
    return value;
  auto repeated = llvm::map_to_vector(llvm::seq<int64_t>(0, lanes), [&](int64_t lane) { return lane % had; });
  return vector::ShuffleOp::create(builder, loc, value, value, repeated);
}

/// The first lanes of `value` as `type`.
Value narrow(OpBuilder &builder, Location loc, Value value, Type type) {
  if (value.getType() == type)
    return value;
  auto vectorType = dyn_cast<VectorType>(type);
  if (!vectorType)
    return vector::ExtractOp::create(builder, loc, value, 0);
  auto first = llvm::to_vector(llvm::seq<int64_t>(0, vectorType.getNumElements()));
  return vector::ShuffleOp::create(builder, loc, value, value, first);
}

struct LowerGroupDot : OpRewritePattern<rt::GroupDotOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(rt::GroupDotOp dot, PatternRewriter &rewriter) const override {
    auto type = dyn_cast<VectorType>(dot.getType());
    int64_t had = type ? type.getNumElements() : 1, lanes = std::max(had, kLeastLanes);
    if ((type && type.getRank() != 1) || !llvm::isPowerOf2_64(lanes) || lanes > kMostLanes)
      return rewriter.notifyMatchFailure(dot, "no register has as many lanes");

    // The instruction adds; so it does what is added to the result anyhow.
    Operation *sum = dot->hasOneUse() ? *dot->user_begin() : nullptr;
    Value accumulator;
    if (isa_and_nonnull<arith::AddFOp, arith::AddIOp>(sum) && sum->getBlock() == dot->getBlock()) {
      accumulator = sum->getOperand(0) == dot.getResult() ? sum->getOperand(1) : sum->getOperand(0);
      rewriter.setInsertionPoint(sum);
    } else {
      sum = dot;
      accumulator = arith::ConstantOp::create(rewriter, dot.getLoc(), rewriter.getZeroAttr(dot.getType()));
    }
    Location loc = dot.getLoc();
    bool isFloat = isa<FloatType>(getElementTypeOrSelf(dot.getType()));
    Type element = isFloat ? Type(rewriter.getBF16Type()) : rewriter.getI8Type();
    auto groups = VectorType::get({lanes * (isFloat ? 2 : 4)}, element);
    auto operand = [&](Value words) {
      return vector::BitCastOp::create(rewriter, loc, groups, widen(rewriter, loc, words, lanes)).getResult();
    };
    Value start = widen(rewriter, loc, accumulator, lanes);
    std::string name = isFloat ? "llvm.x86.avx512bf16.dpbf16ps." : "llvm.x86.avx512.vpdpbusd.";
    auto call = LLVM::CallIntrinsicOp::create(rewriter, loc, start.getType(),
                                              rewriter.getStringAttr(name + std::to_string(lanes * 32)),
                                              ValueRange{start, operand(dot.getLhs()), operand(dot.getRhs())});
    Value result = narrow(rewriter, loc, call->getResult(0), dot.getType());
    rewriter.replaceOp(sum, result);
    if (sum != dot)
      rewriter.eraseOp(dot);
    return success();
  }
};

} // namespace

void tilewright::populateGroupDotPatterns(RewritePatternSet &patterns) {
  patterns.add<LowerGroupDot>(patterns.getContext());
}
