//===- CarryBuffers.cpp - Loops carry values in fixed buffers ---------------===//
//
// In:  bufferised `scf.for` and `scf.while` whose arguments may be memrefs.
// Out: loops without memref arguments and results.
// Here, because the memory plan gives each allocation one place for the whole call: a buffer that is yielded to the next
// iteration must not be the one that this iteration reads.
//===----------------------------------------------------------------------===//
#include "Transforms/CarryBuffers/CarryBuffers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

namespace tilewright {
#define GEN_PASS_DEF_CARRYBUFFERSPASS
#include "Transforms/CarryBuffers/CarryBuffers.h.inc"
} // namespace tilewright

using namespace mlir;

namespace {

/// Allocates a dense buffer of the shape of `like`.
Value allocateLike(OpBuilder &builder, Location loc, Value like) {
  auto type = cast<MemRefType>(like.getType());
  SmallVector<Value> sizes;
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (type.isDynamicDim(i))
      sizes.push_back(memref::DimOp::create(builder, loc, like, i));
  auto dense = MemRefType::get(type.getShape(), type.getElementType());
  return memref::AllocOp::create(builder, loc, dense, sizes, builder.getI64IntegerAttr(64));
}

/// A place that holds a copy of `init`, and the same place under init's type.
std::pair<Value, Value> makePlace(OpBuilder &builder, Location loc, Value init) {
  Value place = allocateLike(builder, loc, init);
  memref::CopyOp::create(builder, loc, init, place);
  Value view = place;
  if (place.getType() != init.getType())
    view = memref::CastOp::create(builder, loc, init.getType(), place);
  return {place, view};
}

Operation *rootOf(Value value) {
  Operation *op = value.getDefiningOp();
  while (op && isa<ViewLikeOpInterface, memref::CastOp>(op))
    op = op->getOperand(0).getDefiningOp();
  return op;
}

/// Copies what the loop yields into the places of the carried values, as if all copies happened at once.
void storeYields(OpBuilder &builder, Location loc, ArrayRef<Value> yields, ArrayRef<Value> places,
                 ArrayRef<Value> views) {
  SmallVector<Value> sources(yields);
  for (auto [i, source] : llvm::enumerate(sources)) {
    if (source == views[i] || source == places[i]) {
      source = Value();
      continue;
    }
    // Anything but memory of this iteration may be another carried value: it is read before any place is written.
    Operation *root = rootOf(source);
    bool fresh = root && isa<memref::AllocOp>(root) && !llvm::is_contained(places, root->getResult(0));
    if (fresh || places.size() == 1)
      continue;
    Value temporary = allocateLike(builder, loc, source);
    memref::CopyOp::create(builder, loc, source, temporary);
    source = temporary;
  }
  for (auto [i, source] : llvm::enumerate(sources))
    if (source)
      memref::CopyOp::create(builder, loc, source, places[i]);
}

/// Which of `values` are buffers.
BitVector buffersAmong(ValueRange values) {
  BitVector set(values.size());
  for (auto [i, value] : llvm::enumerate(values))
    set[i] = isa<MemRefType>(value.getType());
  return set;
}

void carryInFor(scf::ForOp loop) {
  BitVector carried = buffersAmong(loop.getInitArgs());
  if (carried.none())
    return;
  OpBuilder builder(loop);
  Location loc = loop.getLoc();
  auto yield = cast<scf::YieldOp>(loop.getBody()->getTerminator());
  SmallVector<Value> yields, places, views, keptInits, keptYields;
  for (unsigned i = 0, e = carried.size(); i < e; ++i) {
    if (!carried[i]) {
      keptInits.push_back(loop.getInitArgs()[i]);
      keptYields.push_back(yield.getOperand(i));
      continue;
    }
    auto [place, view] = makePlace(builder, loc, loop.getInitArgs()[i]);
    places.push_back(place);
    views.push_back(view);
    loop.getRegionIterArg(i).replaceAllUsesWith(view);
    loop.getResult(i).replaceAllUsesWith(view);
  }
  for (int i : carried.set_bits())
    yields.push_back(yield.getOperand(i));
  builder.setInsertionPoint(yield);
  storeYields(builder, yield.getLoc(), yields, places, views);
  yield->setOperands(keptYields);

  builder.setInsertionPoint(loop);
  auto bare = scf::ForOp::create(builder, loc, loop.getLowerBound(), loop.getUpperBound(), loop.getStep(), keptInits);
  bare->setDiscardableAttrs(loop->getDiscardableAttrDictionary());
  Block *body = loop.getBody();
  BitVector dropped(body->getNumArguments());
  for (int i : carried.set_bits())
    dropped[i + 1] = true;
  body->eraseArguments(dropped);
  bare.getRegion().takeBody(loop.getRegion());
  unsigned next = 0;
  for (unsigned i = 0, e = carried.size(); i < e; ++i)
    if (!carried[i])
      loop.getResult(i).replaceAllUsesWith(bare.getResult(next++));
  loop.erase();
}

LogicalResult carryInWhile(scf::WhileOp loop) {
  BitVector carried = buffersAmong(loop.getInits());
  BitVector passed = buffersAmong(loop.getResults());
  if (carried.none() && passed.none())
    return success();
  OpBuilder builder(loop);
  Location loc = loop.getLoc();
  SmallVector<Value> places, views, keptInits;
  for (unsigned i = 0, e = carried.size(); i < e; ++i) {
    if (!carried[i]) {
      keptInits.push_back(loop.getInits()[i]);
      continue;
    }
    auto [place, view] = makePlace(builder, loc, loop.getInits()[i]);
    places.push_back(place);
    views.push_back(view);
    loop.getBeforeArguments()[i].replaceAllUsesWith(view);
  }
  auto condition = loop.getConditionOp();
  SmallVector<Value> keptPassed;
  SmallVector<Type> keptTypes;
  for (unsigned i = 0, e = passed.size(); i < e; ++i) {
    Value value = condition.getArgs()[i];
    if (!passed[i]) {
      keptPassed.push_back(value);
      keptTypes.push_back(value.getType());
      continue;
    }
    if (!value.getParentRegion()->isProperAncestor(&loop.getBefore()))
      return loop.emitOpError("passes a buffer of its condition to its body: only carried values may be passed");
    loop.getAfterArguments()[i].replaceAllUsesWith(value);
    loop.getResult(i).replaceAllUsesWith(value);
  }
  auto yield = loop.getYieldOp();
  SmallVector<Value> yields, keptYields;
  for (unsigned i = 0, e = carried.size(); i < e; ++i)
    (carried[i] ? yields : keptYields).push_back(yield.getOperand(i));
  builder.setInsertionPoint(yield);
  storeYields(builder, yield.getLoc(), yields, places, views);
  yield->setOperands(keptYields);
  condition.getArgsMutable().assign(keptPassed);

  builder.setInsertionPoint(loop);
  auto bare = scf::WhileOp::create(builder, loc, keptTypes, keptInits);
  bare->setDiscardableAttrs(loop->getDiscardableAttrDictionary());
  loop.getBeforeBody()->eraseArguments(carried);
  loop.getAfterBody()->eraseArguments(passed);
  bare.getBefore().takeBody(loop.getBefore());
  bare.getAfter().takeBody(loop.getAfter());
  unsigned next = 0;
  for (unsigned i = 0, e = passed.size(); i < e; ++i)
    if (!passed[i])
      loop.getResult(i).replaceAllUsesWith(bare.getResult(next++));
  loop.erase();
  return success();
}

struct CarryBuffersPass : tilewright::impl::CarryBuffersPassBase<CarryBuffersPass> {
  void runOnOperation() override {
    SmallVector<Operation *> loops;
    getOperation()->walk<WalkOrder::PostOrder>([&](Operation *op) {
      if (isa<scf::ForOp, scf::WhileOp>(op))
        loops.push_back(op);
    });
    for (Operation *op : loops) {
      if (auto loop = dyn_cast<scf::ForOp>(op))
        carryInFor(loop);
      else if (failed(carryInWhile(cast<scf::WhileOp>(op))))
        return signalPassFailure();
    }
  }
};

} // namespace
