//===- EmitPoints.cpp - One thread per result -------------------------------===//
//
// Threads are numbered along the destination, so that neighbours read and write neighbouring elements. Where all arrays
// allow it, a thread takes as many neighbouring elements as fill 16 bytes: one transaction instead of several.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Nest.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

constexpr int64_t kPointThreads = 256;
constexpr int64_t kBytes = 16;

/// How the loop `lane` moves through an operand.
enum class Step { none, one, other };

Step stepOf(AffineMap map, unsigned lane) {
  if (!map.isFunctionOfDim(lane))
    return Step::none;
  for (auto [dim, result] : llvm::enumerate(map.getResults())) {
    if (!result.isFunctionOfDim(lane))
      continue;
    auto loop = dyn_cast<AffineDimExpr>(result);
    if (dim + 1 != map.getNumResults() || !loop)
      return Step::other;
  }
  return Step::one;
}

/// Elements that a thread computes along the last parallel loop; 1 where some array does not allow more.
int64_t lanesOf(Nest &nest) {
  linalg::LinalgOp op = nest.op;
  if (!nest.reductions.empty() || nest.parallel.empty())
    return 1;
  unsigned lane = nest.parallel.back();
  auto range = getConstantIntValue(nest.ranges[lane]);
  if (!range)
    return 1;
  int64_t widest = 1;
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = dyn_cast<MemRefType>(operand.get().getType());
    if (!type)
      continue;
    if (stepOf(op.getMatchingIndexingMap(&operand), lane) != Step::one) {
      if (op.isDpsInit(&operand))
        return 1;
      continue;
    }
    // Rows begin where the row before ends: then their length must be a multiple of the lanes, which `range` is.
    if (!type.getLayout().isIdentity() || type.isDynamicDim(type.getRank() - 1) ||
        type.getDimSize(type.getRank() - 1) != *range)
      return 1;
    widest = std::max<int64_t>(widest, type.getElementTypeBitWidth() / 8);
  }
  for (int64_t lanes = kBytes / widest; lanes > 1; lanes /= 2)
    if (*range % lanes == 0)
      return lanes;
  return 1;
}

Value extractLane(OpBuilder &builder, Location loc, Value vector, int64_t lane) {
  return vector::ExtractOp::create(builder, loc, vector, ArrayRef<int64_t>{lane});
}

/// Computes `lanes` neighbouring results.
void emitLanes(Nest &nest, SmallVector<Value> point, int64_t lanes) {
  DeviceKernel &kernel = nest.kernel;
  OpBuilder &inside = kernel.inside;
  linalg::LinalgOp op = nest.op;
  unsigned lane = nest.parallel.back();
  Value first = point[lane];
  // Vectors of what varies, single values of what does not; loads of what strides come lane by lane.
  SmallVector<Value> whole(op->getNumOperands());
  for (OpOperand &operand : op->getOpOperands()) {
    unsigned number = operand.getOperandNumber();
    bool isInit = op.isDpsInit(&operand);
    if (isInit && !nest.usesDestination(number - op.getNumDpsInputs()))
      continue;
    if (isInit && nest.hasStart(number - op.getNumDpsInputs())) {
      whole[number] = nest.start(number - op.getNumDpsInputs(), point);
      continue;
    }
    bool isArray = isa<MemRefType>(operand.get().getType());
    Step step = isArray ? stepOf(op.getMatchingIndexingMap(&operand), lane) : Step::none;
    if (step == Step::one)
      whole[number] = kernel.load(nest.view(operand), nest.subscripts(operand, point), lanes);
    else if (step == Step::none)
      whole[number] = nest.read(operand, point);
  }
  SmallVector<Value> results(op.getNumDpsInits());
  for (int64_t i = 0; i < lanes; ++i) {
    point[lane] = i == 0 ? first : arith::AddIOp::create(inside, kernel.loc, first, kernel.index(i)).getResult();
    SmallVector<Value> arguments;
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = whole[operand.getOperandNumber()];
      if (!value && op.isDpsInit(&operand))
        arguments.push_back(Value());
      else if (!value)
        arguments.push_back(nest.read(operand, point));
      else
        arguments.push_back(isa<VectorType>(value.getType()) ? extractLane(inside, kernel.loc, value, i) : value);
    }
    for (auto [number, value] : llvm::enumerate(nest.compute(arguments, point))) {
      auto type = VectorType::get({lanes}, value.getType());
      if (!results[number])
        results[number] = LLVM::PoisonOp::create(inside, kernel.loc, type);
      results[number] = vector::InsertOp::create(inside, kernel.loc, value, results[number], ArrayRef<int64_t>{i});
    }
  }
  point[lane] = first;
  for (auto [number, value] : llvm::enumerate(results))
    nest.write(value, number, point);
}

