//===- EmitPlainAttention.cpp - Attention by fused multiply-adds ------------===//
//
// In:  two products with a softmax between them (Attention.h), sums in float32, keys and values of up to 32 bits.
// Out: one kernel, or two. Warps of a block differ by their rows of queries, and share keys, where there are many rows; they
//      differ by their keys, and share rows, where there are few (decoding). Either way a warp goes along its keys 32 at a
//      time: scores in registers, the user's formulas on them, the running maximum and sum of each row, values summed up
//      under it. At the end warps with the same rows put together what they have.
//
// Few rows give few blocks, however many keys there are: then several blocks share the keys of a row ("split KV"). Each
// leaves maximum, sum and sums of values in temporary memory; a second kernel puts them together, in order, so that every
// run gives the same bits.
//
// Lanes of a warp form a grid. Its rows have up to four queries each; its columns take turns along the keys in the first
// product, and along the values in the second. So a lane keeps the same queries throughout, and what it reads from shared
// memory is used several times.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/AttentionEmitter.h"
#include "Targets/Cuda/Combine.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Keys of a warp in one step, and how many of them the second product takes at once.
constexpr int64_t kWarpKeys = 32, kKeysAtOnce = 4;
/// Queries of a lane, at most; units of depth that the first product takes at once, at most.
constexpr int64_t kLaneRows = 4, kUnitsAtOnce = 4;
/// Memory that any kernel may declare; more is asked for at the launch.
constexpr int64_t kDeclaredBytes = 48 * 1024;
class PlainAttention : public AttentionEmitter {
public:
  PlainAttention(const Attention &attention, Nest &values, Nest &scores, Nest *epilogue, unsigned epilogueInput,
                 const PlainTile &tile, const SharedKeys *parts)
      : AttentionEmitter(attention, values, scores, epilogue, epilogueInput), tile(tile), parts(parts) {}

  void emit();

private:
  /// Rows of an array in shared memory, an odd number of 16 bytes apart: lanes that read rows side by side meet no bank twice.
  struct Region {
    Type element;
    int64_t units, pitch;
    Value memory;
    Value isWhole; ///< null, or whether lines of the array begin at multiples of 16 bytes
    int64_t inUnit() const { return kCopyBytes * 8 / element.getIntOrFloatBitWidth(); }
    int64_t bytes(int64_t rows) const { return rows * pitch * kCopyBytes; }
  };
  /// What a lane knows of its rows.
  struct State {
    Values sums;            ///< of values, row by row for each of its columns
    Values highest, totals; ///< per row: the maximum so far, the lane's part of the sum
  };

  void layOut();
  Region regionOf(OpOperand &operand);
  Value wholeLines(Value array);
  void copy(const Region &region, Value first, Nest &from, OpOperand &operand,
            llvm::function_ref<Values(Value, Value)> pointAt);
  void copyKeys(Value first);
  void copyValues(Value first);
  Value query(Value row, Value column);
  void fillQueries();
  Values load(Value memory, Type element, Value position, int64_t count);
  void store(ValueRange values, Value memory, Value position);
  Value columnOf(int64_t turn);
  Values scoresOf();
  void addValues(Values &sums);
  State step(const State &before, Value first);
  Value acrossRow(Value value, bool isSum);
  void leaveSums(const State &state);
  void combineWarps();
  void leavePart(Value row, Value column, ArrayRef<Value> state, ArrayRef<Value> values);
  void sync();

  int64_t warps() const { return tile.rowWarps * tile.keyWarps; }
  int64_t recordSize() const { return columns + kRecordExtra; }
  Value fma(Value a, Value b, Value c) { return LLVM::FMAOp::create(inside, loc, a, b, c); }

  PlainTile tile;
  const SharedKeys *parts;
  /// Queries of a lane, rows and columns of the grid of lanes.
  int64_t laneRows = 1, gridRows = 1, gridColumns = kWarpLanes;
  /// Neighbouring columns of values that a lane takes at once, and how often.
  int64_t width = 1, turns = 1;
  int64_t queryPitch = 0, weightPitch = 0;
  Region keyRegion{}, valueRegion{};
  Value queryMemory, weightMemory, recordMemory;
  Value rowWarp, keyWarp, gridRow, gridColumn, laneRow; ///< `laneRow`: the lane's first query, in the block
  Value keyLimit;                                       ///< where the keys of this block end
};

