//===- ExpandedShapes.cpp - Expanded buffers are described by sizes and strides -----------===//
//
// In:  `memref.expand_shape` whose groups may hold several dynamic sizes. Out: `memref.reinterpret_cast` for those.
// Here, before `expand-strided-metadata`: upstream describes groups with one dynamic size.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_CPUEXPANDEDSHAPESPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Describes an expanded buffer by its sizes and strides. Upstream does so for one dynamic size per group only.
struct DescribeExpandedShape : OpRewritePattern<memref::ExpandShapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(memref::ExpandShapeOp op, PatternRewriter &rewriter) const override {
    MemRefType type = op.getResultType();
    bool ambiguous = llvm::any_of(op.getReassociationIndices(), [&](const ReassociationIndices &group) {
      return llvm::count_if(group, [&](int64_t dim) { return type.isDynamicDim(dim); }) > 1;
    });
    if (!ambiguous)
      return rewriter.notifyMatchFailure(op, "every group has at most one dynamic size");
    Location loc = op.getLoc();
    auto metadata = memref::ExtractStridedMetadataOp::create(rewriter, loc, op.getSrc());
    auto [known, offset] = type.getStridesAndOffset();
    SmallVector<OpFoldResult> sizes = op.getMixedOutputShape(), strides(type.getRank());
    for (auto [source, group] : llvm::enumerate(op.getReassociationIndices())) {
      Value running = metadata.getStrides()[source];
      for (int64_t dim : llvm::reverse(group)) {
        strides[dim] =
            ShapedType::isDynamic(known[dim]) ? OpFoldResult(running) : OpFoldResult(rewriter.getIndexAttr(known[dim]));
        running =
            arith::MulIOp::create(rewriter, loc, running, getValueOrCreateConstantIndexOp(rewriter, loc, sizes[dim]));
      }
    }
    OpFoldResult start = ShapedType::isDynamic(offset) ? OpFoldResult(metadata.getOffset())
                                                       : OpFoldResult(rewriter.getIndexAttr(offset));
    rewriter.replaceOpWithNewOp<memref::ReinterpretCastOp>(op, type, metadata.getBaseBuffer(), start, sizes, strides);
    return success();
  }
};

struct CpuExpandedShapesPass : tilewright::impl::CpuExpandedShapesPassBase<CpuExpandedShapesPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateExpandedShapePatterns(patterns);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace

void tilewright::populateExpandedShapePatterns(RewritePatternSet &patterns) {
  patterns.add<DescribeExpandedShape>(patterns.getContext());
}
