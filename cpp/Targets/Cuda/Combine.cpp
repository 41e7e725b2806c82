//===- Combine.cpp - Partial results of several threads become one ----------===//
//
// By shuffles inside a warp, through shared memory between warps. Who adds to whom depends on the kernel alone: every run
// gives the same bits, and no atomic operation is needed.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Combine.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

static constexpr int64_t kLanes = 32;

Value Combiner::combine(OpBuilder &builder, Location loc, Value a, Value b) const {
  if (widen) {
    Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(a.getType()));
    a = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, a, zero);
    b = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, b, zero);
  }
  IRMapping map;
  map.map(op->getOperand(0), a);
  map.map(op->getOperand(1), b);
  Operation *copy = builder.clone(*op, map);
  copy->setLoc(loc);
  if (!widen)
    return copy->getResult(0);
  return arith::ExtUIOp::create(builder, loc, widen->getResult(0).getType(), copy->getResult(0));
}

/// Whether all of some bools are set, or any of them, as a byte.
static std::optional<Combiner> boolsOf(linalg::LinalgOp op) {
  auto widen = op.getBlock()->getTerminator()->getOperand(0).getDefiningOp<arith::ExtUIOp>();
  Operation *both = widen ? widen.getIn().getDefiningOp() : nullptr;
  if (!isa_and_nonnull<arith::OrIOp, arith::AndIOp>(both) || !both->getResult(0).getType().isInteger(1))
    return std::nullopt;
  BlockArgument accumulator = op.getRegionOutputArgs().front();
  auto isSet = [&](Value value) {
    auto compared = value.getDefiningOp<arith::CmpIOp>();
    return compared && compared.getPredicate() == arith::CmpIPredicate::ne && compared.getLhs() == accumulator &&
           isConstantIntValue(compared.getRhs(), 0) && compared->hasOneUse();
  };
  if (!accumulator.hasOneUse() || llvm::none_of(both->getOperands(), isSet))
    return std::nullopt;
  TypedAttr neutral = IntegerAttr::get(widen.getType(), isa<arith::AndIOp>(both));
  return Combiner{both, neutral, widen};
}

std::optional<Combiner> cuda::combinerOf(linalg::LinalgOp op) {
  SmallVector<Operation *> found;
  if (op.getNumDpsInits() != 1)
    return std::nullopt;
  if (std::optional<Combiner> bools = boolsOf(op))
    return bools;
  if (!matchReduction(op.getRegionOutputArgs(), 0, found) || found.size() != 1)
    return std::nullopt;
  std::optional<TypedAttr> neutral = arith::getNeutralElement(found.front());
  if (!neutral || found.front()->getNumOperands() != 2)
    return std::nullopt;
  // The value itself must not be needed by anything else of the body.
  BlockArgument accumulator = op.getRegionOutputArgs().front();
  if (!accumulator.hasOneUse())
    return std::nullopt;
  return Combiner{found.front(), *neutral};
}

std::optional<SmallVector<Value>> cuda::choiceOf(linalg::LinalgOp op) {
  Block *body = op.getBlock();
  auto accumulators = op.getRegionOutputArgs();
  if (op.getNumDpsInits() < 2)
    return std::nullopt;
  SmallVector<Value> elements;
  Value condition;
  for (auto [yielded, accumulator] : llvm::zip_equal(body->getTerminator()->getOperands(), accumulators)) {
    auto select = yielded.getDefiningOp<arith::SelectOp>();
    if (!select || select.getFalseValue() != accumulator || (condition && select.getCondition() != condition))
      return std::nullopt;
    condition = select.getCondition();
    elements.push_back(select.getTrueValue());
  }
  // The choice looks at the two and at nothing else, and compares alone: then the order of elements does not matter.
  SmallVector<Value> rest{condition};
  while (!rest.empty()) {
    Value value = rest.pop_back_val();
    if (llvm::is_contained(elements, value) || llvm::is_contained(accumulators, value))
      continue;
    Operation *def = value.getDefiningOp();
    if (!def ||
        (def->getBlock() == body &&
         !isa<arith::CmpFOp, arith::CmpIOp, arith::AndIOp, arith::OrIOp, arith::XOrIOp, arith::ConstantOp>(def)))
      return std::nullopt;
    if (def->getBlock() == body)
      llvm::append_range(rest, def->getOperands());
    else if (!def->hasTrait<OpTrait::ConstantLike>())
      return std::nullopt;
  }
  return elements;
}

