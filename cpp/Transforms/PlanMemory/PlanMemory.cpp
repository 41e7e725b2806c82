//===- PlanMemory.cpp - One arena for all intermediates ---------------------===//
//
// In:  bufferised functions; outputs are arguments; no loop carries a buffer.
// Out: no `memref.alloc` anywhere. Host functions take an arena; the shape functions say how large it must be.
// Here, as the last pass of stage `buffers`: every buffer that could be avoided is gone.
//===----------------------------------------------------------------------===//
#include "Transforms/PlanMemory/PlanMemory.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"

#include <map>

namespace tilewright {
#define GEN_PASS_DEF_PLANMEMORYPASS
#include "Transforms/PlanMemory/PlanMemory.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;
using namespace tilewright::memory;

namespace {

/// Memory that buffers of equal symbolic size use one after the other.
struct Slot {
  memref::AllocOp first;
  SmallVector<memref::AllocOp> users;
  SmallVector<Lifetime> lifetimes;
};

struct Plan {
  SmallVector<memref::AllocOp> fixed;
  SmallVector<int64_t> offsets;
  int64_t fixedBytes = 0;
  SmallVector<Slot> slots;
  SmallVector<memref::AllocOp> unplaced; ///< sizes that no shape function can know
};

/// Names the bytes of a dynamic allocation; nullopt if they depend on data.
std::optional<std::string> describeBytes(memref::AllocOp alloc, int64_t element) {
  int64_t factor = element;
  SmallVector<std::string> terms;
  for (OpFoldResult size : alloc.getMixedSizes()) {
    if (auto number = getConstantIntValue(size)) {
      factor *= *number;
      continue;
    }
    auto term = describeSize(cast<Value>(size));
    if (!term)
      return std::nullopt;
    terms.push_back(*term);
  }
  llvm::sort(terms);
  return std::to_string(factor) + "*" + llvm::join(terms, "*");
}

FailureOr<Plan> makePlan(func::FuncOp func) {
  Plan plan;
  SmallVector<int64_t> sizes;
  SmallVector<Lifetime> lives;
  llvm::MapVector<std::string, SmallVector<Slot>, std::map<std::string, unsigned>> dynamic;
  for (auto [alloc, life] : lifetimesOf(func)) {
    MemRefType type = alloc.getType();
    auto element = elementBytes(type.getElementType());
    if (!element || !type.getLayout().isIdentity())
      return alloc.emitOpError("cannot be planned: ") << type << " is no dense buffer of plain elements";
    if (type.hasStaticShape()) {
      plan.fixed.push_back(alloc);
      sizes.push_back(type.getNumElements() * *element);
      lives.push_back(life);
      continue;
    }
    auto name = describeBytes(alloc, *element);
    if (!name) {
      plan.unplaced.push_back(alloc);
      continue;
    }
    Slot *home = nullptr;
    for (Slot &slot : dynamic[*name])
      if (llvm::none_of(slot.lifetimes, [&](const Lifetime &other) { return other.overlaps(life); }))
        home = home ? home : &slot;
    if (!home) {
      dynamic[*name].push_back({alloc, {}, {}});
      home = &dynamic[*name].back();
    }
    home->users.push_back(alloc);
    home->lifetimes.push_back(life);
  }
  plan.offsets.resize(sizes.size());
  plan.fixedBytes = placeByBestFit(sizes, lives, plan.offsets);
  for (auto &entry : dynamic)
    llvm::append_range(plan.slots, entry.second);
  return plan;
}

/// Computes where each slot starts, and the bytes of the whole arena, from the dims of `arguments`.
SmallVector<Value> computeOffsets(OpBuilder &builder, Location loc, const Plan &plan, ValueRange arguments) {
  DenseMap<Value, Value> done;
  Value offset = arith::ConstantIndexOp::create(builder, loc, plan.fixedBytes);
  SmallVector<Value> offsets;
  for (const Slot &slot : plan.slots) {
    offsets.push_back(offset);
    memref::AllocOp alloc = slot.first;
    Value bytes = arith::ConstantIndexOp::create(builder, loc, *elementBytes(alloc.getType().getElementType()));
    for (OpFoldResult size : alloc.getMixedSizes()) {
      Value factor = isa<Value>(size) ? cloneSize(builder, cast<Value>(size), arguments, done)
                                      : getValueOrCreateConstantIndexOp(builder, loc, size);
      bytes = arith::MulIOp::create(builder, loc, bytes, factor);
    }
    Value mask = arith::ConstantIndexOp::create(builder, loc, -kAlignment);
    Value slack = arith::ConstantIndexOp::create(builder, loc, kAlignment - 1);
    Value aligned = arith::AndIOp::create(builder, loc, arith::AddIOp::create(builder, loc, bytes, slack), mask);
    offset = arith::AddIOp::create(builder, loc, offset, aligned);
  }
  offsets.push_back(offset);
  return offsets;
}

void replaceByView(memref::AllocOp alloc, Value arena, Value offset) {
  OpBuilder builder(alloc);
  Value view = memref::ViewOp::create(builder, alloc.getLoc(), alloc.getType(), arena, offset, alloc.getDynamicSizes());
  alloc.replaceAllUsesWith(view);
  alloc.erase();
}

/// The function that computes the output dims of `host`: `@shapes` of `@main`, `@load_0_shapes` of `@load_0`.
func::FuncOp shapesOf(func::FuncOp host) {
  auto module = host->getParentOfType<ModuleOp>();
  return module.lookupSymbol<func::FuncOp>(host.getName() == "main" ? "shapes" : (host.getName() + "_shapes").str());
}

struct PlanMemoryPass : tilewright::impl::PlanMemoryPassBase<PlanMemoryPass> {
  using Base::Base;

