//===- ProductEmitter.cpp - What all kernels of products share --------------===//
#include "Targets/Cuda/ProductEmitter.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

/// Rows of tiles that blocks which run together share columns with.
static constexpr int64_t kGroupedRows = 8;

/// Renumbers tiles so that blocks that run together cover a square rather than a row of them: what they read then is
/// less, and stays in the L2 cache. Columns of tiles one after the other, within groups of some rows.
void ProductEmitter::group(Value &row, Value &column, Value rows, Value columns) {
  Value number = add(arith::MulIOp::create(inside, loc, row, columns), column);
  Value whole = times(columns, kGroupedRows);
  Value first = times(arith::DivUIOp::create(inside, loc, number, whole), kGroupedRows);
  Value within = arith::RemUIOp::create(inside, loc, number, whole);
  // The last group has fewer rows.
  Value left = arith::SubIOp::create(inside, loc, rows, first);
  Value height = arith::MinUIOp::create(inside, loc, left, kernel.index(kGroupedRows));
  row = add(first, arith::RemUIOp::create(inside, loc, within, height));
  column = arith::DivUIOp::create(inside, loc, within, height);
}

void ProductEmitter::measure(int64_t rows, int64_t columns) {
  rowTile = rows;
  columnTile = columns;
  batchRanges = nest.rangesOf(contraction.batch);
  rowRanges = nest.rangesOf(contraction.rows);
  columnRanges = nest.rangesOf(contraction.columns);
  innerRanges = nest.rangesOf(contraction.inner);
  OpFoldResult allRows = kernel.product(rowRanges), allColumns = kernel.product(columnRanges);
  rowTiles = kernel.ceilDiv(allRows, rowTile);
  columnTiles = kernel.ceilDiv(allColumns, columnTile);
  blocks = kernel.product({kernel.product(batchRanges), rowTiles, columnTiles});
  rowCount = kernel.index(allRows);
  columnCount = kernel.index(allColumns);
  innerCount = kernel.index(kernel.product(innerRanges));
  warp = divide(kernel.threadId(), kWarpLanes);
  lane = rest(kernel.threadId(), kWarpLanes);
}

void ProductEmitter::locate(Value number) {
  // The first part is the batch: its size is not needed to take the number apart.
  SmallVector<Value> parts = kernel.delinearise(number, {kernel.product(batchRanges), rowTiles, columnTiles});
  auto rowsKnown = getConstantIntValue(rowTiles), columnsKnown = getConstantIntValue(columnTiles);
  if ((!rowsKnown || *rowsKnown > 1) && (!columnsKnown || *columnsKnown > 1))
    group(parts[1], parts[2], kernel.index(rowTiles), kernel.index(columnTiles));
  batch = parts[0];
  rowBase = times(parts[1], rowTile);
  columnBase = times(parts[2], columnTile);
  point.assign(nest.op.getNumLoops(), Value());
  for (auto [loop, value] : llvm::zip_equal(contraction.batch, kernel.delinearise(batch, batchRanges)))
    point[loop] = value;
}

SmallVector<Value> ProductEmitter::pointOf(bool isLhs, Value outer, Value k) {
  SmallVector<Value> here(point);
  ArrayRef<unsigned> loops = isLhs ? contraction.rows : contraction.columns;
  for (auto [loop, value] : llvm::zip_equal(loops, kernel.delinearise(outer, isLhs ? rowRanges : columnRanges)))
    here[loop] = value;
  for (auto [loop, value] : llvm::zip_equal(contraction.inner, kernel.delinearise(k, innerRanges)))
    here[loop] = value;
  return here;
}

/// One element of a factor at row (or column) `outer` and depth `k`.
Value ProductEmitter::factor(Value wanted, bool isLhs, Value outer, Value k) {
  SmallVector<Value> here = pointOf(isLhs, outer, k);
  return nest.computeFrom(wanted, {}, here);
}