/// Numbers of warps and lanes, and where everything lies in shared memory.
void PlainAttention::layOut() {
  laneRows = std::min(tile.rows, kLaneRows);
  gridRows = tile.rows / laneRows;
  gridColumns = kWarpLanes / gridRows;
  for (width = 4; width > 1 && columns % (gridColumns * width) != 0;)
    width /= 2;
  turns = (columns + gridColumns * width - 1) / (gridColumns * width);
  rowWarp = rest(warp, tile.rowWarps);
  keyWarp = divide(warp, tile.rowWarps);
  gridRow = divide(lane, gridColumns);
  gridColumn = rest(lane, gridColumns);
  laneRow = add(times(rowWarp, tile.rows), times(gridRow, laneRows));

  queryPitch = (depth + 3) / 4 * 4 + 4;
  weightPitch = tile.rows > kLaneRows ? tile.rows + kLaneRows : tile.rows;
  keyRegion = regionOf(operandOf(scores.op, attention.scores.rhs));
  valueRegion = regionOf(operandOf(nest.op, contraction.rhs));
  int64_t keys = kWarpKeys * tile.keyWarps, queryBytes = blockRows * queryPitch * 4;
  int64_t weightBytes = (warps() * kWarpKeys * weightPitch * 4 + kCopyBytes - 1) / kCopyBytes * kCopyBytes;
  int64_t tileBytes = keyRegion.bytes(keys) + valueRegion.bytes(keys);
  int64_t bytes =
      queryBytes + weightBytes + std::max(tileBytes, warps() * tile.rows * recordSize() * int64_t(sizeof(float)));
  Value memory = bytes > kDeclaredBytes ? kernel.dynamicShared(bytes)
                                        : kernel.shared(inside.getI8Type(), bytes, /*alignment=*/128);
  auto at = [&](int64_t offset) { return kernel.sharedAddress(memory, inside.getI8Type(), kernel.index(offset)); };
  queryMemory = memory;
  weightMemory = at(queryBytes);
  // What warps leave at the end takes the place of keys and values.
  keyRegion.memory = recordMemory = at(queryBytes + weightBytes);
  valueRegion.memory = at(queryBytes + weightBytes + keyRegion.bytes(keys));
}

PlainAttention::Region PlainAttention::regionOf(OpOperand &operand) {
  auto type = cast<MemRefType>(operand.get().getType());
  Region region{type.getElementType(), 0, 0, {}, wholeLines(operand.get())};
  region.units = type.getShape().back() / region.inUnit();
  region.pitch = region.units | 1;
  return region;
}

/// Waits for the warps that share keys with this one.
void PlainAttention::sync() {
  if (tile.rowWarps > 1)
    return kernel.barrier();
  Value all = i32(-1);
  NVVM::SyncWarpOp::create(inside, loc, all);
}

/// Whether lines of an array begin at multiples of 16 bytes, where only host code knows; null where they always do.
Value PlainAttention::wholeLines(Value array) {
  auto type = cast<MemRefType>(array.getType());
  if (hasWholeLines(type))
    return {};
  OpBuilder &host = kernel.host;
  auto view = memref::ExtractStridedMetadataOp::create(host, loc, array);
  Value all = view.getOffset();
  for (Value stride : view.getStrides().drop_back())
    all = arith::OrIOp::create(host, loc, all, stride);
  auto number = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(host, loc, value); };
  Value rest = arith::RemUIOp::create(host, loc, all, number(kCopyBytes * 8 / type.getElementTypeBitWidth()));
  return kernel.pass(arith::CmpIOp::create(host, loc, arith::CmpIPredicate::eq, rest, number(0)));
}

