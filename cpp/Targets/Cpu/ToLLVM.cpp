//===- ToLLVM.cpp - The module becomes LLVM dialect -------------------------===//
//
// In:  arith, math that has an instruction, cf, func, memref (strided metadata expanded), vector of rank 1, rt.
// Out: `llvm` only; everything but the entries is internal.
// Here, last: one conversion, so that a refusal names the operation and its reason.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"
#include "Transforms/RewriteOnce.h"

#include "Tw/TwDialect.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/IndexToLLVM/IndexToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Vector/Transforms/VectorRewritePatterns.h"

namespace tilewright {
#define GEN_PASS_DEF_CPUTOLLVMPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Positions of the table's fields (cpp/Runtime/Abi.h).
enum TableField { kParallelFor = 2, kScratchPush = 3, kScratchPop = 4, kError = 5 };

LLVM::LLVMStructType tableType(MLIRContext *context) {
  auto i32 = IntegerType::get(context, 32);
  auto pointer = LLVM::LLVMPointerType::get(context);
  return LLVM::LLVMStructType::getLiteral(context, {i32, i32, pointer, pointer, pointer, pointer, pointer});
}

/// Calls a function of the runtime table of the enclosing function.
LLVM::CallOp callTable(OpBuilder &builder, Location loc, Value table, TableField field, Type result,
                       ArrayRef<Value> arguments) {
  MLIRContext *context = builder.getContext();
  auto pointer = LLVM::LLVMPointerType::get(context);
  Value place = LLVM::GEPOp::create(builder, loc, pointer, tableType(context), table, ArrayRef<LLVM::GEPArg>{0, field});
  Value function = LLVM::LoadOp::create(builder, loc, pointer, place);
  SmallVector<Value> operands{function, table};
  llvm::append_range(operands, arguments);
  SmallVector<Type> types{pointer};
  for (Value argument : arguments)
    types.push_back(argument.getType());
  auto type = LLVM::LLVMFunctionType::get(result ? result : LLVM::LLVMVoidType::get(context), types);
  return LLVM::CallOp::create(builder, loc, type, operands);
}

/// The runtime table: the first argument of every function, whether it is converted already or not.
Value tableOf(Operation *op) {
  auto func = op->getParentOfType<FunctionOpInterface>();
  return func.getFunctionBody().front().getArgument(0);
}

struct LowerLaunch : ConvertOpToLLVMPattern<rt::LaunchOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(rt::LaunchOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    MLIRContext *context = op.getContext();
    auto pointer = LLVM::LLVMPointerType::get(context);
    auto i64 = rewriter.getI64Type();
    Value table = tableOf(op);
    SmallVector<Value> values{table};
    SmallVector<Value> captures =
        getTypeConverter()->promoteOperands(loc, op.getCaptures(), adaptor.getCaptures(), rewriter);
    llvm::append_range(values, captures);
    SmallVector<Type> types = llvm::map_to_vector(values, [](Value value) { return value.getType(); });
    auto contextType = LLVM::LLVMStructType::getLiteral(context, types);

    auto module = op->getParentOfType<ModuleOp>();
    auto caller = op->getParentOfType<FunctionOpInterface>();
    std::string name = (op.getBody() + "_entry").str();
    if (!module.lookupSymbol(name)) {
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPoint(caller);
      auto thunk = LLVM::LLVMFuncOp::create(
          rewriter, loc, name, LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), {pointer, i64, i64}),
          LLVM::Linkage::Internal);
      if (Attribute target = caller->getAttr("tw.target"))
        thunk->setAttr("tw.target", target);
      Block *entry = thunk.addEntryBlock(rewriter);
      rewriter.setInsertionPointToStart(entry);
      SmallVector<Value> operands;
      for (auto [number, type] : llvm::enumerate(types)) {
        Value place = LLVM::GEPOp::create(rewriter, loc, pointer, contextType, entry->getArgument(0),
                                          ArrayRef<LLVM::GEPArg>{0, static_cast<int32_t>(number)});
        operands.push_back(LLVM::LoadOp::create(rewriter, loc, type, place));
      }
      operands.push_back(entry->getArgument(1));
      operands.push_back(entry->getArgument(2));
      LLVM::CallOp::create(rewriter, loc, TypeRange(), op.getBody(), operands);
      LLVM::ReturnOp::create(rewriter, loc, ValueRange());
    }

    Value place;
    {
      // In the entry block it is part of the frame, whatever loop the launch stands in.
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPointToStart(&caller.getFunctionBody().front());
      Value one = LLVM::ConstantOp::create(rewriter, loc, i64, rewriter.getI64IntegerAttr(1));
      place = LLVM::AllocaOp::create(rewriter, loc, pointer, contextType, one);
    }
    for (auto [number, value] : llvm::enumerate(values)) {
      Value field = LLVM::GEPOp::create(rewriter, loc, pointer, contextType, place,
                                        ArrayRef<LLVM::GEPArg>{0, static_cast<int32_t>(number)});
      LLVM::StoreOp::create(rewriter, loc, value, field);
    }
    Value body = LLVM::AddressOfOp::create(rewriter, loc, pointer, name);
    callTable(rewriter, loc, table, kParallelFor, Type(), {body, place, adaptor.getCount()});
    rewriter.eraseOp(op);
    return success();
  }
};