/// Whether neighbours along the last of these loops are neighbours in memory, for the inputs of a factor that vary so.
bool ProductEmitter::runsAlong(Value wanted, ArrayRef<unsigned> loops) {
  llvm::SetVector<Value> seen;
  SmallVector<Value> worklist{wanted};
  bool along = false;
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (!seen.insert(value))
      continue;
    if (auto argument = dyn_cast<BlockArgument>(value); argument && argument.getOwner() == nest.op.getBlock()) {
      AffineMap map = nest.op.getMatchingIndexingMap(&nest.op->getOpOperand(argument.getArgNumber()));
      along |= map.getNumResults() && map.getResults().back() == inside.getAffineDimExpr(loops.back());
    } else if (Operation *def = value.getDefiningOp(); def && def->getBlock() == nest.op.getBlock()) {
      llvm::append_range(worklist, def->getOperands());
    }
  }
  return along;
}

ProductEmitter::Place ProductEmitter::placeOf(Value row, Value column) {
  Place place{point, {}};
  for (auto [loop, value] : llvm::zip_equal(contraction.rows, kernel.delinearise(row, rowRanges)))
    place.product[loop] = value;
  for (auto [loop, value] : llvm::zip_equal(contraction.columns, kernel.delinearise(column, columnRanges)))
    place.product[loop] = value;
  for (unsigned loop : contraction.inner)
    place.product[loop] = kernel.index(int64_t{0});
  if (epilogue)
    place.epilogue =
        epiloguePoint(*epilogue, epilogueInput, nest.subscripts(*nest.op.getDpsInitOperand(0), place.product));
  return place;
}

std::optional<unsigned> ProductEmitter::loopOfLast(unsigned loop) {
  if (!epilogue)
    return loop;
  AffineMap written = nest.op.getMatchingIndexingMap(nest.op.getDpsInitOperand(0));
  AffineMap read = epilogue->op.getMatchingIndexingMap(&epilogue->op->getOpOperand(epilogueInput));
  for (auto [w, r] : llvm::zip_equal(written.getResults(), read.getResults()))
    if (w == getAffineDimExpr(loop, nest.op->getContext()))
      return cast<AffineDimExpr>(r).getPosition();
  return std::nullopt;
}

int64_t ProductEmitter::neighbours() {
  constexpr int64_t most = 8;
  unsigned inner = contraction.columns.back();
  auto range = getConstantIntValue(nest.ranges[inner]);
  std::optional<unsigned> lane = loopOfLast(inner);
  if (!range || !lane)
    return 1;
  for (OpOperand &init : last().op.getDpsInitsMutable())
    if (!last().isVectorAlong(init, *lane))
      return 1;
  // What a sum starts from is read in the same way.
  if (!nest.hasStart(0) && !nest.isVectorAlong(*nest.op.getDpsInitOperand(0), inner))
    return 1;
  for (int64_t lanes = most; lanes > 1; lanes /= 2)
    if (*range % lanes == 0)
      return lanes;
  return 1;
}

SmallVector<Value> ProductEmitter::alongRing(const Ring &ring, int64_t sums, Type sumType,
                                             llvm::function_ref<void(Value, Value)> fill,
                                             llvm::function_ref<SmallVector<Value>(Value, ValueRange)> multiply) {
  // An empty group beyond the end: the number of groups on the way stays the same.
  auto copyGroup = [&](Value stage, Value kBase) {
    auto guarded = scf::IfOp::create(inside, loc, below(kBase, innerCount));
    {
      OpBuilder::InsertionGuard guard(inside);
      inside.setInsertionPointToStart(guarded.thenBlock());
      fill(stage, kBase);
    }
    NVVM::CpAsyncCommitGroupOp::create(inside, loc);
  };
  for (int64_t stage = 0; stage + 1 < ring.stages; ++stage)
    copyGroup(kernel.index(stage * ring.size), kernel.index(stage * ring.depth));
  Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(sumType));
  SmallVector<Value> start(sums, zero);
  start.push_back(kernel.index(int64_t{0}));
  auto loop = scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), innerCount, kernel.index(ring.depth), start);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  Value stage = loop.getRegionIterArgs().back();
  // This thread's copies have landed; after the barrier everybody's, and nobody reads the stage before any more.
  NVVM::CpAsyncWaitGroupOp::create(inside, loc, ring.stages - 2);
  kernel.barrier();
  Value first = kernel.index(int64_t{0}), last = kernel.index((ring.stages - 1) * ring.size);
  Value isFirst = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, stage, first);
  Value isLast = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, stage, last);
  Value before = arith::SelectOp::create(inside, loc, isFirst, last,
                                         arith::SubIOp::create(inside, loc, stage, kernel.index(ring.size)));
  copyGroup(before, add(loop.getInductionVar(), (ring.stages - 1) * ring.depth));
  SmallVector<Value> next = multiply(stage, loop.getRegionIterArgs().drop_back());
  next.push_back(arith::SelectOp::create(inside, loc, isLast, first, add(stage, ring.size)));
  scf::YieldOp::create(inside, loc, next);
  return SmallVector<Value>(loop.getResults().drop_back());
}