/// Starts the copies of 32 rows, for the warps that share them; zeros stand for those from the limit on.
void PlainAttention::copy(const Region &region, Value first, Nest &from, OpOperand &operand,
                          llvm::function_ref<Values(Value, Value)> pointAt) {
  int64_t threads = tile.rowWarps * kWarpLanes, count = kWarpKeys * region.units;
  Value number = add(times(rowWarp, kWarpLanes), lane), base = times(keyWarp, kWarpKeys);
  auto one = [&](Value row, Value unit) {
    Value key = add(first, row), exists = below(key, keyLimit), column = times(unit, region.inUnit());
    Value place = times(add(times(add(base, row), region.pitch), unit), kCopyBytes);
    Value to = kernel.sharedAddress(region.memory, inside.getI8Type(), place);
    OpBuilder::InsertionGuard guard(inside);
    if (region.isWhole) {
      // Lines that begin anywhere are read element by element.
      auto branch = scf::IfOp::create(inside, loc, region.isWhole, /*withElseRegion=*/true);
      inside.setInsertionPointToStart(branch.elseBlock());
      Value all = LLVM::PoisonOp::create(inside, loc, VectorType::get({region.inUnit()}, region.element));
      for (int64_t i = 0; i < region.inUnit(); ++i) {
        auto value = scf::IfOp::create(inside, loc, TypeRange{region.element}, exists, /*withElseRegion=*/true);
        OpBuilder::InsertionGuard inner(inside);
        inside.setInsertionPointToStart(value.thenBlock());
        scf::YieldOp::create(inside, loc, from.read(operand, pointAt(key, add(column, i))));
        inside.setInsertionPointToStart(value.elseBlock());
        Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(region.element));
        scf::YieldOp::create(inside, loc, zero);
        inside.setInsertionPointAfter(value);
        all = vector::InsertOp::create(inside, loc, value.getResult(0), all, ArrayRef<int64_t>{i});
      }
      LLVM::StoreOp::create(inside, loc, all, to, kCopyBytes);
      inside.setInsertionPointToStart(branch.thenBlock());
    }
    Value address = kernel.address(from.view(operand), from.subscripts(operand, pointAt(key, column)));
    Value bytes = arith::SelectOp::create(inside, loc, exists, i32(kCopyBytes), i32(0));
    NVVM::CpAsyncOp::create(inside, loc, to, address, kCopyBytes, NVVM::LoadCacheModifierKind::CG, bytes);
  };
  for (int64_t turn = 0; turn < count; turn += threads) {
    Value here = add(number, turn), row = divide(here, region.units), unit = rest(here, region.units);
    if (turn + threads <= count) {
      one(row, unit);
      continue;
    }
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(scf::IfOp::create(inside, loc, below(here, kernel.index(count))).thenBlock());
    one(row, unit);
  }
  NVVM::CpAsyncCommitGroupOp::create(inside, loc);
}

void PlainAttention::copyKeys(Value first) {
  copy(keyRegion, first, scores, operandOf(scores.op, attention.scores.rhs),
       [&](Value key, Value column) { return scorePoint(rowBase, key, column); });
}

void PlainAttention::copyValues(Value first) {
  copy(valueRegion, first, nest, operandOf(nest.op, contraction.rhs),
       [&](Value key, Value column) { return pointOf(false, column, key); });
}

/// An element of a query as it is multiplied.
Value PlainAttention::query(Value row, Value column) {
  Values there = scorePoint(row, kernel.index(int64_t{0}), column), known;
  if (linalg::LinalgOp op = attention.queries) {
    Nest computed(kernel, op);
    OpOperand &read = operandOf(scores.op, attention.scores.lhs), &written = *op.getDpsInitOperand(0);
    known.resize(scores.op->getNumOperands());
    known[read.getOperandNumber()] =
        computed.computeFrom(op.getBlock()->getTerminator()->getOperand(0), {},
                             epiloguePoint(computed, written.getOperandNumber(), scores.subscripts(read, there)));
  }
  return scores.computeFrom(attention.scores.lhs, known, there);
}

/// Queries, computed once for the block; zeros beyond the last one.
void PlainAttention::fillQueries() {
  Value count = kernel.index(blockRows * depth);
  auto turn = scf::ForOp::create(inside, loc, kernel.threadId(), count, kernel.index(warps() * kWarpLanes));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(turn.getBody());
  Value row = divide(turn.getInductionVar(), depth), column = rest(turn.getInductionVar(), depth);
  Value there = add(rowBase, row);
  auto value = scf::IfOp::create(inside, loc, TypeRange{inside.getF32Type()}, below(there, rowCount), true);
  {
    OpBuilder::InsertionGuard inner(inside);
    inside.setInsertionPointToStart(value.thenBlock());
    scf::YieldOp::create(inside, loc, query(there, column));
    inside.setInsertionPointToStart(value.elseBlock());
    scf::YieldOp::create(inside, loc, constant(0));
  }
  store(value.getResult(0), queryMemory, add(times(row, queryPitch), column));
}

