//===- EmitRows.cpp - A group of threads per row ----------------------------===//
//
// In:  computations that share their rows (Rows.h).
// Out: one kernel. The threads of a row take turns along it, several neighbouring elements at a time; each thread takes the
//      same elements in every computation, so that values per element need no memory. Values per row come from reductions
//      across the threads; all of them know them.
//
// A row of known length may stay in registers: every element is read once. Else each reduction is a loop along the row,
// which computes again what it needs.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Combine.h"
#include "Targets/Cuda/Nest.h"
#include "Targets/Cuda/Rows.h"

#include <map>
#include <tuple>

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Threads of a block of short rows.
constexpr int64_t kRowBlock = 256;
/// Bytes of one access to memory.
constexpr int64_t kAccessBytes = 16;
/// Turns that a loop along a row takes at once, so that their reads are under way together.
constexpr int64_t kTurns = 4;

/// Neighbouring elements of a row that a thread takes in one turn.
struct Chunk {
  unsigned number;
  /// Per element: where it stands in each class of columns.
  SmallVector<SmallVector<Value>> columns;
  /// Null, or whether these elements exist; if not, others stand in for them.
  Value within;
};

class RowEmitter {
public:
  RowEmitter(const RowGroup &group, gpu::GPUModuleOp device, StringRef name, int64_t threads, int64_t perThread)
      : group(group), kernel(group.ops.back(), device, name), inside(kernel.inside), loc(kernel.loc), threads(threads),
        perThread(perThread) {}

  void emit();

private:
  using Values = SmallVector<Value>;

  OpFoldResult rangeOf(unsigned wanted);
  bool isVector(OpOperand &operand);
  int64_t lanesOf();
  void place();
  Chunk chunkAt(Value start, Value within);
  SmallVector<Chunk> chunks();
  Values pointOf(linalg::LinalgOp op, const Chunk *chunk, int64_t lane);

  Values read(OpOperand &operand, const Chunk *chunk);
  Values valuesOf(unsigned state, const Chunk *chunk);
  Values argumentsOf(ArrayRef<Values> operands, int64_t lane);
  void computeElements(linalg::LinalgOp op, const Chunk *chunk);
  void reduce(linalg::LinalgOp op);
  void choose(linalg::LinalgOp op, ArrayRef<Value> elements);
  void step(linalg::LinalgOp op, const Chunk &chunk, MutableArrayRef<Value> sums);
  void alongRow(ValueRange start, llvm::function_ref<void(const Chunk &, MutableArrayRef<Value>)> body, Values &result);
  void writeElements(const Chunk &chunk);
  void writeRow();
  void forget() {
    loaded.clear();
    computed.clear();
  }

  Value below(Value a, Value b) { return arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ult, a, b); }
  Value times(Value a, int64_t b) { return arith::MulIOp::create(inside, loc, a, kernel.index(b)); }
  Value plus(Value a, Value b) { return arith::AddIOp::create(inside, loc, a, b); }
  Nest &nestOf(linalg::LinalgOp op) { return *nests[op]; }

  const RowGroup &group;
  DeviceKernel kernel;
  OpBuilder &inside;
  Location loc;
  int64_t threads, perThread, lanes = 1;
  /// Rows of a block: several where a row has no more than a warp, whose threads meet without a barrier.
  int64_t perBlock = threads > 32 ? 1 : kRowBlock / threads;
  llvm::DenseMap<Operation *, std::unique_ptr<Nest>> nests;
  SmallVector<OpFoldResult> rowRanges, columnRanges;
  OpFoldResult rowCount;
  Value length;                                             ///< of a row
  Value isRow, lane;                                        ///< `isRow`: null if every group of threads has one
  Values row;                                               ///< place in each class of rows
  llvm::DenseMap<unsigned, Value> perRow;                   ///< states with one value per row
  std::map<std::pair<unsigned, unsigned>, Values> computed; ///< by state and chunk
  std::map<std::tuple<void *, const void *, unsigned>, Values> loaded;
};

OpFoldResult RowEmitter::rangeOf(unsigned wanted) {
  OpFoldResult found;
  for (linalg::LinalgOp op : group.ops) {
    if (!nests.count(op))
      continue;
    for (auto [loop, each] : llvm::enumerate(group.classes.lookup(op)))
      if (OpFoldResult range = nestOf(op).ranges[loop]; each == wanted && range)
        if (!found || (!getConstantIntValue(found) && getConstantIntValue(range)))
          found = range;
  }
  return found;
}

