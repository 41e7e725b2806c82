//===- EmitRuns.cpp - Running totals along rows -----------------------------===//
//
// In:  a nest whose first result holds the total so far along rows of neighbours (cumsum).
// Out: a group of threads per row. They go along it in turns; in a turn a thread has some neighbouring elements:
//
//        own totals -> totals of the threads of a warp, by shuffles -> of all warps, through shared memory
//
//      and what came before the turn is one addition more. Elements of the next turn are read before it.
//
// Who adds to whom depends on the kernel alone: every run gives the same bits, and integers are those of a loop.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Combine.h"
#include "Targets/Cuda/Nest.h"
#include "Targets/Cuda/Rows.h"

#include "Analysis/Running.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Threads of a block of rows that have no more than a warp each.
constexpr int64_t kRunBlock = 256;
constexpr int64_t kRunBytes = 16;

class RunEmitter {
public:
  RunEmitter(Nest &nest, const Running &running, int64_t threads)
      : nest(nest), kernel(nest.kernel), inside(kernel.inside), loc(kernel.loc), running(running), threads(threads),
        along(nest.reductions.front()) {}

  void emit();

private:
  using Values = SmallVector<Value>;

  int64_t lanesOf();
  Value combine(Value before, Value after);
  Value below(Value a, Value b) { return arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ult, a, b); }
  Value isNotBelow(Value number, int64_t least) {
    return arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::uge, number, kernel.index(least));
  }
  Value plus(Value a, Value b) { return arith::AddIOp::create(inside, loc, a, b); }
  Value times(Value a, int64_t b) { return arith::MulIOp::create(inside, loc, a, kernel.index(b)); }
  Value choose(Value condition, Value yes, Value no) {
    return arith::SelectOp::create(inside, loc, condition, yes, no);
  }
  /// `value` of the body for those elements from `first` on that exist, what changes nothing for all others.
  Values terms(Value first);
  /// The totals of the lanes up to each, among so many neighbouring lanes.
  Value acrossWarp(Value value, int64_t lanes);
  void write(ValueRange totals, Value first);
  Value element(Value total);

  Nest &nest;
  DeviceKernel &kernel;
  OpBuilder &inside;
  Location loc;
  const Running &running;
  int64_t threads, lanes = 1;
  unsigned along;
  Values point;
  Value neutral, length, lane; ///< `lane`: this thread's number among those of its warp
  Value isRow;                 ///< null if every group of threads has one
};

/// Elements that a thread has in a turn: those of one access to the narrowest array, and as many without it.
int64_t RunEmitter::lanesOf() {
  int64_t narrowest = 16;
  for (OpOperand &operand : nest.op->getOpOperands())
    if (auto type = dyn_cast<MemRefType>(operand.get().getType());
        type && nest.op.getMatchingIndexingMap(&operand).isFunctionOfDim(along))
      narrowest = std::min<int64_t>(narrowest, std::max<int64_t>(1, type.getElementTypeBitWidth() / 8));
  auto range = getConstantIntValue(nest.ranges[along]);
  int64_t found = std::min<int64_t>(8, kRunBytes / narrowest);
  // Short rows: all threads have some; rows of whole accesses begin where accesses may.
  while (found > 1 && range && (*range % found != 0 || threads * found / 2 >= *range))
    found /= 2;
  return found;
}

Value RunEmitter::combine(Value before, Value after) {
  IRMapping map;
  bool first = running.combiner->getOperand(1) == running.term;
  map.map(running.combiner->getOperand(first ? 0 : 1), before);
  map.map(running.term, after);
  return inside.clone(*running.combiner, map)->getResult(0);
}