/// Neighbours from shared memory, as f32.
SmallVector<Value> PlainAttention::load(Value memory, Type element, Value position, int64_t count) {
  Value from = kernel.sharedAddress(memory, element, position);
  int64_t bytes = count * element.getIntOrFloatBitWidth() / 8;
  Type type = count == 1 ? element : Type(VectorType::get({count}, element));
  Value found = LLVM::LoadOp::create(inside, loc, type, from, bytes);
  Values values;
  for (int64_t i = 0; i < count; ++i) {
    Value one = count == 1 ? found : vector::ExtractOp::create(inside, loc, found, ArrayRef<int64_t>{i}).getResult();
    values.push_back(element.isF32() ? one : arith::ExtFOp::create(inside, loc, inside.getF32Type(), one).getResult());
  }
  return values;
}

/// Writes neighbours of f32 to shared memory.
void PlainAttention::store(ValueRange values, Value memory, Value position) {
  Value to = kernel.sharedAddress(memory, inside.getF32Type(), position), all = values.front();
  if (values.size() > 1) {
    all = LLVM::PoisonOp::create(inside, loc, VectorType::get({int64_t(values.size())}, inside.getF32Type()));
    for (auto [i, value] : llvm::enumerate(values))
      all = vector::InsertOp::create(inside, loc, value, all, ArrayRef<int64_t>{int64_t(i)});
  }
  LLVM::StoreOp::create(inside, loc, all, to, values.size() * 4);
}

/// Products of the lane's queries with its keys, which lie as many apart as the grid has columns.
SmallVector<Value> PlainAttention::scoresOf() {
  Value firstKey = add(times(keyWarp, kWarpKeys), gridColumn);
  int64_t atOnce = kUnitsAtOnce;
  while (keyRegion.units % atOnce != 0)
    atOnce /= 2;
  Values zeros(laneRows * gridRows, constant(0));
  auto loop = scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), kernel.index(keyRegion.units),
                                 kernel.index(atOnce), zeros);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  Values sums(loop.getRegionIterArgs());
  int64_t inUnit = keyRegion.inUnit();
  for (int64_t i = 0; i < atOnce; ++i) {
    Value unit = add(loop.getInductionVar(), i);
    SmallVector<Values> keys, queries(laneRows);
    for (int64_t key = 0; key < gridRows; ++key) {
      Value line = times(add(firstKey, key * gridColumns), keyRegion.pitch);
      keys.push_back(load(keyRegion.memory, keyRegion.element, times(add(line, unit), inUnit), inUnit));
    }
    for (int64_t row = 0; row < laneRows; ++row)
      for (int64_t part = 0; part < inUnit; part += 4) {
        Value place = add(times(add(laneRow, row), queryPitch), add(times(unit, inUnit), part));
        llvm::append_range(queries[row], load(queryMemory, inside.getF32Type(), place, 4));
      }
    for (int64_t k = 0; k < inUnit; ++k)
      for (int64_t n = 0; n < int64_t(sums.size()); ++n)
        sums[n] = fma(queries[n / gridRows][k], keys[n % gridRows][k], sums[n]);
  }
  scf::YieldOp::create(inside, loc, sums);
  return llvm::to_vector_of<Value>(loop.getResults());
}

/// Adds the values of 32 keys, weighted.
void PlainAttention::addValues(Values &before) {
  Value base = times(keyWarp, kWarpKeys), own = times(warp, kWarpKeys), first = times(gridRow, laneRows);
  auto loop = scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), kernel.index(kWarpKeys),
                                 kernel.index(kKeysAtOnce), before);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(loop.getBody());
    Values sums(loop.getRegionIterArgs());
    for (int64_t i = 0; i < kKeysAtOnce; ++i) {
      Value key = add(loop.getInductionVar(), i);
      Values weights = load(weightMemory, inside.getF32Type(), add(times(add(own, key), weightPitch), first), laneRows);
      Value line = times(add(base, key), valueRegion.pitch * valueRegion.inUnit());
      for (int64_t turn = 0; turn < turns; ++turn) {
        Values values = load(valueRegion.memory, valueRegion.element, add(line, columnOf(turn)), width);
        for (int64_t j = 0; j < width; ++j)
          for (int64_t row = 0; row < laneRows; ++row) {
            Value &sum = sums[(turn * width + j) * laneRows + row];
            sum = fma(weights[row], values[j], sum);
          }
      }
    }
    scf::YieldOp::create(inside, loc, sums);
  }
  before.assign(loop.getResults().begin(), loop.getResults().end());
}