/// Whether neighbouring columns of an operand lie next to each other, in rows of whole chunks.
bool RowEmitter::isVector(OpOperand &operand) {
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  if (!type || !type.getLayout().isIdentity() || type.getRank() == 0)
    return false;
  AffineMap map = group.mapOf(operand);
  unsigned inner = group.columns.back();
  auto last = dyn_cast<AffineDimExpr>(map.getResults().back());
  if (!last || last.getPosition() != inner || type.isDynamicDim(type.getRank() - 1))
    return false;
  auto range = getConstantIntValue(columnRanges.back());
  if (!range || type.getShape().back() != *range)
    return false;
  return llvm::none_of(map.getResults().drop_back(), [&](AffineExpr each) { return each.isFunctionOfDim(inner); });
}

/// Elements of one turn: what fills an access of the narrowest array, if rows consist of so many.
int64_t RowEmitter::lanesOf() {
  auto range = getConstantIntValue(columnRanges.back());
  int64_t narrowest = 0;
  for (linalg::LinalgOp op : group.ops)
    for (OpOperand &operand : op->getOpOperands()) {
      if (!nests.count(op) || !isVector(operand))
        continue;
      AffineMap map = group.mapOf(operand);
      bool isWide = llvm::any_of(group.rows, [&](unsigned each) { return map.isFunctionOfDim(each); });
      int64_t bytes = std::max<int64_t>(1, cast<MemRefType>(operand.get().getType()).getElementTypeBitWidth() / 8);
      if (isWide || group.rows.empty())
        narrowest = narrowest ? std::min(narrowest, bytes) : bytes;
    }
  if (!range || !narrowest)
    return 1;
  int64_t found = kAccessBytes / narrowest, total = getConstantIntValue(kernel.product(columnRanges)).value_or(*range);
  while (found > 1 && (*range % found != 0 || threads * found / 2 >= total))
    found /= 2;
  return found;
}

/// Which row these threads have.
void RowEmitter::place() {
  for (linalg::LinalgOp op : group.ops)
    if (!isa<linalg::FillOp>(op.getOperation()))
      nests[op] = std::make_unique<Nest>(kernel, op);
  for (unsigned each : group.rows)
    rowRanges.push_back(rangeOf(each));
  for (unsigned each : group.columns)
    columnRanges.push_back(rangeOf(each));
  rowCount = kernel.product(rowRanges);
  length = kernel.index(kernel.product(columnRanges));
  lanes = lanesOf();
  lane = kernel.threadId();
  Value number = kernel.blockId();
  if (perBlock > 1) {
    number = plus(times(number, perBlock), arith::DivUIOp::create(inside, loc, lane, kernel.index(threads)));
    lane = arith::RemUIOp::create(inside, loc, lane, kernel.index(threads));
    auto rows = getConstantIntValue(rowCount);
    if (!rows || *rows % perBlock != 0) {
      // Threads without a row compute the last one again: shuffles want whole warps.
      Value count = kernel.index(rowCount);
      isRow = below(number, count);
      Value last = arith::SubIOp::create(inside, loc, count, kernel.index(1));
      number = arith::SelectOp::create(inside, loc, isRow, number, last);
    }
  }
  row = kernel.delinearise(number, rowRanges);
}

Chunk RowEmitter::chunkAt(Value start, Value within) {
  Chunk chunk{0, {}, within};
  Values first = kernel.delinearise(start, columnRanges);
  for (int64_t i = 0; i < lanes; ++i) {
    chunk.columns.push_back(first);
    if (i)
      chunk.columns.back().back() = plus(first.back(), kernel.index(i));
  }
  return chunk;
}

/// All chunks of this thread, where the row stays in registers.
SmallVector<Chunk> RowEmitter::chunks() {
  int64_t total = *getConstantIntValue(kernel.product(columnRanges)), turn = threads * lanes;
  SmallVector<Chunk> found;
  Value first = times(lane, lanes);
  for (int64_t base = 0; base < total; base += turn) {
    Value start = plus(first, kernel.index(base)), within;
    if (base + turn > total) {
      within = below(start, length);
      start = arith::SelectOp::create(inside, loc, within, start, kernel.index(int64_t{0}));
    }
    found.push_back(chunkAt(start, within));
    found.back().number = found.size() - 1;
  }
  return found;
}