SmallVector<Value> RunEmitter::terms(Value first) {
  linalg::LinalgOp op = nest.op;
  Values found;
  auto range = getConstantIntValue(nest.ranges[along]);
  // All of a whole access, or none.
  int64_t together = range && *range % lanes == 0 ? lanes : 1;
  for (int64_t begin = 0; begin < lanes; begin += together) {
    Value start = begin ? plus(first, kernel.index(begin)) : first;
    SmallVector<Type> types(together, neutral.getType());
    auto guarded = scf::IfOp::create(inside, loc, types, below(start, length), /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(guarded.thenBlock());
    Values here(point);
    here[along] = start;
    SmallVector<Values> operands;
    for (OpOperand *input : op.getDpsInputOperands())
      operands.push_back(nest.readLanes(*input, here, along, together));
    Values read;
    for (int64_t i = 0; i < together; ++i) {
      if (i)
        here[along] = plus(start, kernel.index(i));
      Values arguments =
          llvm::map_to_vector(operands, [&](const Values &values) { return values[values.size() == 1 ? 0 : i]; });
      arguments.resize(op.getBlock()->getNumArguments());
      read.push_back(nest.computePart(running.term, arguments, here));
    }
    scf::YieldOp::create(inside, loc, read);
    inside.setInsertionPointToStart(guarded.elseBlock());
    scf::YieldOp::create(inside, loc, Values(together, neutral));
    llvm::append_range(found, guarded.getResults());
  }
  return found;
}

Value RunEmitter::acrossWarp(Value value, int64_t count) {
  for (int64_t distance = 1; distance < count; distance *= 2) {
    Value further = combine(fromBelow(kernel, value, distance), value);
    value = choose(isNotBelow(lane, distance), further, value);
  }
  return value;
}

Value RunEmitter::element(Value total) {
  if (!running.narrow)
    return total;
  IRMapping map;
  map.map(running.combiner->getResult(0), total);
  return inside.clone(*running.narrow, map)->getResult(0);
}

void RunEmitter::write(ValueRange totals, Value first) {
  auto range = getConstantIntValue(nest.ranges[along]);
  int64_t together = range && *range % lanes == 0 ? lanes : 1;
  for (int64_t begin = 0; begin < lanes; begin += together) {
    Value start = begin ? plus(first, kernel.index(begin)) : first;
    Value within = below(start, length);
    if (isRow)
      within = arith::AndIOp::create(inside, loc, within, isRow);
    auto guarded = scf::IfOp::create(inside, loc, within);
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(guarded.thenBlock());
    Values here(point);
    here[along] = start;
    Values elements = llvm::map_to_vector(totals.slice(begin, together), [&](Value total) { return element(total); });
    nest.writeLanes(elements, 0, here, along);
  }
}

void RunEmitter::emit() {
  int64_t warps = std::max<int64_t>(1, threads / 32), perBlock = warps > 1 ? 1 : kRunBlock / threads;
  lanes = lanesOf();
  length = kernel.index(nest.ranges[along]);
  SmallVector<OpFoldResult> rowRanges = nest.rangesOf(nest.parallel);
  OpFoldResult rowCount = kernel.product(rowRanges);
  Value number = kernel.blockId(), thread = kernel.threadId();
  lane = arith::RemUIOp::create(inside, loc, thread, kernel.index(32));
  Value warp = arith::DivUIOp::create(inside, loc, thread, kernel.index(32));
  if (perBlock > 1) {
    number = plus(times(number, perBlock), warp);
    thread = lane;
    auto rows = getConstantIntValue(rowCount);
    if (!rows || *rows % perBlock != 0) {
      // Warps without a row compute the last one again, and write nothing.
      Value count = kernel.index(rowCount);
      isRow = below(number, count);
      number = choose(isRow, number, arith::SubIOp::create(inside, loc, count, kernel.index(1)));
    }
  }
  point.assign(nest.op.getNumLoops(), kernel.index(int64_t{0}));
  for (auto [loop, value] : llvm::zip_equal(nest.parallel, kernel.delinearise(number, rowRanges)))
    point[loop] = value;
  neutral = arith::ConstantOp::create(inside, loc, *arith::getNeutralElement(running.combiner));

  // Two pieces of memory in turn: a warp that is ahead writes where nobody reads any more after the next barrier.
  Value memory = warps > 1 ? kernel.shared(neutral.getType(), 2 * warps) : Value();
  int64_t turn = threads * lanes;
  Value first = times(thread, lanes), zero = kernel.index(int64_t{0});
  Values carried{nest.start(1, point), zero};
  llvm::append_range(carried, terms(first));
  auto loop = scf::ForOp::create(inside, loc, zero, length, kernel.index(turn), carried);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(loop.getBody());
    Value here = plus(loop.getInductionVar(), first);
    Value before = loop.getRegionIterArgs()[0], half = loop.getRegionIterArgs()[1];
    Values totals(loop.getRegionIterArgs().drop_front(2)), next = terms(plus(here, kernel.index(turn)));
    for (int64_t i = 1; i < lanes; ++i)
      totals[i] = combine(totals[i - 1], totals[i]);
    Value upTo = acrossWarp(totals.back(), 32);
    Value prefix = choose(isNotBelow(lane, 1), fromBelow(kernel, upTo, 1), neutral);
    Value all;
    if (warps > 1) {
      auto isLast = scf::IfOp::create(inside, loc, isNotBelow(lane, 31));
      {
        OpBuilder::InsertionGuard inner(inside);
        inside.setInsertionPointToStart(isLast.thenBlock());
        LLVM::StoreOp::create(inside, loc, upTo, kernel.sharedAddress(memory, neutral.getType(), plus(half, warp)));
      }
      kernel.barrier();
      // Every warp adds up the totals of all.
      Value other = arith::RemUIOp::create(inside, loc, lane, kernel.index(warps));
      Value sums = LLVM::LoadOp::create(inside, loc, neutral.getType(),
                                        kernel.sharedAddress(memory, neutral.getType(), plus(half, other)));
      sums = acrossWarp(sums, warps);
      all = fromLane(kernel, sums, kernel.index(warps - 1));
      Value isFirst = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, warp, zero);
      Value previous = choose(isFirst, zero, arith::SubIOp::create(inside, loc, warp, kernel.index(1)));
      Value own = choose(isFirst, neutral, fromLane(kernel, sums, previous));
      prefix = combine(own, prefix);
      half = arith::SubIOp::create(inside, loc, kernel.index(warps), half);
    } else {
      all = fromLane(kernel, upTo, kernel.index(31));
    }
    prefix = combine(before, prefix);
    for (Value &total : totals)
      total = combine(prefix, total);
    write(totals, here);
    Values after{combine(before, all), half};
    llvm::append_range(after, next);
    scf::YieldOp::create(inside, loc, after);
  }
  Value isWriter = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, thread, zero);
  if (isRow)
    isWriter = arith::AndIOp::create(inside, loc, isWriter, isRow);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(scf::IfOp::create(inside, loc, isWriter).thenBlock());
    nest.write(loop.getResult(0), 1, point);
  }
  kernel.launch(kernel.ceilDiv(rowCount, perBlock), perBlock * threads);
}