/// The lane's first column of values in one turn: one that exists, if maybe another lane's.
Value PlainAttention::columnOf(int64_t turn) {
  Value column = add(times(gridColumn, width), turn * gridColumns * width);
  if ((turn + 1) * gridColumns * width <= columns)
    return column;
  return arith::MinUIOp::create(inside, loc, column, kernel.index(columns - width));
}

/// The value of a row, of all lanes that have a part of it.
Value PlainAttention::acrossRow(Value value, bool isSum) {
  for (int64_t mask = gridColumns / 2; mask > 0; mask /= 2) {
    Value other = exchange(kernel, value, mask);
    value = isSum ? added(value, other) : larger(value, other);
  }
  return value;
}

/// One step along the keys of a warp, from number `first` on.
PlainAttention::State PlainAttention::step(const State &before, Value first) {
  copyValues(first);
  Values elements = scoresOf();
  sync(); // all are done with these keys
  copyKeys(add(first, kWarpKeys * tile.keyWarps));

  State after = before;
  for (int64_t row = 0; row < laneRows; ++row)
    for (int64_t i = 0; i < gridRows; ++i) {
      Value &element = elements[row * gridRows + i], key = add(first, add(gridColumn, i * gridColumns));
      element = formula(element, add(rowBase, add(laneRow, row)), key);
      element = arith::SelectOp::create(inside, loc, below(key, keyLimit), element, constant(-INFINITY));
    }
  Values factors;
  for (int64_t row = 0; row < laneRows; ++row) {
    auto own = MutableArrayRef<Value>(elements).slice(row * gridRows, gridRows);
    Value highest = own.front();
    for (Value element : own.drop_front())
      highest = larger(highest, element);
    after.highest[row] = larger(before.highest[row], acrossRow(highest, /*isSum=*/false));
    Value base = finite(after.highest[row]), total = constant(0);
    factors.push_back(power(before.highest[row], base));
    for (Value &element : own) {
      element = power(element, base);
      total = added(total, element);
    }
    after.totals[row] = added(multiplied(before.totals[row], factors[row]), total);
  }
  for (int64_t i = 0; i < int64_t(after.sums.size()); ++i)
    after.sums[i] = multiplied(after.sums[i], factors[i % laneRows]);
  // Weights turn in shared memory: a lane computed those of some keys, and needs those of all.
  for (int64_t i = 0; i < gridRows; ++i) {
    Values weights;
    for (int64_t row = 0; row < laneRows; ++row)
      weights.push_back(elements[row * gridRows + i]);
    Value key = add(times(warp, kWarpKeys), add(gridColumn, i * gridColumns));
    store(weights, weightMemory, add(times(key, weightPitch), times(gridRow, laneRows)));
  }
  NVVM::CpAsyncWaitGroupOp::create(inside, loc, 1);
  sync(); // the values are there, and the weights
  addValues(after.sums);
  NVVM::CpAsyncWaitGroupOp::create(inside, loc, 0);
  sync(); // the next keys are there, and all are done with the values and the weights
  return after;
}

/// What a warp knows of its rows goes to shared memory, a record per row.
void PlainAttention::leaveSums(const State &state) {
  Value own = add(times(warp, tile.rows), times(gridRow, laneRows));
  Value isFirst = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, gridColumn, kernel.index(int64_t{0}));
  for (int64_t row = 0; row < laneRows; ++row) {
    Value record = times(add(own, row), recordSize()), total = acrossRow(state.totals[row], /*isSum=*/true);
    for (int64_t turn = 0; turn < turns; ++turn) {
      Values values;
      for (int64_t j = 0; j < width; ++j)
        values.push_back(state.sums[(turn * width + j) * laneRows + row]);
      Value column = add(times(gridColumn, width), turn * gridColumns * width);
      OpBuilder::InsertionGuard guard(inside);
      if ((turn + 1) * gridColumns * width > columns)
        inside.setInsertionPointToStart(
            scf::IfOp::create(inside, loc, below(column, kernel.index(columns))).thenBlock());
      store(values, recordMemory, add(record, column));
    }
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(scf::IfOp::create(inside, loc, isFirst).thenBlock());
    store({state.highest[row], total}, recordMemory, add(record, columns));
  }
}

