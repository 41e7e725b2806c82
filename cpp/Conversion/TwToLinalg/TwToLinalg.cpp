//===- TwToLinalg.cpp - Lower the tensor dialect to linalg ------------------===//
//
// In:  stage tensor: structured operations and what moves elements; composites are decomposed.
// Out: stage linalg: linalg.generic and fill, tensor, scf; signless integers; of `tw` only checks and symbols.
// Here, because fusion and layouts work on indexing maps.
//===----------------------------------------------------------------------===//
#include "Conversion/TwToLinalg/TwToLinalg.h"

#include "Tw/TwDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Func/Transforms/FuncConversions.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Transforms/DialectConversion.h"

namespace tilewright {
#define GEN_PASS_DEF_TWTOLINALGPASS
#include "Conversion/TwToLinalg/TwToLinalg.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

LogicalResult tilewright::refuse(RewriterBase &rewriter, Operation *op, const char *reason) {
  op->emitRemark("not lowered: ") << reason;
  return rewriter.notifyMatchFailure(op, reason);
}

namespace {

/// Unsigned element types become signless, 8-bit floats in memory bytes; as scalars, conversions have them as they are.
struct SignlessConverter : TypeConverter {
  SignlessConverter() {
    addConversion([](Type type) { return isa<FloatType>(type) ? type : tw::common::signless(type); });
    auto cast = [](OpBuilder &builder, Type type, ValueRange inputs, Location loc) -> Value {
      return UnrealizedConversionCastOp::create(builder, loc, type, inputs).getResult(0);
    };
    addSourceMaterialization(cast);
    addTargetMaterialization(cast);
  }
};

/// Constants keep their bits.
struct ConvertConstant : OpConversionPattern<arith::ConstantOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(arith::ConstantOp op, OpAdaptor, ConversionPatternRewriter &rewriter) const override {
    auto type = dyn_cast<RankedTensorType>(op.getType());
    if (!type)
      return rewriter.notifyMatchFailure(op, "not a constant tensor");
    auto target = cast<RankedTensorType>(tw::common::signless(type));
    if (auto dense = dyn_cast<DenseElementsAttr>(op.getValue())) {
      rewriter.replaceOpWithNewOp<arith::ConstantOp>(op, dense.bitcast(target.getElementType()));
      return success();
    }
    if (auto resource = dyn_cast<DenseResourceElementsAttr>(op.getValue())) {
      rewriter.replaceOpWithNewOp<arith::ConstantOp>(op,
                                                     DenseResourceElementsAttr::get(target, resource.getRawHandle()));
      return success();
    }
    return rewriter.notifyMatchFailure(op, "a constant of an unknown kind");
  }
};

/// Everything else that merely mentions a type: the same operation on converted types.
struct ConvertTypesOfOp : ConversionPattern {
  ConvertTypesOfOp(const TypeConverter &converter, MLIRContext *context)
      : ConversionPattern(converter, MatchAnyOpTypeTag(), /*benefit=*/0, context) {}
  LogicalResult matchAndRewrite(Operation *op, ArrayRef<Value> operands,
                                ConversionPatternRewriter &rewriter) const override {
    if (isa<tw::TwDialect>(op->getDialect()) || op->getNumRegions() != 0)
      return rewriter.notifyMatchFailure(op, "needs a pattern of its own");
    FailureOr<Operation *> converted = convertOpResultTypes(op, operands, *getTypeConverter(), rewriter);
    if (failed(converted))
      return rewriter.notifyMatchFailure(op, "its types cannot be converted");
    rewriter.replaceOp(op, *converted);
    return success();
  }
};

struct TwToLinalgPass : tilewright::impl::TwToLinalgPassBase<TwToLinalgPass> {
  /// A loop nest that is known to run zero times leaves its destinations as they are; tiling could not take it apart.
  void eraseEmptyLoops() {
    SmallVector<linalg::LinalgOp> work;
    getOperation()->walk([&](linalg::LinalgOp op) {
      if (op.hasPureTensorSemantics() && llvm::is_contained(op.getStaticLoopRanges(), 0))
        work.push_back(op);
    });
    for (linalg::LinalgOp op : work) {
      op->replaceAllUsesWith(op.getDpsInits());
      op.erase();
    }
  }

  void runOnOperation() override {
    MLIRContext *context = &getContext();
    SignlessConverter converter;
    RewritePatternSet patterns(context);
    populateStructuredToLinalgPatterns(converter, patterns);
    populateShapesToTensorPatterns(converter, patterns);
    populateReshapeToTensorPatterns(converter, patterns);
    populateControlFlowToScfPatterns(converter, patterns);
    populateFunctionOpInterfaceTypeConversionPattern<func::FuncOp>(patterns, converter);
    populateCallOpTypeConversionPattern(patterns, converter);
    populateReturnOpTypeConversionPattern(patterns, converter);
    patterns.add<ConvertConstant, ConvertTypesOfOp>(converter, context);

    ConversionTarget target(*context);
    target.addIllegalDialect<tw::TwDialect>();
    target.addLegalOp<tw::DimSymbolOp>();
    // In the host function a check reads a scalar; the back end lowers it.
    target.addDynamicallyLegalOp<tw::CheckOp>([](tw::CheckOp op) { return op.getCondition().getType().isInteger(1); });
    target.addDynamicallyLegalOp<func::FuncOp>([&](func::FuncOp op) {
      return converter.isSignatureLegal(op.getFunctionType()) && converter.isLegal(&op.getBody());
    });
    target.markUnknownOpDynamicallyLegal([&](Operation *op) { return converter.isLegal(op); });

    if (failed(applyFullConversion(getOperation(), target, std::move(patterns))))
      return signalPassFailure();
    eraseEmptyLoops();
  }
};
} // namespace