struct LowerScratchPush : ConvertOpToLLVMPattern<rt::ScratchPushOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(rt::ScratchPushOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(op.getContext());
    Value memory = callTable(rewriter, loc, tableOf(op), kScratchPush, pointer, {adaptor.getBytes()}).getResult();
    auto descriptor =
        MemRefDescriptor::poison(rewriter, loc, getTypeConverter()->convertType(op.getMemory().getType()));
    descriptor.setAllocatedPtr(rewriter, loc, memory);
    descriptor.setAlignedPtr(rewriter, loc, memory);
    descriptor.setConstantOffset(rewriter, loc, 0);
    descriptor.setSize(rewriter, loc, 0, adaptor.getBytes());
    descriptor.setConstantStride(rewriter, loc, 0, 1);
    rewriter.replaceOp(op, Value(descriptor));
    return success();
  }
};

struct LowerScratchPop : ConvertOpToLLVMPattern<rt::ScratchPopOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(rt::ScratchPopOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Value memory = MemRefDescriptor(adaptor.getMemory()).allocatedPtr(rewriter, op.getLoc());
    callTable(rewriter, op.getLoc(), tableOf(op), kScratchPop, Type(), {memory});
    rewriter.eraseOp(op);
    return success();
  }
};

/// A failed check is reported; the host function then returns, kernels go on (their outputs are dropped).
struct LowerAssert : ConvertOpToLLVMPattern<cf::AssertOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(cf::AssertOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto location = op->getAttrOfType<IntegerAttr>("tw.location");
    if (!location)
      return rewriter.notifyMatchFailure(op, "has no number: tw-emit-entry comes first");
    auto code = op->getAttrOfType<IntegerAttr>("tw.code");
    auto func = op->getParentOfType<FunctionOpInterface>();
    bool host = func->hasAttr("tw.host") || func->hasAttr("tw.load");
    Value table = tableOf(op);
    Block *before = rewriter.getInsertionBlock();
    Block *after = rewriter.splitBlock(before, ++op->getIterator());
    Block *failed = rewriter.createBlock(before->getParent(), after->getIterator());
    auto number = [&](int64_t value) -> Value {
      return LLVM::ConstantOp::create(rewriter, loc, rewriter.getI32Type(), rewriter.getI32IntegerAttr(value));
    };
    constexpr int64_t kCheckFailed = 2; // TW_ERROR_CHECK
    Value status = number(code ? code.getInt() : kCheckFailed);
    callTable(rewriter, loc, table, kError, Type(), {status, number(location.getInt())});
    if (host)
      LLVM::ReturnOp::create(rewriter, loc, status);
    else
      LLVM::BrOp::create(rewriter, loc, after);
    rewriter.setInsertionPointToEnd(before);
    LLVM::CondBrOp::create(rewriter, loc, adaptor.getArg(), after, failed);
    rewriter.eraseOp(op);
    return success();
  }
};

/// Copies contiguous memory; upstream would call a function of its own runtime for strided types.
struct LowerCopy : ConvertOpToLLVMPattern<memref::CopyOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(memref::CopyOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    auto from = dyn_cast<MemRefType>(op.getSource().getType()), to = dyn_cast<MemRefType>(op.getTarget().getType());
    if (!from || !to || !isContiguous(from) || !isContiguous(to))
      return rewriter.notifyMatchFailure(op, "not contiguous: tw-cpu-lower-vectors comes first");
    Location loc = op.getLoc();
    MemRefDescriptor source(adaptor.getSource()), target(adaptor.getTarget());
    Value bytes = getSizeInBytes(loc, getTypeConverter()->convertType(from.getElementType()), rewriter);
    for (int64_t dim = 0; dim < from.getRank(); ++dim) {
      Value size = from.isDynamicDim(dim) && !to.isDynamicDim(dim) ? target.size(rewriter, loc, dim)
                   : from.isDynamicDim(dim)
                       ? source.size(rewriter, loc, dim)
                       : createIndexAttrConstant(rewriter, loc, getIndexType(), from.getDimSize(dim));
      bytes = LLVM::MulOp::create(rewriter, loc, bytes, size);
    }
    Value sourceMemory = source.bufferPtr(rewriter, loc, *getTypeConverter(), from);
    Value targetMemory = target.bufferPtr(rewriter, loc, *getTypeConverter(), to);
    LLVM::MemcpyOp::create(rewriter, loc, targetMemory, sourceMemory, bytes, /*isVolatile=*/false);
    rewriter.eraseOp(op);
    return success();
  }
};