/// Puts together what the warps with the same rows know, and writes it: as results, or as one part of them.
void PlainAttention::combineWarps() {
  int64_t each = parts ? 4 : neighbours(), perRow = columns / each;
  auto turn = scf::ForOp::create(inside, loc, kernel.threadId(), kernel.index(blockRows * perRow),
                                 kernel.index(warps() * kWarpLanes));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(turn.getBody());
  Type f32 = inside.getF32Type();
  Value row = divide(turn.getInductionVar(), perRow), column = times(rest(turn.getInductionVar(), perRow), each);
  SmallVector<Values> state; // maximum and sum, of each warp
  Values records;
  for (int64_t keys = 0; keys < tile.keyWarps; ++keys) {
    Value there = add(divide(row, tile.rows), keys * tile.rowWarps);
    records.push_back(times(add(times(there, tile.rows), rest(row, tile.rows)), recordSize()));
    state.push_back(load(recordMemory, f32, add(records.back(), columns), 2));
  }
  Value highest = state.front()[0], total = constant(0);
  for (const Values &one : ArrayRef<Values>(state).drop_front())
    highest = larger(highest, one[0]);
  Value base = finite(highest);
  Values values(each, constant(0));
  for (auto [record, one] : llvm::zip_equal(records, state)) {
    Value factor = power(one[0], base);
    total = added(total, multiplied(one[1], factor));
    for (int64_t part = 0; part < each; part += 4) {
      Values found = load(recordMemory, f32, add(record, add(column, part)), std::min<int64_t>(4, each));
      for (auto [i, value] : llvm::enumerate(found))
        values[part + i] = added(values[part + i], multiplied(value, factor));
    }
  }
  if (parts)
    return leavePart(add(rowBase, row), column, {highest, total}, values);
  writeResult(values, total, add(rowBase, row), column);
}

/// Writes a part of the sums of a row for the kernel that puts parts together.
void PlainAttention::leavePart(Value row, Value column, ArrayRef<Value> state, ArrayRef<Value> values) {
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(scf::IfOp::create(inside, loc, below(row, rowCount)).thenBlock());
  Value rows = kernel.index(kernel.product({kernel.product(batchRanges), kernel.product(rowRanges)}));
  auto product = [&](Value a, Value b) -> Value { return arith::MulIOp::create(inside, loc, a, b); };
  Value record = times(add(product(part, rows), add(product(batch, rowCount), row)), recordSize());
  View to = kernel.view(parts->records);
  auto put = [&](ArrayRef<Value> numbers, Value place) {
    Value all = LLVM::PoisonOp::create(inside, loc, VectorType::get({int64_t(numbers.size())}, inside.getF32Type()));
    for (auto [i, value] : llvm::enumerate(numbers))
      all = vector::InsertOp::create(inside, loc, value, all, ArrayRef<int64_t>{int64_t(i)});
    kernel.store(all, to, {place});
  };
  put(values, add(record, column));
  Value isFirst = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, column, kernel.index(int64_t{0}));
  inside.setInsertionPointToStart(scf::IfOp::create(inside, loc, isFirst).thenBlock());
  put(state, add(record, columns));
}

