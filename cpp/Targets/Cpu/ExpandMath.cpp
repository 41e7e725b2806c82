//===- ExpandMath.cpp - Elementary functions become arithmetic or calls -----===//
//
// In:  `math` operations on any float type, scalars and vectors.
// Out: arithmetic, `math` operations that are one instruction, and scalar calls of the C library.
// Here, after vectorisation: one `math` operation on a vector is the same arithmetic on all lanes.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"
#include "Transforms/RewriteOnce.h"
#include "Tw/TwDialect.h"

namespace tilewright {
#define GEN_PASS_DEF_EXPANDMATHPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Operations that every CPU has an instruction for, or that are plain arithmetic in LLVM.
bool isInstruction(Operation *op) {
  return isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::CopySignOp, math::FloorOp, math::FmaOp, math::RoundEvenOp,
             math::SqrtOp, math::RsqrtOp, math::TruncOp, math::CtPopOp, math::CountLeadingZerosOp,
             math::CountTrailingZerosOp, math::IsNaNOp, math::IsInfOp, math::IsFiniteOp, math::IsNormalOp>(op);
}

/// The C library's name of an operation in float64; float32 adds an `f`.
StringRef libraryName(Operation *op) {
  return llvm::StringSwitch<StringRef>(op->getName().stripDialect())
      .Case("powf", "pow")
      .Cases({"exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "erf", "erfc"},
             op->getName().stripDialect())
      .Cases({"sin", "cos", "tan", "asin", "acos", "atan", "atan2", "round"}, op->getName().stripDialect())
      .Cases({"sinh", "cosh", "tanh", "asinh", "acosh", "atanh"}, op->getName().stripDialect())
      .Default("");
}

bool isNarrowFloat(Type type) {
  auto element = dyn_cast<FloatType>(getElementTypeOrSelf(type));
  return element && element.getWidth() < 32;
}

/// float16 and bfloat16: compute in float32, round once.
struct WidenToFloat : RewritePattern {
  explicit WidenToFloat(MLIRContext *context) : RewritePattern(MatchAnyOpTypeTag(), 2, context) {}

  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    if (!isa_and_nonnull<math::MathDialect>(op->getDialect()) || op->getNumResults() != 1 ||
        !isNarrowFloat(op->getResult(0).getType()) || isa<math::AbsFOp, math::CopySignOp>(op))
      return failure();
    auto wide = [&](Type type) -> Type {
      if (auto vector = dyn_cast<VectorType>(type))
        return vector.clone(rewriter.getF32Type());
      return rewriter.getF32Type();
    };
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(isNarrowFloat(operand.getType())
                             ? arith::ExtFOp::create(rewriter, op->getLoc(), wide(operand.getType()), operand)
                             : operand);
    Type type = op->getResult(0).getType();
    Operation *widened =
        rewriter.create(op->getLoc(), op->getName().getIdentifier(), operands, wide(type), op->getAttrs());
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, type, widened->getResult(0));
    return success();
  }
};

/// x^2 and x^1 are exact in one operation or none.
struct SquareForPower : OpRewritePattern<math::PowFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::PowFOp op, PatternRewriter &rewriter) const override {
    Attribute value;
    if (!matchPattern(op.getRhs(), m_Constant(&value)))
      return rewriter.notifyMatchFailure(op, "the exponent is no constant");
    if (auto splat = dyn_cast<SplatElementsAttr>(value))
      value = splat.getSplatValue<Attribute>();
    auto exponent = dyn_cast<FloatAttr>(value);
    if (!exponent)
      return rewriter.notifyMatchFailure(op, "the exponent differs between lanes");
    if (exponent.getValueAsDouble() == 1.0)
      rewriter.replaceOp(op, op.getLhs());
    else if (exponent.getValueAsDouble() == 2.0)
      rewriter.replaceOpWithNewOp<arith::MulFOp>(op, op.getLhs(), op.getLhs());
    else
      return rewriter.notifyMatchFailure(op, "the exponent is neither 1 nor 2");
    return success();
  }
};

/// Calls the C library once per element.
LogicalResult callLibrary(Operation *op, SymbolTable &symbols) {
  Type type = op->getResult(0).getType(), element = getElementTypeOrSelf(type);
  StringRef base = libraryName(op);
  if (base.empty() || !(element.isF32() || element.isF64()))
    return op->emitOpError("on ") << type << " has neither an expansion nor a library function";
  std::string name = element.isF32() ? (base + "f").str() : base.str();
  auto function = symbols.lookup<func::FuncOp>(name);
  OpBuilder builder(op);
  Location loc = op->getLoc();
  if (!function) {
    SmallVector<Type> inputs(op->getNumOperands(), element);
    function = func::FuncOp::create(op->getLoc(), name, builder.getFunctionType(inputs, element));
    function.setPrivate();
    symbols.insert(function);
  }
  auto vector = dyn_cast<VectorType>(type);
  if (!vector) {
    auto call = func::CallOp::create(builder, loc, function, op->getOperands());
    op->replaceAllUsesWith(call);
    op->erase();
    return success();
  }
  Value result = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(vector));
  SmallVector<int64_t> position(vector.getRank(), 0);
  for (int64_t lane = 0; lane < vector.getNumElements(); ++lane) {
    int64_t rest = lane;
    for (int64_t dim = vector.getRank() - 1; dim >= 0; --dim) {
      position[dim] = rest % vector.getDimSize(dim);
      rest /= vector.getDimSize(dim);
    }
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(vector::ExtractOp::create(builder, loc, operand, position));
    auto call = func::CallOp::create(builder, loc, function, operands);
    result = vector::InsertOp::create(builder, loc, call.getResult(0), result, position);
  }
  op->replaceAllUsesWith(ValueRange(result));
  op->erase();
  return success();
}

/// What the module's target says of its CPU.
CpuFeatures featuresOf(ModuleOp module) {
  CpuFeatures features;
  auto target = module->getAttrOfType<tw::TargetAttr>("tw.target");
  if (!target)
    return features;
  SmallVector<StringRef> listed;
  StringRef(target.getFeatures()).split(listed, ',');
  features.avx512 = llvm::is_contained(listed, "+avx512f") && llvm::is_contained(listed, "+avx512vl");
  return features;
}

struct ExpandMathPass : tilewright::impl::ExpandMathPassBase<ExpandMathPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    RewritePatternSet patterns(&getContext());
    patterns.add<WidenToFloat, SquareForPower>(&getContext());
    populateFloatFunctionPatterns(patterns, featuresOf(module));
    populateTableLookupPatterns(patterns, featuresOf(module));
    rewriteOnce(module, std::move(patterns));
    SmallVector<Operation *> rest;
    module.walk([&](Operation *op) {
      if (isa_and_nonnull<math::MathDialect>(op->getDialect()) && !isInstruction(op))
        rest.push_back(op);
    });
    SymbolTable symbols(module);
    for (Operation *op : rest)
      if (failed(callLibrary(op, symbols)))
        return signalPassFailure();
  }
};

} // namespace
