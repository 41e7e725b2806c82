//===- EmitSharedKeys.cpp - Parts of attention become one result ------------===//
//
// In:  records that blocks left which share the keys of rows (EmitPlainAttention.cpp): sums of values under a maximum, that
//      maximum, the sum of weights.
// Out: a kernel in which a thread has some neighbours of a row, and goes through the parts in order: every run gives the
//      same bits, whichever block was first. The epilogue is computed here.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/AttentionEmitter.h"

#include <cmath>

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

/// Threads of a block that puts parts together.
static constexpr int64_t kPartThreads = 128;

/// Neighbours of a record.
SmallVector<Value> SharedKeysEmitter::take(const View &from, Value place, int64_t count) {
  Value loaded = kernel.load(from, {place}, count);
  if (count == 1)
    return {loaded};
  Values found;
  for (int64_t i = 0; i < count; ++i)
    found.push_back(vector::ExtractOp::create(inside, loc, loaded, ArrayRef<int64_t>{i}));
  return found;
}

/// A loop over the parts, which carries values.
SmallVector<Value> SharedKeysEmitter::alongParts(Value count, ValueRange start,
                                                 llvm::function_ref<Values(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), count, kernel.index(1), start);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  scf::YieldOp::create(inside, loc, body(loop.getInductionVar(), loop.getRegionIterArgs()));
  return llvm::to_vector_of<Value>(loop.getResults());
}

void SharedKeysEmitter::emit(const SharedKeys &parts) {
  columns = *getConstantIntValue(kernel.product(nest.rangesOf(contraction.columns)));
  measure(/*rowTile=*/1, columns);
  keyCount = innerCount;
  point.resize(nest.op.getNumLoops());
  int64_t each = neighbours(), perRow = columns / each, size = columns + kRecordExtra;
  OpFoldResult rows = kernel.product(rowRanges), batches = kernel.product(batchRanges);
  OpFoldResult threadsOfRow = kernel.host.getIndexAttr(perRow), all = kernel.product({batches, rows});
  OpFoldResult total = kernel.product({all, threadsOfRow});
  Value number = add(times(kernel.blockId(), kPartThreads), kernel.threadId());
  Value pitch = times(kernel.index(all), size), count = kernel.index(parts.count);
  View from = kernel.view(parts.records);
  auto guarded = scf::IfOp::create(inside, loc, below(number, kernel.index(total)));
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(guarded.thenBlock());
    Values places = kernel.delinearise(number, {batches, rows, threadsOfRow});
    for (auto [loop, value] : llvm::zip_equal(contraction.batch, kernel.delinearise(places[0], batchRanges)))
      point[loop] = value;
    Value column = times(places[2], each), first = times(divide(number, perRow), size);
    auto record = [&](Value part) { return add(first, arith::MulIOp::create(inside, loc, part, pitch).getResult()); };
    Value highest = alongParts(count, constant(-INFINITY), [&](Value part, ValueRange now) {
      return Values{larger(now[0], take(from, add(record(part), columns), 1)[0])};
    })[0];
    Value base = finite(highest);
    Values zeros(each + 1, constant(0));
    Values sums = alongParts(count, zeros, [&](Value part, ValueRange now) {
      Value there = record(part);
      Values state = take(from, add(there, columns), 2), next(now);
      Value factor = power(state[0], base);
      for (int64_t i = 0; i < each; i += 4)
        for (auto [j, value] : llvm::enumerate(take(from, add(there, add(column, i)), std::min<int64_t>(4, each))))
          next[i + j] = added(now[i + j], multiplied(value, factor));
      next[each] = added(now[each], multiplied(state[1], factor));
      return next;
    });
    writeResult(ArrayRef<Value>(sums).drop_back(), sums.back(), places[1], column);
  }
  kernel.launch(kernel.ceilDiv(total, kPartThreads), kPartThreads);
}