SmallVector<Value> RowEmitter::pointOf(linalg::LinalgOp op, const Chunk *chunk, int64_t lane) {
  Values point;
  for (unsigned each : group.classes.lookup(op)) {
    if (auto *found = llvm::find(group.rows, each); found != group.rows.end())
      point.push_back(row[found - group.rows.begin()]);
    else if (chunk)
      point.push_back(chunk->columns[lane][llvm::find(group.columns, each) - group.columns.begin()]);
    else
      point.push_back(kernel.index(int64_t{0}));
  }
  return point;
}

/// What an operand finds, per element of the chunk: one value where all have the same.
SmallVector<Value> RowEmitter::read(OpOperand &operand, const Chunk *chunk) {
  auto op = cast<linalg::LinalgOp>(operand.getOwner());
  if (!isa<MemRefType>(operand.get().getType()))
    return {kernel.pass(operand.get())};
  unsigned state = group.before.lookup(&operand);
  if (group.states[state].op)
    return valuesOf(state, chunk);
  AffineMap map = group.mapOf(operand);
  bool varies = chunk && llvm::any_of(group.columns, [&](unsigned each) { return map.isFunctionOfDim(each); });
  auto key =
      std::make_tuple(operand.get().getAsOpaquePointer(), map.getAsOpaquePointer(), varies ? chunk->number : ~0u);
  if (auto known = loaded.find(key); known != loaded.end())
    return known->second;
  Nest &nest = nestOf(op);
  Values found;
  if (varies && lanes > 1 && isVector(operand)) {
    Value vector = kernel.load(nest.view(operand), nest.subscripts(operand, pointOf(op, chunk, 0)), lanes);
    for (int64_t i = 0; i < lanes; ++i)
      found.push_back(vector::ExtractOp::create(inside, loc, vector, ArrayRef<int64_t>{i}));
  } else {
    for (int64_t i = 0; i < (varies ? lanes : 1); ++i)
      found.push_back(nest.read(operand, pointOf(op, chunk, i)));
  }
  return loaded[key] = found;
}

/// What computations of this group left in an array.
SmallVector<Value> RowEmitter::valuesOf(unsigned state, const Chunk *chunk) {
  auto [array, op, init] = group.states[state];
  if (auto fill = dyn_cast<linalg::FillOp>(op.getOperation()))
    return {kernel.pass(fill.value())};
  if (Value known = perRow.lookup(state))
    return {known};
  if (!computed.count({state, chunk->number}))
    computeElements(op, chunk);
  return computed[{state, chunk->number}];
}

SmallVector<Value> RowEmitter::argumentsOf(ArrayRef<Values> operands, int64_t lane) {
  return llvm::map_to_vector(
      operands, [&](const Values &values) { return values.empty() ? Value() : values[values.size() == 1 ? 0 : lane]; });
}

/// Computes an operation without reductions: for a chunk, or for the row.
void RowEmitter::computeElements(linalg::LinalgOp op, const Chunk *chunk) {
  SmallVector<Values> operands;
  for (OpOperand &operand : op->getOpOperands()) {
    bool isUsed = op.isDpsInput(&operand) || op.payloadUsesValueFromOperand(&operand);
    operands.push_back(isUsed ? read(operand, chunk) : Values());
  }
  for (int64_t i = 0; i < (chunk ? lanes : 1); ++i) {
    Values results = nestOf(op).compute(argumentsOf(operands, i), pointOf(op, chunk, i));
    for (auto [state, value] : llvm::zip_equal(group.after.lookup(op), results)) {
      if (chunk)
        computed[{state, chunk->number}].push_back(value);
      else
        perRow[state] = value;
    }
  }
}