/// Computes one result, its reductions one after the other, in their order.
void emitPoint(Nest &nest, SmallVector<Value> point) {
  DeviceKernel &kernel = nest.kernel;
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  linalg::LinalgOp op = nest.op;
  unsigned inits = op.getNumDpsInits();
  // A destination that the reductions do not index stays in a register.
  auto isCarried = [&](unsigned init) {
    AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(init));
    return llvm::none_of(nest.reductions, [&](unsigned loop) { return map.isFunctionOfDim(loop); });
  };
  SmallVector<Value> carried;
  SmallVector<int64_t> place(inits, -1);
  Value zero = nest.reductions.empty() ? Value() : kernel.index(int64_t{0});
  for (unsigned loop : nest.reductions)
    point[loop] = zero;
  for (unsigned init = 0; init < inits; ++init)
    if (!nest.reductions.empty() && isCarried(init)) {
      place[init] = carried.size();
      carried.push_back(nest.start(init, point));
    }
  SmallVector<scf::ForOp> loops;
  SmallVector<Value> current(carried);
  OpBuilder::InsertionGuard guard(inside);
  for (unsigned loop : nest.reductions) {
    auto nested = scf::ForOp::create(inside, loc, zero, kernel.index(nest.ranges[loop]), kernel.index(1), current);
    loops.push_back(nested);
    point[loop] = nested.getInductionVar();
    current.assign(nested.getRegionIterArgs().begin(), nested.getRegionIterArgs().end());
    inside.setInsertionPointToStart(nested.getBody());
  }
  SmallVector<Value> arguments;
  for (OpOperand *input : op.getDpsInputOperands())
    arguments.push_back(nest.read(*input, point));
  for (unsigned init = 0; init < inits; ++init) {
    if (place[init] >= 0)
      arguments.push_back(current[place[init]]);
    else
      arguments.push_back(nest.usesDestination(init) ? nest.start(init, point) : Value());
  }
  SmallVector<Value> results = nest.compute(arguments, point);
  SmallVector<Value> next(carried.size());
  for (unsigned init = 0; init < inits; ++init) {
    if (place[init] >= 0)
      next[place[init]] = results[init];
    else
      nest.write(results[init], init, point);
  }
  for (scf::ForOp loop : llvm::reverse(loops)) {
    // Without values that it carries, a loop has its terminator already.
    if (!next.empty()) {
      inside.setInsertionPointToEnd(loop.getBody());
      scf::YieldOp::create(inside, loc, next);
    }
    next.assign(loop.getResults().begin(), loop.getResults().end());
    inside.setInsertionPointAfter(loop);
  }
  for (unsigned init = 0; init < inits; ++init)
    if (place[init] >= 0)
      nest.write(next[place[init]], init, point);
}

} // namespace

void cuda::emitPoints(Nest &nest) {
  if (emitTransposed(nest))
    return;
  DeviceKernel &kernel = nest.kernel;
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  int64_t lanes = lanesOf(nest);
  SmallVector<OpFoldResult> ranges = nest.rangesOf(nest.parallel);
  if (lanes > 1)
    ranges.back() = kernel.host.getIndexAttr(*getConstantIntValue(ranges.back()) / lanes);
  OpFoldResult total = kernel.product(ranges);
  Value base = arith::MulIOp::create(inside, loc, kernel.blockId(), kernel.index(kPointThreads));
  Value linear = arith::AddIOp::create(inside, loc, base, kernel.threadId());
  Value within = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ult, linear, kernel.index(total));
  auto guarded = scf::IfOp::create(inside, loc, within);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(guarded.thenBlock());
  SmallVector<Value> point(nest.op.getNumLoops());
  for (auto [loop, value] : llvm::zip_equal(nest.parallel, kernel.delinearise(linear, ranges)))
    point[loop] = value;
  if (lanes > 1) {
    Value &lane = point[nest.parallel.back()];
    lane = arith::MulIOp::create(inside, loc, lane, kernel.index(lanes));
    emitLanes(nest, point, lanes);
  } else {
    emitPoint(nest, point);
  }
  kernel.launch(kernel.ceilDiv(total, kPointThreads), kPointThreads);
}
