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

/// Bufferisation copies what a condition passes on. Where the copy is all that happens to it, and its source is passed on
/// only this way, the source does as well.
Value withoutCopy(Value value, scf::ConditionOp condition) {
  auto alloc = value.getDefiningOp<memref::AllocOp>();
  if (!alloc || !llvm::hasNItems(alloc->getUsers(), 2))
    return value;
  memref::CopyOp copy;
  for (Operation *user : alloc->getUsers())
    if (auto candidate = dyn_cast<memref::CopyOp>(user); candidate && candidate.getTarget() == value)
      copy = candidate;
  if (!copy || copy->getNextNode() == nullptr)
    return value;
  for (Operation *op = copy->getNextNode(); op != condition; op = op->getNextNode())
    if (!op || !isa<memref::CopyOp, memref::AllocOp>(op))
      return value;
  Value source = copy.getSource();
  auto sharesSource = [&](Value other) {
    if (other == source)
      return true;
    for (Operation *user : other.getUsers())
      if (auto same = dyn_cast<memref::CopyOp>(user))
        if (same != copy && same.getTarget() == other && same.getSource() == source)
          return true;
    return false;
  };
  if (llvm::any_of(condition.getArgs(), [&](Value other) { return other != value && sharesSource(other); }))
    return value;
  copy.erase();
  // Its last use, as an argument of the condition, goes when the arguments are rewritten.
  return source;
}

/// Finds sizes of what a loop's condition makes in terms of values before the loop. The order of what the loop carries says
/// nothing about them: canonicalisation drops arguments and results each by themselves.
class SizesBefore {
public:
  SizesBefore(OpBuilder &builder, scf::WhileOp loop) : builder(builder), loc(loop.getLoc()), loop(loop) {}

  /// The size of a dynamic dimension of `buffer`, or null.
  Value size(Value buffer, int64_t dim) {
    auto type = cast<MemRefType>(buffer.getType());
    if (!type.isDynamicDim(dim))
      return arith::ConstantIndexOp::create(builder, loc, type.getDimSize(dim));
    if (isBefore(buffer))
      return memref::DimOp::create(builder, loc, buffer, dim);
    if (auto cast = buffer.getDefiningOp<memref::CastOp>())
      return size(cast.getSource(), dim);
    if (auto alloc = buffer.getDefiningOp<memref::AllocOp>())
      return index(alloc.getDynamicSizes()[type.getDynamicDimIndex(dim)]);
    return Value();
  }

private:
  bool isBefore(Value value) { return value.getParentRegion()->isProperAncestor(&loop.getBefore()); }

  Value index(Value value) {
    if (isBefore(value))
      return value;
    Operation *op = value.getDefiningOp();
    if (auto dim = dyn_cast_or_null<memref::DimOp>(op))
      return dim.getConstantIndex() ? size(dim.getSource(), *dim.getConstantIndex()) : Value();
    if (!op || !isPure(op) || op->getNumRegions() != 0 || op->getNumResults() != 1)
      return Value();
    IRMapping mapping;
    for (Value operand : op->getOperands()) {
      Value known = operand.getType().isIndex() ? index(operand) : Value();
      if (!known)
        return Value();
      mapping.map(operand, known);
    }
    return builder.clone(*op, mapping)->getResult(0);
  }

  OpBuilder &builder;
  Location loc;
  scf::WhileOp loop;
};

/// A place for a buffer that the condition computes; its size must be known before the loop.
FailureOr<Value> placeForPassed(OpBuilder &builder, scf::WhileOp loop, Value passed) {
  auto type = cast<MemRefType>(passed.getType());
  SmallVector<Value> sizes;
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    if (!type.isDynamicDim(dim))
      continue;
    sizes.push_back(SizesBefore(builder, loop).size(passed, dim));
    if (!sizes.back())
      return loop.emitOpError("passes a buffer of its condition to its body whose size is not known before the loop");
  }
  auto dense = MemRefType::get(type.getShape(), type.getElementType());
  return memref::AllocOp::create(builder, loop.getLoc(), dense, sizes, builder.getI64IntegerAttr(64)).getResult();
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
    value = withoutCopy(value, condition);
    if (!value.getParentRegion()->isProperAncestor(&loop.getBefore())) {
      FailureOr<Value> place = placeForPassed(builder, loop, value);
      if (failed(place))
        return failure();
      OpBuilder atCondition(condition);
      memref::CopyOp::create(atCondition, condition.getLoc(), value, *place);
      value = *place;
    }
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
