//===- LowerVectors.cpp - Vectors become what one instruction can do --------===//
//
// In:  functions with vectors of any rank, partial transfers, copies between strided buffers.
// Out: vector operations that convert to LLVM one to one; copies of contiguous memory only; expanded buffers described by
//      sizes and strides where several are dynamic.
// Here, before `scf` becomes `cf`: wide transfers and copies still need loops.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include "mlir/Conversion/VectorToSCF/VectorToSCF.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Dialect/Vector/Transforms/VectorRewritePatterns.h"
#include "mlir/Dialect/Vector/Transforms/VectorTransforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_CPULOWERVECTORSPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

bool tilewright::isContiguous(MemRefType type, int64_t fromDim) {
  if (type.getLayout().isIdentity())
    return true;
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(type.getStridesAndOffset(strides, offset)))
    return false;
  int64_t expected = 1;
  for (int64_t dim = type.getRank() - 1; dim >= fromDim; --dim) {
    int64_t size = type.getDimSize(dim);
    if (size == 1)
      continue;
    if (ShapedType::isDynamic(expected) || strides[dim] != expected)
      return false;
    expected = ShapedType::isDynamic(size) ? ShapedType::kDynamic : expected * size;
  }
  return true;
}

namespace {

/// Loops over the outer dims of a copy until what is left is contiguous on both sides.
struct CopyRowByRow : OpRewritePattern<memref::CopyOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(memref::CopyOp copy, PatternRewriter &rewriter) const override {
    auto from = dyn_cast<MemRefType>(copy.getSource().getType()), to = dyn_cast<MemRefType>(copy.getTarget().getType());
    if (!from || !to)
      return rewriter.notifyMatchFailure(copy, "unranked");
    if (isContiguous(from) && isContiguous(to))
      return rewriter.notifyMatchFailure(copy, "already contiguous");
    int64_t rank = from.getRank(), rows = rank;
    // One long memcpy per row beats one per element, but only static shapes tell that several dims are one row.
    while (rows > 1 && isContiguous(stripIdentity(from), rows - 1) && isContiguous(stripIdentity(to), rows - 1))
      --rows;
    if (!isContiguous(stripIdentity(from), rows) || !isContiguous(stripIdentity(to), rows))
      rows = rank;
    Location loc = copy.getLoc();
    Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0),
          one = arith::ConstantIndexOp::create(rewriter, loc, 1);
    SmallVector<OpFoldResult> offsets(rank, rewriter.getIndexAttr(0)), sizes, strides(rank, rewriter.getIndexAttr(1));
    for (int64_t dim = 0; dim < rank; ++dim)
      sizes.push_back(from.isDynamicDim(dim) && to.isDynamicDim(dim)
                          ? OpFoldResult(memref::DimOp::create(rewriter, loc, copy.getSource(), dim).getResult())
                          : OpFoldResult(rewriter.getIndexAttr(from.isDynamicDim(dim) ? to.getDimSize(dim)
                                                                                      : from.getDimSize(dim))));
    SmallVector<Value> indices;
    for (int64_t dim = 0; dim < rows; ++dim) {
      auto loop =
          scf::ForOp::create(rewriter, loc, zero, getValueOrCreateConstantIndexOp(rewriter, loc, sizes[dim]), one);
      rewriter.setInsertionPointToStart(loop.getBody());
      indices.push_back(loop.getInductionVar());
      offsets[dim] = loop.getInductionVar();
      sizes[dim] = rewriter.getIndexAttr(1);
    }
    if (rows == rank) {
      Value element = memref::LoadOp::create(rewriter, loc, copy.getSource(), indices);
      memref::StoreOp::create(rewriter, loc, element, copy.getTarget(), indices);
    } else {
      auto row = [&](Value buffer, MemRefType type) -> Value {
        SmallVector<int64_t> shape;
        for (int64_t dim = rows; dim < rank; ++dim)
          shape.push_back(getConstantIntValue(sizes[dim]).value_or(ShapedType::kDynamic));
        auto rowType = memref::SubViewOp::inferRankReducedResultType(shape, type, offsets, sizes, strides);
        return memref::SubViewOp::create(rewriter, loc, cast<MemRefType>(rowType), buffer, offsets, sizes, strides);
      };
      Value source = row(copy.getSource(), from), target = row(copy.getTarget(), to);
      memref::CopyOp::create(rewriter, loc, source, target);
    }
    rewriter.eraseOp(copy);
    return success();
  }

  /// Asks an identity layout dim by dim, too.
  static MemRefType stripIdentity(MemRefType type) {
    if (!type.getLayout().isIdentity())
      return type;
    auto [strides, offset] = type.getStridesAndOffset();
    auto layout = StridedLayoutAttr::get(type.getContext(), ShapedType::kDynamic, strides);
    return MemRefType::get(type.getShape(), type.getElementType(), layout);
  }
};

struct CpuLowerVectorsPass : tilewright::impl::CpuLowerVectorsPassBase<CpuLowerVectorsPass> {
  LogicalResult apply(llvm::function_ref<void(RewritePatternSet &)> populate) {
    RewritePatternSet patterns(&getContext());
    populate(patterns);
    return applyPatternsGreedily(getOperation(), std::move(patterns));
  }

  void runOnOperation() override {
    using namespace vector;
    // Masks and contractions first: transposes and broadcasts that they make are lowered below.
    if (failed(apply([&](RewritePatternSet &patterns) {
          populateVectorMaskLoweringPatternsForSideEffectingOps(patterns);
          populateVectorContractLoweringPatterns(patterns, VectorContractLowering::OuterProduct);
          populateVectorOuterProductLoweringPatterns(patterns);
          populateVectorMultiReductionLoweringPatterns(patterns, VectorMultiReductionLowering::InnerParallel);
          populateVectorGatherLoweringPatterns(patterns);
          populateVectorTransferPermutationMapLoweringPatterns(patterns);
          patterns.add<CopyRowByRow>(&getContext());
          populateExpandedShapePatterns(patterns);
          populateGroupDotPatterns(patterns);
        })))
      return signalPassFailure();
    if (failed(apply([&](RewritePatternSet &patterns) {
          populateVectorToSCFConversionPatterns(patterns, VectorTransferToSCFOptions().enableFullUnroll());
          populateVectorTransferLoweringPatterns(patterns, /*maxTransferRank=*/1);
        })))
      return signalPassFailure();
    if (failed(apply([&](RewritePatternSet &patterns) {
          populateVectorMaskMaterializationPatterns(patterns, /*force32BitVectorIndices=*/true);
          populateVectorTransferLoweringPatterns(patterns, /*maxTransferRank=*/1);
          populateVectorBroadcastLoweringPatterns(patterns);
          populateVectorMaskOpLoweringPatterns(patterns);
          populateVectorShapeCastLoweringPatterns(patterns);
          populateVectorInterleaveLoweringPatterns(patterns);
          populateVectorBitCastLoweringPatterns(patterns);
          populateVectorScanLoweringPatterns(patterns);
          populateVectorStepLoweringPatterns(patterns);
          populateVectorTransposeLoweringPatterns(patterns, VectorTransposeLowering::Shuffle1D);
          populateVectorInsertExtractStridedSliceTransforms(patterns);
          populateVectorRankReducingFMAPattern(patterns);
        })))
      return signalPassFailure();
  }
};

} // namespace