/// Whether threads read only what they write themselves, or what nobody here writes.
bool readsOwnElements(linalg::LinalgOp op) {
  llvm::DenseMap<Value, Value> written;
  for (Value init : op.getDpsInits())
    written[wholeOf(init)] = init;
  if (written.size() != 2)
    return false;
  for (OpOperand *input : op.getDpsInputOperands()) {
    auto known = written.find(wholeOf(input->get()));
    if (known != written.end() &&
        (known->second != input->get() || input->get() != op.getDpsInits()[0] ||
         op.getMatchingIndexingMap(input) != op.getMatchingIndexingMap(op.getDpsInitOperand(0))))
      return false;
  }
  return !op->walk([&](memref::LoadOp load) {
              return written.contains(wholeOf(load.getMemRef())) ? WalkResult::interrupt() : WalkResult::advance();
            }).wasInterrupted();
}

} // namespace

bool cuda::emitRuns(Nest &nest, int64_t threads) {
  linalg::LinalgOp op = nest.op;
  std::optional<Running> running = matchRunning(op);
  // Products of neighbours may overflow where the running product does not.
  if (!running || isa<arith::MulFOp>(running->combiner) || op.getNumDpsInputs() + 2 != int64_t(op->getNumOperands()) ||
      !readsOwnElements(op))
    return false;
  for (OpOperand &init : op.getDpsInitsMutable())
    if (!isa<MemRefType>(init.get().getType()) || !op.getMatchingIndexingMap(&init).isProjectedPermutation())
      return false;
  RunEmitter(nest, *running, threads).emit();
  return true;
}