struct CpuToLLVMPass : tilewright::impl::CpuToLLVMPassBase<CpuToLLVMPass> {
  /// What our passes knew of an argument means nothing to LLVM: the translation would warn about it.
  void dropOwnAttributes(LLVM::LLVMFuncOp func) {
    for (unsigned i = 0, e = func.getNumArguments(); i < e; ++i) {
      NamedAttrList kept;
      for (NamedAttribute attribute : mlir::function_interface_impl::getArgAttrs(func, i))
        if (attribute.getNameDialect() && isa<LLVM::LLVMDialect>(attribute.getNameDialect()))
          kept.push_back(attribute);
      func.setArgAttrs(i, kept.getDictionary(&getContext()));
    }
  }

  void finish(LLVM::LLVMFuncOp func, Attribute moduleTarget) {
    MLIRContext *context = &getContext();
    if (func.isExternal())
      return;
    bool entry = func->hasAttr("tw.entry");
    func.setLinkage(entry ? LLVM::Linkage::External : LLVM::Linkage::Internal);
    func.removeSymVisibilityAttr();
    dropOwnAttributes(func);
    SmallVector<Attribute> passthrough{StringAttr::get(context, "nounwind")};
    auto pair = [&](StringRef key, StringRef value) {
      passthrough.push_back(ArrayAttr::get(context, {StringAttr::get(context, key), StringAttr::get(context, value)}));
    };
    if (func->hasAttr("tw.kernel"))
      passthrough.push_back(StringAttr::get(context, "noinline"));
    // The time goes into kernels: the emitter spends none on the calls between them.
    if (entry || func->hasAttr("tw.host") || func->hasAttr("tw.load") || func->hasAttr("tw.shapes"))
      passthrough.push_back(StringAttr::get(context, "tilewright-host"));
    Attribute attribute = func->getAttr("tw.target") ? func->getAttr("tw.target") : moduleTarget;
    if (auto target = dyn_cast_or_null<tw::TargetAttr>(attribute)) {
      if (!target.getCpu().empty())
        pair("target-cpu", target.getCpu());
      if (!target.getFeatures().empty())
        pair("target-features", target.getFeatures());
      if (auto bits = target.getFacts().getAs<IntegerAttr>("vector_bits")) {
        pair("prefer-vector-width", std::to_string(bits.getInt()));
        pair("min-legal-vector-width", std::to_string(bits.getInt()));
      }
    }
    func.setPassthroughAttr(ArrayAttr::get(context, passthrough));
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    MLIRContext *context = &getContext();
    // The bounds of symbolic sizes went to the manifest; the runtime checks them at the door.
    for (tw::DimSymbolOp symbol : llvm::make_early_inc_range(module.getOps<tw::DimSymbolOp>()))
      symbol.erase();
    LowerToLLVMOptions options(context);
    LLVMTypeConverter converter(context, options);

    // Canonicalisation writes a vector of rows as a list of all elements; back to rows, which the conversion knows.
    RewritePatternSet rows(context);
    vector::populateVectorFromElementsUnrollPatterns(rows);
    vector::populateVectorToElementsUnrollPatterns(rows);
    rewriteOnce(module, std::move(rows));

    LLVMConversionTarget target(*context);
    target.addLegalOp<ModuleOp>();
    RewritePatternSet patterns(context);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    populateMathToLLVMConversionPatterns(converter, patterns, /*approximateLog1p=*/false);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    populateFuncToLLVMConversionPatterns(converter, patterns);
    populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
    // A horizontal reduction is a tree whose shape depends on the vector type only: the same bits on any thread count.
    populateVectorToLLVMConversionPatterns(converter, patterns, /*reassociateFPReductions=*/true);
    index::populateIndexToLLVMConversionPatterns(converter, patterns);
    ub::populateUBToLLVMConversionPatterns(converter, patterns);
    patterns.add<LowerCopy, LowerAssert>(converter, /*benefit=*/10);
    patterns.add<LowerLaunch, LowerScratchPush, LowerScratchPop>(converter);
    // Casts between descriptors and memrefs meet their counterparts and vanish (reconcile-unrealized-casts).
    target.addLegalOp<UnrealizedConversionCastOp>();
    // Device code, where there is some, has a conversion of its own.
    target.addLegalOp<gpu::GPUModuleOp>();
    target.markOpRecursivelyLegal<gpu::GPUModuleOp>();
    if (failed(applyFullConversion(module, target, std::move(patterns))))
      return signalPassFailure();

    for (auto func : module.getOps<LLVM::LLVMFuncOp>())
      finish(func, module->getAttr("tw.target"));
    for (auto global : module.getOps<LLVM::GlobalOp>()) {
      global.setLinkage(LLVM::Linkage::Private);
      global.setUnnamedAddr(LLVM::UnnamedAddr::Global);
    }
  }
};

} // namespace