void ProductEmitter::finish(ValueRange sums, Value row, Value column) {
  Value within = both(below(row, rowCount), below(column, columnCount));
  auto guarded = scf::IfOp::create(inside, loc, within);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(guarded.thenBlock());
  finishPart(sums, row, column);
}

void ProductEmitter::finishPart(ValueRange sums, Value row, Value column) {
  Place place = placeOf(row, column);
  unsigned inner = contraction.columns.back();
  unsigned lane = epilogue ? (sums.size() > 1 ? *loopOfLast(inner) : 0) : inner;
  for (auto [init, values] : llvm::enumerate(resultsAt(sums, place)))
    last().writeLanes(values, init, epilogue ? place.epilogue : place.product, lane);
}

SmallVector<SmallVector<Value>> ProductEmitter::resultsAt(ValueRange sums, const Place &place) {
  int64_t lanes = sums.size();
  unsigned inner = contraction.columns.back();
  using Values = SmallVector<Value>;
  auto at = [](const Values &values, int64_t lane) {
    return values.empty() ? Value() : values[values.size() == 1 ? 0 : lane];
  };
  auto startOf = [&](Nest &from, unsigned init, ValueRange where, unsigned loop) {
    return from.hasStart(init) ? Values{from.start(init, where)}
                               : from.readLanes(*from.op.getDpsInitOperand(init), where, loop, lanes);
  };
  Values starts = startOf(nest, 0, place.product, inner), results;
  for (int64_t i = 0; i < lanes; ++i) {
    IRMapping map;
    map.map(contraction.sum->getOperand(0), at(starts, i));
    map.map(contraction.sum->getOperand(1), sums[i]);
    results.push_back(inside.clone(*contraction.sum, map)->getResult(0));
  }
  if (!epilogue)
    return {results};
  linalg::LinalgOp op = epilogue->op;
  unsigned lane = lanes > 1 ? *loopOfLast(inner) : 0;
  SmallVector<Values> operands;
  for (OpOperand &operand : op->getOpOperands()) {
    unsigned number = operand.getOperandNumber();
    if (number == epilogueInput)
      operands.push_back(results);
    else if (op.isDpsInput(&operand))
      operands.push_back(lanes > 1 ? epilogue->readLanes(operand, place.epilogue, lane, lanes)
                                   : Values{epilogue->read(operand, place.epilogue)});
    else if (unsigned init = number - op.getNumDpsInputs(); epilogue->usesDestination(init))
      operands.push_back(lanes > 1 ? startOf(*epilogue, init, place.epilogue, lane)
                                   : Values{epilogue->start(init, place.epilogue)});
    else
      operands.push_back({});
  }
  SmallVector<Values> written(op.getNumDpsInits());
  Values here(place.epilogue);
  for (int64_t i = 0; i < lanes; ++i) {
    if (i)
      here[lane] = add(place.epilogue[lane], i);
    Values arguments = llvm::map_to_vector(operands, [&](const Values &values) { return at(values, i); });
    for (auto [init, value] : llvm::enumerate(epilogue->compute(arguments, here)))
      written[init].push_back(value);
  }
  return written;
}