void PlainAttention::emit() {
  begin(tile.rows * tile.rowWarps, parts ? parts->count : OpFoldResult());
  layOut();
  Value start = kernel.index(int64_t{0});
  keyLimit = keyEnd();
  if (parts) {
    Value size = kernel.index(parts->keys);
    start = arith::MulIOp::create(inside, loc, part, size);
    keyLimit = arith::MinUIOp::create(inside, loc, keyLimit, arith::AddIOp::create(inside, loc, start, size));
  }
  Value offset = times(keyWarp, kWarpKeys);
  copyKeys(add(start, offset));
  fillQueries();
  NVVM::CpAsyncWaitGroupOp::create(inside, loc, 0);
  kernel.barrier();

  int64_t count = laneRows * turns * width;
  Values initial(count, constant(0));
  initial.append(laneRows, constant(-INFINITY));
  initial.append(laneRows, constant(0));
  auto loop = scf::ForOp::create(inside, loc, start, keyLimit, kernel.index(kWarpKeys * tile.keyWarps), initial);
  auto stateOf = [&](ValueRange values) {
    return State{Values(values.take_front(count)), Values(values.slice(count, laneRows)),
                 Values(values.take_back(laneRows))};
  };
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(loop.getBody());
    State state = step(stateOf(loop.getRegionIterArgs()), add(loop.getInductionVar(), offset));
    Values next(state.sums);
    next.append(state.highest);
    next.append(state.totals);
    scf::YieldOp::create(inside, loc, next);
  }
  kernel.barrier(); // nobody reads keys and values any more
  leaveSums(stateOf(loop.getResults()));
  kernel.barrier();
  combineWarps();
  kernel.launch(blocks, warps() * kWarpLanes);
}

} // namespace

void cuda::emitPlainAttention(const Attention &attention, Operation *anchor, OpOperand *epilogue,
                              gpu::GPUModuleOp device, StringRef name, const PlainTile &tile) {
  auto emit = [&](StringRef name, bool isLast, auto body) {
    DeviceKernel kernel(anchor, device, name);
    Nest values(kernel, attention.values.op), scores(kernel, attention.scores.op);
    values.startFrom(0, arith::ConstantOp::create(kernel.host, kernel.loc, kernel.host.getF32FloatAttr(0)));
    std::unique_ptr<Nest> after;
    if (epilogue && isLast)
      after = std::make_unique<Nest>(kernel, cast<linalg::LinalgOp>(anchor));
    body(kernel, values, scores, after.get(), after ? epilogue->getOperandNumber() : 0);
  };
  if (tile.parts == 1)
    return emit(name, true, [&](DeviceKernel &, Nest &values, Nest &scores, Nest *after, unsigned input) {
      PlainAttention(attention, values, scores, after, input, tile, nullptr).emit();
    });
  SharedKeys shared;
  Value memory;
  emit((name + "_parts").str(), false, [&](DeviceKernel &kernel, Nest &values, Nest &scores, Nest *, unsigned) {
    OpBuilder &host = kernel.host;
    Location loc = kernel.loc;
    auto number = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(host, loc, value); };
    auto times = [&](Value a, Value b) { return host.createOrFold<arith::MulIOp>(loc, a, b); };
    auto quotient = [&](Value a, Value b) { return host.createOrFold<arith::CeilDivUIOp>(loc, a, b); };
    auto valueOf = [&](ArrayRef<unsigned> loops) {
      return getValueOrCreateConstantIndexOp(host, loc, kernel.product(values.rangesOf(loops)));
    };
    // Whole steps of a block each, and not less than pays for another block.
    Value keys = valueOf(attention.values.inner), step = number(kWarpKeys * tile.keyWarps);
    Value share = times(quotient(quotient(keys, number(tile.parts)), step), step);
    share = host.createOrFold<arith::MaxUIOp>(loc, share, times(quotient(number(tile.keys), step), step));
    Value count = quotient(keys, share);
    Value record =
        number(*getConstantIntValue(kernel.product(values.rangesOf(attention.values.columns))) + kRecordExtra);
    Value rows = times(valueOf(attention.values.batch), valueOf(attention.values.rows));
    Value size = times(times(count, rows), record);
    auto arena = MemRefType::get({ShapedType::kDynamic}, host.getI8Type());
    memory = rt::ScratchPushOp::create(host, loc, arena, times(size, number(sizeof(float))));
    auto type = MemRefType::get({ShapedType::kDynamic}, host.getF32Type());
    shared = {count, share, memref::ViewOp::create(host, loc, type, memory, number(0), size)};
    PlainAttention(attention, values, scores, nullptr, 0, tile, &shared).emit();
  });
  emit(name, true, [&](DeviceKernel &kernel, Nest &values, Nest &scores, Nest *after, unsigned input) {
    SharedKeysEmitter(attention, values, scores, after, input).emit(shared);
    rt::ScratchPopOp::create(kernel.host, kernel.loc, memory);
  });
}
