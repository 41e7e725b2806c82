//===- Stream.cpp - Results that go past the cache ------------------------===//
//
// In:  functions that `tw.stream` marks, whose vectors are written to results that nobody reads here. Out: where the
// results begin at a cache line, the same loops with stores that ask for no line before they fill it, and a fence after
// them; the loops as they were elsewhere.
// A line that is written the usual way is read from memory first. What is larger than the last cache leaves it before
// anybody reads it again, so that a third of the traffic of a sum of two arrays is for nothing.
// Here, where tasks are functions of their own: the fence ends a task, before the pool learns that it is done.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include "Transforms/Peel/KnownDivisor.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

namespace tilewright {
#define GEN_PASS_DEF_CPUSTREAMPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

constexpr int64_t kLineBytes = 64;
constexpr StringLiteral kStreamed = "tw.streamed";

/// Whether a place in a buffer of `type` is a multiple of `elements` elements away from the buffer's beginning.
bool isMultiple(MemRefType type, ArrayRef<OpFoldResult> place, int64_t elements) {
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(type.getStridesAndOffset(strides, offset)))
    return false;
  return llvm::all_of(llvm::zip_equal(place, strides), [&](auto both) {
    auto [index, stride] = both;
    int64_t divisor = knownDivisor(index);
    if (divisor == 0)
      return true;
    return divisor % elements == 0 || (!ShapedType::isDynamic(stride) && divisor % elements * stride % elements == 0);
  });
}

/// The argument of the function that a write goes to, if lines of the argument are what it fills; null otherwise.
BlockArgument streamedTo(vector::TransferWriteOp write) {
  VectorType type = write.getVectorType();
  auto buffer = dyn_cast<MemRefType>(write.getBase().getType());
  if (!buffer || type.getRank() != 1 || type.isScalable() || write.getMask() ||
      !write.getPermutationMap().isMinorIdentity() || write.hasOutOfBoundsDim() ||
      !type.getElementType().isIntOrFloat() || type.getElementTypeBitWidth() % 8 != 0)
    return {};
  // Without some of its dimensions, a window's neighbours may lie a row apart.
  if (!buffer.isLastDimUnitStride())
    return {};
  int64_t elements = type.getNumElements(), bytes = elements * type.getElementTypeBitWidth() / 8;
  if (bytes != kLineBytes && 2 * bytes != kLineBytes)
    return {};
  if (!isMultiple(buffer, getAsOpFoldResult(write.getIndices()), elements))
    return {};
  Value base = write.getBase();
  while (auto view = base.getDefiningOp<memref::SubViewOp>()) {
    if (!view.hasUnitStride() || !isMultiple(view.getSourceType(), view.getMixedOffsets(), elements))
      return {};
    base = view.getSource();
  }
  auto argument = dyn_cast<BlockArgument>(base);
  bool ofFunction = argument && isa<func::FuncOp>(argument.getOwner()->getParentOp());
  return ofFunction && cast<MemRefType>(base.getType()).getLayout().isIdentity() ? argument : BlockArgument();
}

/// Whether all that happens to a buffer is that vectors are written to it.
bool isOnlyWritten(Value buffer) {
  return llvm::all_of(buffer.getUses(), [](OpOperand &use) {
    if (auto view = dyn_cast<memref::SubViewOp>(use.getOwner()))
      return isOnlyWritten(view);
    auto write = dyn_cast<vector::TransferWriteOp>(use.getOwner());
    return (write && write.getBase() == use.get()) || isa<memref::DimOp>(use.getOwner());
  });
}

struct CpuStream : tilewright::impl::CpuStreamPassBase<CpuStream> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (!function->hasAttr("tw.stream") || function.isExternal() || !hasStreamingStores())
      return;
    for (auto loop : llvm::to_vector(function.getOps<scf::ForOp>()))
      if (loop.getNumResults() == 0)
        stream(loop);
  }

private:
  bool hasStreamingStores() {
    auto module = getOperation()->getParentOfType<ModuleOp>();
    auto target = module ? module->getAttrOfType<tw::TargetAttr>("tw.target") : tw::TargetAttr();
    SmallVector<StringRef> features;
    if (target)
      StringRef(target.getFeatures()).split(features, ',');
    return llvm::is_contained(features, "+avx");
  }

  void stream(scf::ForOp loop) {
    SetVector<Value> results;
    UnitAttr mark = UnitAttr::get(&getContext());
    loop.walk([&](vector::TransferWriteOp write) {
      BlockArgument result = streamedTo(write);
      if (!result || !isOnlyWritten(result))
        return;
      results.insert(result);
      write->setAttr(kStreamed, mark);
    });
    if (results.empty())
      return;
    OpBuilder builder(loop);
    Location loc = loop.getLoc();
    Value within;
    for (Value result : results) {
      Value address = memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, result);
      within = within ? arith::OrIOp::create(builder, loc, within, address).getResult() : address;
    }
    Value last = arith::ConstantIndexOp::create(builder, loc, kLineBytes - 1),
          zero = arith::ConstantIndexOp::create(builder, loc, 0);
    within = arith::AndIOp::create(builder, loc, within, last);
    Value aligned = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, within, zero);
    auto branch = scf::IfOp::create(builder, loc, aligned, /*withElseRegion=*/true);
    OpBuilder then = branch.getThenBodyBuilder();
    Operation *streaming = then.clone(*loop);
    LLVM::CallIntrinsicOp::create(then, loc, then.getStringAttr("llvm.x86.sse.sfence"), ValueRange{});
    loop->moveBefore(branch.elseBlock()->getTerminator());
    loop.walk([](vector::TransferWriteOp write) { write->removeAttr(kStreamed); });
    streaming->walk([&](vector::TransferWriteOp write) {
      if (!write->hasAttr(kStreamed))
        return;
      OpBuilder here(write);
      VectorType type = write.getVectorType();
      vector::StoreOp::create(here, write.getLoc(), write.getVector(), write.getBase(), write.getIndices(),
                              /*nontemporal=*/true,
                              llvm::Align(type.getNumElements() * type.getElementTypeBitWidth() / 8));
      write.erase();
      ++numStores;
    });
  }
};

} // namespace