/// Adds the elements of a chunk, each to the sum of its lane: to the sums, where there are several.
void RowEmitter::step(linalg::LinalgOp op, const Chunk &chunk, MutableArrayRef<Value> sums) {
  SmallVector<Values> operands;
  for (OpOperand *input : op.getDpsInputOperands())
    operands.push_back(read(*input, &chunk));
  for (int64_t i = 0; i < lanes; ++i) {
    Values arguments = argumentsOf(operands, i);
    MutableArrayRef<Value> own = sums.slice(i * op.getNumDpsInits(), op.getNumDpsInits());
    llvm::append_range(arguments, own);
    for (auto [sum, next] : llvm::zip_equal(own, nestOf(op).compute(arguments, pointOf(op, &chunk, i))))
      sum = chunk.within ? arith::SelectOp::create(inside, loc, chunk.within, next, sum).getResult() : next;
  }
}

/// Loops over the chunks of this thread: several turns at once, then what is left.
void RowEmitter::alongRow(ValueRange start, llvm::function_ref<void(const Chunk &, MutableArrayRef<Value>)> body,
                          Values &result) {
  int64_t turn = threads * lanes;
  Value step = kernel.index(turn), first = times(lane, lanes);
  auto loop = [&](Value from, Value to, int64_t turns, ValueRange carried) {
    auto found = scf::ForOp::create(inside, loc, from, to, kernel.index(turns * turn), carried);
    OpBuilder::InsertionGuard guard(inside);
    // Without values that it carries, a loop has its terminator already.
    inside.setInsertionPointToStart(found.getBody());
    forget();
    SmallVector<Chunk> taken;
    for (int64_t i = 0; i < turns; ++i) {
      Value here = found.getInductionVar();
      taken.push_back(chunkAt(i ? plus(here, kernel.index(i * turn)) : here, {}));
      taken.back().number = i;
    }
    Values values(found.getRegionIterArgs());
    for (const Chunk &chunk : taken)
      body(chunk, values);
    if (!carried.empty())
      scf::YieldOp::create(inside, loc, values);
    forget();
    return found;
  };
  // The longest part of the row that is whole turns for all threads.
  Value block = kernel.index(kTurns * turn);
  Value whole = arith::MulIOp::create(inside, loc, arith::DivUIOp::create(inside, loc, length, block), block);
  auto many = loop(first, whole, kTurns, start);
  auto rest = loop(plus(whole, first), length, 1, many.getResults());
  result.assign(rest.getResults().begin(), rest.getResults().end());
}

void RowEmitter::reduce(linalg::LinalgOp op) {
  if (std::optional<Values> elements = choiceOf(op))
    return choose(op, *elements);
  Combiner combiner = *combinerOf(op);
  Value neutral = arith::ConstantOp::create(inside, loc, combiner.neutral);
  Values sums(lanes, neutral);
  if (perThread) {
    for (const Chunk &chunk : chunks())
      step(op, chunk, sums);
  } else {
    alongRow(sums, [&](const Chunk &chunk, MutableArrayRef<Value> now) { step(op, chunk, now); }, sums);
  }
  for (int64_t half = lanes / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i)
      sums[i] = combiner.combine(inside, loc, sums[i], sums[i + half]);
  Value sum =
      threads > 32 ? acrossBlock(kernel, combiner, sums[0], threads) : acrossLanes(kernel, combiner, sums[0], threads);
  OpOperand &init = op.getDpsInitsMutable()[0];
  perRow[group.after.lookup(op).front()] = combiner.combine(inside, loc, read(init, nullptr).front(), sum);
}

/// Finds the element of the row that a comparison prefers. What destinations start from is no worse with every thread.
void RowEmitter::choose(linalg::LinalgOp op, ArrayRef<Value> elements) {
  int64_t each = op.getNumDpsInits();
  Values known(elements), best;
  llvm::append_range(known, op.getRegionOutputArgs());
  auto combine = [&](ValueRange a, ValueRange b) {
    Values given(b);
    llvm::append_range(given, a);
    return nestOf(op).computeGiven(known, given);
  };
  for (int64_t i = 0; i < lanes; ++i)
    for (OpOperand &init : op.getDpsInitsMutable())
      best.push_back(read(init, nullptr).front());
  if (perThread) {
    for (const Chunk &chunk : chunks())
      step(op, chunk, best);
  } else {
    alongRow(best, [&](const Chunk &chunk, MutableArrayRef<Value> now) { step(op, chunk, now); }, best);
  }
  for (int64_t half = lanes / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) {
      ValueRange all(best);
      Values better = combine(all.slice(i * each, each), all.slice((i + half) * each, each));
      llvm::copy(better, best.begin() + i * each);
    }
  ValueRange own = ValueRange(best).take_front(each);
  Values found = threads > 32 ? acrossBlock(kernel, combine, own, threads) : acrossLanes(kernel, combine, own, threads);
  for (auto [state, value] : llvm::zip_equal(group.after.lookup(op), found))
    perRow[state] = value;
}