/// Values of other lanes, by words of 32 bits; `which` is what the kind makes of it.
static Value shuffled(DeviceKernel &kernel, Value value, Value which, NVVM::ShflKind kind) {
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  auto i32 = inside.getI32Type();
  auto constant = [&](int64_t number) -> Value {
    return arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(number));
  };
  auto shuffle = [&](Value word) -> Value {
    // The last lane that may be looked at, or the first.
    Value bound = constant(kind == NVVM::ShflKind::up ? 0 : 31);
    return NVVM::ShflOp::create(inside, loc, word.getType(), constant(-1), word, which, bound, kind, UnitAttr());
  };
  Type type = value.getType();
  unsigned bits = type.getIntOrFloatBitWidth();
  if (type.isF32() || type.isInteger(32))
    return shuffle(value);
  auto integer = inside.getIntegerType(bits);
  Value raw = type == integer ? value : arith::BitcastOp::create(inside, loc, integer, value).getResult();
  if (bits < 32) {
    raw = arith::TruncIOp::create(inside, loc, integer, shuffle(arith::ExtUIOp::create(inside, loc, i32, raw)));
  } else {
    Value low = arith::TruncIOp::create(inside, loc, i32, raw);
    Value shift = arith::ConstantOp::create(inside, loc, inside.getI64IntegerAttr(32));
    Value high = arith::TruncIOp::create(inside, loc, i32, arith::ShRUIOp::create(inside, loc, raw, shift));
    low = arith::ExtUIOp::create(inside, loc, integer, shuffle(low));
    high = arith::ExtUIOp::create(inside, loc, integer, shuffle(high));
    raw = arith::OrIOp::create(inside, loc, low, arith::ShLIOp::create(inside, loc, high, shift));
  }
  return type == integer ? raw : arith::BitcastOp::create(inside, loc, type, raw).getResult();
}

static Value word(DeviceKernel &kernel, int64_t number) {
  return arith::ConstantOp::create(kernel.inside, kernel.loc, kernel.inside.getI32IntegerAttr(number));
}

Value cuda::exchange(DeviceKernel &kernel, Value value, int64_t mask) {
  return shuffled(kernel, value, word(kernel, mask), NVVM::ShflKind::bfly);
}

Value cuda::fromBelow(DeviceKernel &kernel, Value value, int64_t distance) {
  return shuffled(kernel, value, word(kernel, distance), NVVM::ShflKind::up);
}

Value cuda::fromLane(DeviceKernel &kernel, Value value, Value lane) {
  Value number = arith::IndexCastOp::create(kernel.inside, kernel.loc, kernel.inside.getI32Type(), lane);
  return shuffled(kernel, value, number, NVVM::ShflKind::idx);
}

SmallVector<Value> cuda::acrossLanes(DeviceKernel &kernel, CombineAll combine, ValueRange values, int64_t lanes) {
  SmallVector<Value> found(values);
  for (int64_t mask = lanes / 2; mask > 0; mask /= 2) {
    SmallVector<Value> others = llvm::map_to_vector(found, [&](Value each) { return exchange(kernel, each, mask); });
    found = combine(found, others);
  }
  return found;
}

Value cuda::acrossLanes(DeviceKernel &kernel, const Combiner &combiner, Value value, int64_t lanes) {
  auto combine = [&](ValueRange a, ValueRange b) -> SmallVector<Value> {
    return {combiner.combine(kernel.inside, kernel.loc, a[0], b[0])};
  };
  return acrossLanes(kernel, combine, ValueRange{value}, lanes).front();
}

