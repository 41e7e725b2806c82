//===- ToNvvm.cpp - Device code becomes llvm and nvvm -----------------------===//
//
// In:  the module `@device`: functions of arith, math, cf, vector, llvm and nvvm.
// Out: llvm and nvvm only; functions are kernels with the number of threads they were written for.
// Here, before host code is converted, since the two have different rules for addresses and libraries.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Cuda.h"

#include "Tw/TwDialect.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/IndexToLLVM/IndexToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_CUDATONVVMPASS
#include "Targets/Cuda/Cuda.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

bool isNarrowFloat(Type type) { return type.isF16() || type.isBF16(); }

/// float16 and bfloat16 functions: computed in float32, rounded once.
void widenMath(gpu::GPUModuleOp device) {
  SmallVector<Operation *> narrow;
  device.walk([&](Operation *op) {
    if (isa_and_nonnull<math::MathDialect>(op->getDialect()) && op->getNumResults() == 1 &&
        llvm::any_of(op->getOperandTypes(), isNarrowFloat))
      narrow.push_back(op);
  });
  for (Operation *op : narrow) {
    OpBuilder builder(op);
    Type type = op->getResult(0).getType();
    for (OpOperand &operand : op->getOpOperands())
      if (isNarrowFloat(operand.get().getType()))
        operand.set(arith::ExtFOp::create(builder, op->getLoc(), builder.getF32Type(), operand.get()));
    if (!isNarrowFloat(type))
      continue;
    Value result = op->getResult(0);
    result.setType(builder.getF32Type());
    builder.setInsertionPointAfter(op);
    auto rounded = arith::TruncFOp::create(builder, op->getLoc(), type, result);
    result.replaceAllUsesExcept(rounded, rounded);
  }
}

struct CudaToNvvmPass : tilewright::impl::CudaToNvvmPassBase<CudaToNvvmPass> {
  LogicalResult convert(gpu::GPUModuleOp device) {
    MLIRContext *context = &getContext();
    widenMath(device);
    // Divisions that round up or down; everything else has instructions, maxima with NaN among them.
    RewritePatternSet divisions(context);
    arith::populateCeilFloorDivExpandOpsPatterns(divisions);
    if (failed(applyPatternsGreedily(device, std::move(divisions))))
      return failure();
    LLVMTypeConverter converter(context, LowerToLLVMOptions(context));
    RewritePatternSet patterns(context);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    populateFuncToLLVMConversionPatterns(converter, patterns);
    populateVectorToLLVMConversionPatterns(converter, patterns);
    index::populateIndexToLLVMConversionPatterns(converter, patterns);
    ub::populateUBToLLVMConversionPatterns(converter, patterns);
    populateMathToLLVMConversionPatterns(converter, patterns, /*approximateLog1p=*/false);
    // Where there is a choice, what NVIDIA's library computes has a bound on its error that its documentation states.
    populateLibDeviceConversionPatterns(converter, patterns, /*benefit=*/2);
    LLVMConversionTarget target(*context);
    target.addLegalDialect<NVVM::NVVMDialect>();
    target.addLegalOp<gpu::GPUModuleOp>();
    // Instructions of their own; the library's are calls of the same.
    return applyFullConversion(device, target, std::move(patterns));
  }

  /// Whether kernels may begin before those end that come before them: sm_90 and newer.
  bool mayOverlap() {
    constexpr int64_t first = 90;
    auto target = getOperation()->getAttrOfType<tw::TargetAttr>("tw.target");
    auto capability = target ? target.getFacts().getAs<IntegerAttr>("capability") : IntegerAttr();
    return capability && capability.getInt() >= first;
  }

  /// Waits for the kernel before, whose results may be arguments and whose arguments may be overwritten, as soon as a thread
  /// knows what it is about and before it touches any memory. From then on the kernel that comes next may begin: it waits in
  /// the same way, and for a kernel that has waited.
  void overlap(LLVM::LLVMFuncOp function) {
    Operation *first = &function.front().front();
    while (!first->hasTrait<OpTrait::IsTerminator>() && isMemoryEffectFree(first))
      first = first->getNextNode();
    OpBuilder builder(first);
    for (StringRef text : {"griddepcontrol.wait;", "griddepcontrol.launch_dependents;"})
      LLVM::InlineAsmOp::create(builder, function.getLoc(), TypeRange{}, ValueRange{}, text, "~{memory}",
                                /*has_side_effects=*/true, /*is_align_stack=*/false,
                                LLVM::tailcallkind::TailCallKind::None,
                                LLVM::AsmDialectAttr::get(builder.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr());
    function->setAttr("tw.overlap", builder.getUnitAttr());
  }

  void finish(gpu::GPUModuleOp device) {
    Builder builder(&getContext());
    for (auto function : device.getOps<LLVM::LLVMFuncOp>()) {
      auto threads = function->getAttrOfType<IntegerAttr>("tw.threads");
      if (!threads)
        continue;
      function->removeAttr("tw.device");
      function->removeAttr("tw.threads");
      function->setAttr("nvvm.kernel", builder.getUnitAttr());
      // With so much shared memory a multiprocessor has one block: its threads may have all registers.
      if (function->hasAttr("tw.shared"))
        function->setAttr("nvvm.minctasm", builder.getI32IntegerAttr(1));
      if (auto cluster = function->getAttrOfType<IntegerAttr>("tw.cluster")) {
        int32_t sizes[] = {static_cast<int32_t>(cluster.getInt()), 1, 1};
        function->setAttr(NVVM::NVVMDialect::getClusterDimAttrName(), builder.getDenseI32ArrayAttr(sizes));
      }
      for (unsigned i = 0; i < function.getNumArguments(); ++i) {
        if (!function.getArgAttr(i, "tw.tensor_map"))
          continue;
        // 128 bytes that the copying unit reads from where parameters lie.
        function.setArgAttr(i, "llvm.byval", TypeAttr::get(LLVM::LLVMArrayType::get(builder.getI8Type(), 128)));
        function.setArgAttr(i, "llvm.align", builder.getI64IntegerAttr(64));
        function.setArgAttr(i, "nvvm.grid_constant", builder.getUnitAttr());
      }
      if (mayOverlap())
        overlap(function);
      function->setAttr("nvvm.reqntid", builder.getDenseI32ArrayAttr({static_cast<int32_t>(threads.getInt()), 1, 1}));
    }
  }

  void runOnOperation() override {
    for (auto device : getOperation().getOps<gpu::GPUModuleOp>()) {
      if (failed(convert(device)))
        return signalPassFailure();
      finish(device);
    }
  }
};

} // namespace