/// Writes what others read, per element.
void RowEmitter::writeElements(const Chunk &chunk) {
  struct Output {
    OpOperand *init;
    Values values;
  };
  SmallVector<Output> outputs;
  for (unsigned state : group.outputs) {
    auto [array, op, init] = group.states[state];
    if (group.isWide(op))
      outputs.push_back({op.getDpsInitOperand(init), valuesOf(state, &chunk)});
  }
  Value guard = chunk.within;
  if (isRow)
    guard = guard ? arith::AndIOp::create(inside, loc, guard, isRow).getResult() : isRow;
  OpBuilder::InsertionGuard restore(inside);
  if (guard)
    inside.setInsertionPointToStart(scf::IfOp::create(inside, loc, guard).thenBlock());
  for (auto &[init, values] : outputs) {
    auto op = cast<linalg::LinalgOp>(init->getOwner());
    Nest &nest = nestOf(op);
    if (lanes == 1 || !isVector(*init)) {
      for (int64_t i = 0; i < lanes; ++i)
        nest.write(values[i], init->getOperandNumber() - op.getNumDpsInputs(), pointOf(op, &chunk, i));
      continue;
    }
    Value vector = LLVM::PoisonOp::create(inside, loc, VectorType::get({lanes}, values[0].getType()));
    for (int64_t i = 0; i < lanes; ++i)
      vector = vector::InsertOp::create(inside, loc, values[i], vector, ArrayRef<int64_t>{i});
    nest.write(vector, init->getOperandNumber() - op.getNumDpsInputs(), pointOf(op, &chunk, 0));
  }
}

/// Writes what others read, per row: one thread does.
void RowEmitter::writeRow() {
  OpBuilder::InsertionGuard restore(inside);
  // Where the array held what was computed with, all warps have read that first.
  bool overwrites = llvm::any_of(group.outputs, [&](unsigned output) {
    return llvm::any_of(
        group.states, [&](const RowState &before) { return !before.op && before.array == group.states[output].array; });
  });
  if (overwrites && threads > 32)
    kernel.barrier();
  Value first = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, lane, kernel.index(int64_t{0}));
  if (isRow)
    first = arith::AndIOp::create(inside, loc, first, isRow);
  auto guarded = scf::IfOp::create(inside, loc, first);
  inside.setInsertionPointToStart(guarded.thenBlock());
  for (unsigned state : group.outputs) {
    auto [array, op, init] = group.states[state];
    if (!group.isWide(op))
      nestOf(op).write(perRow[state], init, pointOf(op, nullptr, 0));
  }
}

void RowEmitter::emit() {
  place();
  auto known = getConstantIntValue(kernel.product(columnRanges));
  if (!known || *known > threads * perThread)
    perThread = 0;
  bool perElement = false, perRowToo = false;
  for (unsigned state : group.outputs)
    (group.isWide(group.states[state].op) ? perElement : perRowToo) = true;
  for (linalg::LinalgOp op : group.ops) {
    if (isa<linalg::FillOp>(op.getOperation()))
      continue;
    if (op.getNumReductionLoops())
      reduce(op);
    else if (!group.isWide(op))
      computeElements(op, nullptr);
  }
  if (perElement && perThread) {
    for (const Chunk &chunk : chunks())
      writeElements(chunk);
  } else if (perElement) {
    Values none;
    alongRow({}, [&](const Chunk &chunk, MutableArrayRef<Value>) { writeElements(chunk); }, none);
  }
  if (perRowToo)
    writeRow();
  kernel.launch(kernel.ceilDiv(rowCount, perBlock), perBlock * threads);
}

} // namespace

void cuda::emitRows(const RowGroup &group, gpu::GPUModuleOp device, StringRef name, int64_t threads,
                    int64_t perThread) {
  RowEmitter(group, device, name, threads, perThread).emit();
}