std::pair<Value, Value> cuda::acrossLanesEach(DeviceKernel &kernel, llvm::function_ref<Value(Value, Value)> combine,
                                              ValueRange values) {
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  SmallVector<Value> left(values);
  left.resize(llvm::PowerOf2Ceil(left.size()), left.front());
  Value lane = arith::RemUIOp::create(inside, loc, kernel.threadId(), kernel.index(kLanes));
  Value number = arith::DivUIOp::create(inside, loc, lane, kernel.index(kLanes / left.size()));
  int64_t mask = kLanes / 2;
  // Half of the lanes go on with one half of the values, half with the other: each gives away what it does not keep.
  for (; left.size() > 1; mask /= 2) {
    Value bit = arith::AndIOp::create(inside, loc, lane, kernel.index(mask));
    Value isUpper = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ne, bit, kernel.index(int64_t{0}));
    unsigned half = left.size() / 2;
    for (unsigned i = 0; i < half; ++i) {
      Value kept = arith::SelectOp::create(inside, loc, isUpper, left[i + half], left[i]);
      Value given = arith::SelectOp::create(inside, loc, isUpper, left[i], left[i + half]);
      left[i] = combine(kept, exchange(kernel, given, mask));
    }
    left.resize(half);
  }
  for (; mask > 0; mask /= 2)
    left.front() = combine(left.front(), exchange(kernel, left.front(), mask));
  return {left.front(), number};
}

SmallVector<Value> cuda::acrossBlock(DeviceKernel &kernel, CombineAll combine, ValueRange values, int64_t threads) {
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  int64_t warps = threads / kLanes;
  SmallVector<Value> found = acrossLanes(kernel, combine, values, kLanes);
  if (warps == 1)
    return found;
  // A bool has no place of its own in memory.
  auto storedType = [&](Value value) -> Type {
    return value.getType().isInteger(1) ? Type(inside.getI8Type()) : value.getType();
  };
  // Memory of its own for each combination: the one before may still be read.
  SmallVector<Value> memory =
      llvm::map_to_vector(found, [&](Value value) { return kernel.shared(storedType(value), warps); });
  Value warp = arith::DivUIOp::create(inside, loc, kernel.threadId(), kernel.index(kLanes));
  Value lane = arith::RemUIOp::create(inside, loc, kernel.threadId(), kernel.index(kLanes));
  Value first = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, lane, kernel.index(int64_t{0}));
  auto guarded = scf::IfOp::create(inside, loc, first);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(guarded.thenBlock());
    for (auto [value, place] : llvm::zip_equal(found, memory)) {
      Type stored = storedType(value);
      Value kept = stored == value.getType() ? value : arith::ExtUIOp::create(inside, loc, stored, value).getResult();
      LLVM::StoreOp::create(inside, loc, kept, kernel.sharedAddress(place, stored, warp));
    }
  }
  kernel.barrier();
  // Every warp combines the same values in the same order: no second barrier is needed to hand the result around.
  Value other = arith::RemUIOp::create(inside, loc, lane, kernel.index(warps));
  for (auto [value, place] : llvm::zip_equal(found, memory)) {
    Type stored = storedType(value), type = value.getType();
    Value loaded = LLVM::LoadOp::create(inside, loc, stored, kernel.sharedAddress(place, stored, other));
    value = stored == type ? loaded : arith::TruncIOp::create(inside, loc, type, loaded).getResult();
  }
  return acrossLanes(kernel, combine, found, warps);
}

Value cuda::acrossBlock(DeviceKernel &kernel, const Combiner &combiner, Value value, int64_t threads) {
  auto combine = [&](ValueRange a, ValueRange b) -> SmallVector<Value> {
    return {combiner.combine(kernel.inside, kernel.loc, a[0], b[0])};
  };
  return acrossBlock(kernel, combine, ValueRange{value}, threads).front();
}
