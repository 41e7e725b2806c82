//===- KernelMemory.cpp - Temporary buffers of kernels ----------------------===//
#include "Transforms/PlanMemory/PlanMemory.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace tilewright;

namespace {

std::optional<int64_t> staticBytes(MemRefType type) {
  auto element = memory::elementBytes(type.getElementType());
  if (auto vector = dyn_cast<VectorType>(type.getElementType()))
    if (auto lane = memory::elementBytes(vector.getElementType()))
      element = *lane * vector.getNumElements();
  if (!element || !type.hasStaticShape())
    return std::nullopt;
  return *element * type.getNumElements();
}

/// The block that runs once per parallel iteration: memory taken at its start is taken once, not once per inner loop.
Block *iterationOf(Operation *op) {
  for (Operation *parent = op->getParentOp(); parent; parent = parent->getParentOp()) {
    if (auto forall = dyn_cast<scf::ForallOp>(parent))
      return forall.getBody();
    if (auto func = dyn_cast<func::FuncOp>(parent))
      return &func.front();
  }
  return nullptr;
}

} // namespace

LogicalResult memory::pushAllocation(memref::AllocOp alloc) {
  Block *block = alloc->getBlock();
  BufferViewFlowAnalysis views(alloc->getParentOfType<func::FuncOp>());
  for (Value alias : views.resolve(alloc))
    for (Operation *user : alias.getUsers())
      if (!block->findAncestorOpInBlock(*user))
        return alloc.emitOpError("leaves its block: no scratch memory can be taken for it");
  auto element = elementBytes(alloc.getType().getElementType());
  if (!element)
    return alloc.emitOpError("has elements of unknown size: ") << alloc.getType();
  OpBuilder builder(alloc);
  Location loc = alloc.getLoc();
  Value bytes = arith::ConstantIndexOp::create(builder, loc, *element);
  for (OpFoldResult size : alloc.getMixedSizes())
    bytes = arith::MulIOp::create(builder, loc, bytes, getValueOrCreateConstantIndexOp(builder, loc, size));
  auto arena = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type());
  Value pushed = rt::ScratchPushOp::create(builder, loc, arena, bytes);
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  Value view = memref::ViewOp::create(builder, loc, alloc.getType(), pushed, zero, alloc.getDynamicSizes());
  alloc.replaceAllUsesWith(view);
  alloc.erase();
  // Pops mirror pushes: a later push of this block has put its pop first.
  Operation *last = block->getTerminator();
  for (Operation *op = last->getPrevNode(); op && isa<rt::ScratchPopOp>(op); op = op->getPrevNode())
    last = op;
  builder.setInsertionPoint(last);
  rt::ScratchPopOp::create(builder, loc, pushed);
  return success();
}

LogicalResult memory::planKernel(func::FuncOp func, int64_t stackBytes, int64_t stackTotal,
                                 KernelMemoryCounts &counts) {
  SmallVector<memref::AllocOp> allocs;
  func.walk([&](memref::AllocOp alloc) { allocs.push_back(alloc); });
  int64_t used = 0;
  for (memref::AllocOp alloc : allocs) {
    if (alloc.getDynamicSizes().empty())
      alloc->moveBefore(iterationOf(alloc), iterationOf(alloc)->begin());
    auto bytes = staticBytes(alloc.getType());
    if (bytes && *bytes <= stackBytes && used + *bytes <= stackTotal) {
      used += alignUp(*bytes);
      OpBuilder builder(alloc);
      Value stack =
          memref::AllocaOp::create(builder, alloc.getLoc(), alloc.getType(), builder.getI64IntegerAttr(kAlignment));
      alloc.replaceAllUsesWith(stack);
      alloc.erase();
      ++counts.stacked;
    }
  }
  // Pushes in program order, so that pops can mirror them.
  allocs.clear();
  func.walk([&](memref::AllocOp alloc) { allocs.push_back(alloc); });
  for (memref::AllocOp alloc : allocs) {
    if (failed(pushAllocation(alloc)))
      return failure();
    ++counts.pushed;
  }
  return success();
}