/// Elements between rows of sums in shared memory, beyond their number: neighbouring rows start in other banks.
static constexpr int64_t kPad = 8;
/// Rows and columns of a fragment.
static constexpr int64_t kFragmentRows = 16, kFragmentColumns = 8;

int64_t ProductEmitter::bytesOfSums(int64_t columns) { return kFragmentRows * (columns + kPad) * 4; }

/// Sixteen rows at a time, in memory that only this warp uses. A lane has two neighbours of rows number `group` and
/// `group` + 8 of each fragment ("Matrix Fragments for mma.m16n8k16" of the PTX ISA).
void ProductEmitter::writeSums(ArrayRef<Value> sums, Value memory, int64_t columns, Value rowStart, Value columnStart,
                               int64_t part) {
  if (!part)
    part = columns;
  int64_t across = columns / kFragmentColumns, here = part / kFragmentColumns, pitch = part + kPad;
  int64_t each = neighbours();
  while (part % each)
    each /= 2;
  Type element = sums.front().getType();
  Value own = times(warp, kFragmentRows * pitch);
  auto address = [&](Value row, Value column) {
    return kernel.sharedAddress(memory, element, add(own, add(times(row, pitch), column)));
  };
  auto syncWarp = [&] {
    Value all = arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(-1));
    NVVM::SyncWarpOp::create(inside, loc, all);
  };
  Value group = divide(lane, 4), pair = times(rest(lane, 4), 2);
  // Fragments in the order of rows, then columns; a turn takes as many of one row as lie in memory.
  for (int64_t first = 0, count = sums.size() / 4; first < count; first += here) {
    if (first || part < columns)
      syncWarp();
    for (int64_t j = 0; j < here; ++j)
      for (int64_t half = 0; half < 2; ++half) {
        Value two = LLVM::PoisonOp::create(inside, loc, VectorType::get({2}, element));
        for (int64_t one = 0; one < 2; ++one)
          two = vector::InsertOp::create(inside, loc, sums[(first + j) * 4 + half * 2 + one], two,
                                         ArrayRef<int64_t>{one});
        LLVM::StoreOp::create(inside, loc, two, address(add(group, half * 8), add(pair, j * kFragmentColumns)), 8);
      }
    syncWarp();
    int64_t perRow = part / each;
    auto turn = scf::ForOp::create(inside, loc, lane, kernel.index(kFragmentRows * perRow), kernel.index(kWarpLanes));
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(turn.getBody());
    Value row = divide(turn.getInductionVar(), perRow), column = times(rest(turn.getInductionVar(), perRow), each);
    SmallVector<Value> values;
    for (int64_t next = 0; next < each; next += 4) {
      int64_t lanes = std::min<int64_t>(4, each);
      Type type = lanes == 1 ? element : Type(VectorType::get({lanes}, element));
      Value loaded = LLVM::LoadOp::create(inside, loc, type, address(row, add(column, next)), 4 * lanes);
      for (int64_t one = 0; one < lanes; ++one)
        values.push_back(
            lanes == 1 ? loaded : vector::ExtractOp::create(inside, loc, loaded, ArrayRef<int64_t>{one}).getResult());
    }
    finish(values, add(rowStart, add(row, first / across * kFragmentRows)),
           add(columnStart, add(column, first % across * kFragmentColumns)));
  }
}

SmallVector<Value> cuda::epiloguePoint(Nest &epilogue, unsigned input, ValueRange subscripts) {
  AffineMap map = epilogue.op.getMatchingIndexingMap(&epilogue.op->getOpOperand(input));
  SmallVector<Value> there(epilogue.op.getNumLoops());
  for (auto [result, value] : llvm::zip_equal(map.getResults(), subscripts))
    there[cast<AffineDimExpr>(result).getPosition()] = value;
  return there;
}