  LogicalResult planHost(func::FuncOp func) {
    FailureOr<Plan> plan = makePlan(func);
    if (failed(plan))
      return failure();
    func::FuncOp shapes = shapesOf(func);
    if (!shapes)
      return func.emitOpError("has no shape function");
    Location loc = func.getLoc();
    auto ret = cast<func::ReturnOp>(shapes.front().getTerminator());
    OpBuilder shapesBuilder(ret);
    SmallVector<Value> sizes(ret.getOperands());
    sizes.push_back(computeOffsets(shapesBuilder, loc, *plan, shapes.getArguments()).back());
    func::ReturnOp::create(shapesBuilder, ret.getLoc(), sizes);
    ret.erase();
    shapes.setFunctionType(
        shapesBuilder.getFunctionType(shapes.getFunctionType().getInputs(), ValueRange(sizes).getTypes()));
    if (plan->slots.empty())
      func->setAttr("tw.scratch", IntegerAttr::get(IntegerType::get(&getContext(), 64), plan->fixedBytes));

    unsigned last = func.getNumArguments();
    Builder attrs(&getContext());
    auto bytes = MemRefType::get({ShapedType::kDynamic}, attrs.getI8Type());
    if (failed(func.insertArgument(last, bytes,
                                   attrs.getDictionaryAttr(attrs.getNamedAttr("tw.arena", attrs.getUnitAttr())), loc)))
      return failure();
    Value arena = func.getArgument(last);
    OpBuilder builder = OpBuilder::atBlockBegin(&func.front());
    SmallVector<Value> offsets = computeOffsets(builder, loc, *plan, func.getArguments());
    // The builder stands before the first operation, which may be an allocation that goes: constants come first.
    SmallVector<Value> fixedOffsets = llvm::map_to_vector(
        plan->offsets, [&](int64_t offset) -> Value { return arith::ConstantIndexOp::create(builder, loc, offset); });
    for (auto [slot, offset] : llvm::zip(plan->slots, offsets))
      for (memref::AllocOp alloc : slot.users)
        replaceByView(alloc, arena, offset);
    for (auto [alloc, offset] : llvm::zip(plan->fixed, fixedOffsets))
      replaceByView(alloc, arena, offset);
    for (memref::AllocOp alloc : plan->unplaced)
      if (failed(pushAllocation(alloc)))
        return failure();
    for (const Slot &slot : plan->slots)
      placed += slot.users.size();
    placed += plan->fixed.size();
    pushed += plan->unplaced.size();
    return success();
  }

  void runOnOperation() override {
    KernelMemoryCounts counts;
    for (auto func : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
      if (func.isExternal() || func->hasAttr("tw.shapes"))
        continue;
      bool host = func->hasAttr("tw.host") || func->hasAttr("tw.load");
      if (failed(host ? planHost(func) : planKernel(func, stackBytes, stackTotal, counts)))
        return signalPassFailure();
    }
    stacked += counts.stacked;
    pushed += counts.pushed;
  }
};

} // namespace
