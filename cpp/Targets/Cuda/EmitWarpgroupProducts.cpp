//===- EmitWarpgroupProducts.cpp - Products by wgmma and TMA ----------------===//
//
// In:  a product of f16, bf16 or 8-bit float factors that lie dense in memory, or of f32 that may be rounded to TF32, sums in
//      f32; for sm_90a.
// Out: a kernel of blocks with three warpgroups. One thread of the last one has whole tiles of both factors copied into a
//      ring in shared memory (`cp.async.bulk.tensor`), as far ahead as the ring is long. The other two each multiply 64 rows
//      by all columns of the tile (`wgmma`), straight from shared memory.
//
// Two barriers per stage of the ring connect them (`mbarrier`): `full` completes when all bytes of the stage have arrived,
// `empty` when each warp that reads it is done. How often the ring went round is the parity that they wait for. Registers
// are moved from the copying warpgroup to the others (`setmaxnreg`).
//
// A persistent block goes from tile to tile: there are as many blocks as the GPU has multiprocessors (the launch sees to
// that). The ring never stops: while results of one tile are written, factors of the next one arrive. So results have memory of their own.
// Where the copying unit can write them, too, they leave through it, some columns at a time; else warps write them.
//
// Blocks of a cluster compute tiles one below the other: each copies its part of the right factor's tile to all of them. A
// stage is empty when warps of all blocks have read it, since all of them write there. No block begins before the barriers of
// the others are there, or ends while others may still report to its own.
//
// A tile lies in rows of 128 bytes, permuted by the copy (swizzle) as `wgmma` expects it: along the depth, or along rows or
// columns in blocks of 64. What lies beyond a factor arrives as zeros, what lies beyond the result is not written.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/ProductEmitter.h"
#include "Targets/Cuda/WarpgroupCode.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Registers per thread: of 65536, so that 168 at entry become these.
constexpr int64_t kCopyRegisters = 40, kSumRegisters = 232;
/// The barrier of the hardware that a multiplying warpgroup meets at, and the next one that of the other; 0 is that of all
/// threads.
constexpr int64_t kResultBarrier = 1;
/// Memory for results of a warpgroup: parts of 64 rows of 128 bytes, of which one is filled while the other one leaves.
constexpr int64_t kParts = 2, kPartBytes = kGroupRows * kSpanBytes, kResultBytes = kConsumers * kParts * kPartBytes;
/// Columns that a warp writes at a time where the copying unit cannot: what it has of that memory is enough for them.
constexpr int64_t kWrittenColumns = 32;

/// What select chose (`tw.tile`).
struct WarpgroupTile {
  int64_t rows = 128, columns = 128, depth = 64, stages = 4;
  bool persistent = true;
  int64_t cluster = 1; ///< blocks, one below the other
};

class WarpgroupProduct : public ProductEmitter, private WarpgroupCode {
public:
  WarpgroupProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput,
                   const WarpgroupTile &tile)
      : ProductEmitter(nest, contraction, epilogue, epilogueInput), WarpgroupCode(kernel), tile(tile) {}

  /// Nothing is written where a factor is not a plain array that tensor maps can describe.
  bool emit();

private:
  /// One factor in memory and in a stage of the ring.
  struct Factor {
    bool isLhs;
    OpOperand *operand = nullptr;
    bool alongDepth = true;
    int64_t outerTile = 0, offset = 0, span = 64;
    int64_t sharers = 1; ///< blocks with the same tile, each of which copies a part of it for all
    Value map;

    /// Rows or columns of a box; a block copies so many of them.
    int64_t boxOuter() const { return alongDepth ? outerTile / sharers : span; }
    int64_t boxes() const { return outerTile / boxOuter() / sharers; }
  };
  bool describe(Factor &factor);
  void passMap(Factor &factor);
  bool describeResult();
  void copy(const Factor &factor, Value stage, Value k, Value barrier);
  SmallVector<Value> multiplyStage(Value stage, ValueRange sums);
  void produce();
  void consume();
  void writeTiles(ArrayRef<Value> sums);
  void writePart(ArrayRef<Value> sums, int64_t part, Value row);
  Value descriptorOf(const Factor &factor, Value start);
  void prepareBarriers();
  /// Goes from tile to tile of this block: `body` returns the ring's turn after each.
  void alongTiles(llvm::function_ref<Turn(Turn)> body);
  /// Goes along the depth: calls `body` for each step with its stage and the parity.
  std::pair<SmallVector<Value>, Turn>
  alongDepth(Turn turn, ValueRange carried,
             llvm::function_ref<SmallVector<Value>(Value k, Turn turn, ValueRange)> body);

  void releaseStage(Value stage);
  void meetCluster();
  void locateOwn(Value number);
  /// The warpgroup's threads meet.
  void meet();
  /// `body` for one thread of the warpgroup, always the same.
  void byLeader(llvm::function_ref<void()> body);
  Value startOf(Value stage) { return plus(tiles, scaled(stage, stageBytes)); }

  WarpgroupTile tile;
  Factor lhs{true}, rhs{false};
  int64_t stageBytes = 0, elementBytes = 2;
  BarrierRing ring{};
  Value memory, tiles; ///< `tiles`: the 32-bit address of the ring's first stage
  Value group, leader; ///< the warpgroup, and its first thread's number in the block
  Value rank;          ///< of this block in its cluster
  int64_t results = 0; ///< where memory for results begins
  Value resultMap;     ///< nothing where warps write results
  Type resultType;
};

/// Whether a factor is an array as it lies in memory, with one loop for each dimension.
bool WarpgroupProduct::describe(Factor &factor) {
  Value wanted = factor.isLhs ? contraction.lhs : contraction.rhs;
  ArrayRef<unsigned> outer = factor.isLhs ? contraction.rows : contraction.columns;
  auto widened = wanted.getDefiningOp<arith::ExtFOp>();
  Value stored = contraction.isTf32 ? wanted : widened ? widened.getIn() : Value();
  if (auto bits = stored ? stored.getDefiningOp<arith::BitcastOp>() : nullptr)
    stored = bits.getIn();
  auto argument = dyn_cast_or_null<BlockArgument>(stored);
  if (!argument || argument.getOwner() != nest.op.getBlock() || outer.size() != 1 || contraction.inner.size() != 1)
    return false;
  OpOperand &operand = nest.op->getOpOperand(argument.getArgNumber());
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  AffineMap map = nest.op.getMatchingIndexingMap(&operand);
  if (!nest.op.isDpsInput(&operand) || !type || !type.getLayout().isIdentity() || type.getRank() > 5 ||
      type.getRank() < 2 || !map.isProjectedPermutation(/*allowZeroInResults=*/true) || constantArray(operand.get()))
    return false;
  int64_t last = type.getShape().back();
  // Strides of tensor maps are multiples of 16 bytes.
  if (ShapedType::isDynamic(last) || last * elementBytes % 16 != 0 || last == 0)
    return false;
  AffineExpr inner = map.getResults().back();
  factor.alongDepth = inner == getAffineDimExpr(contraction.inner.front(), nest.op->getContext());
  factor.operand = &operand;
  factor.outerTile = factor.isLhs ? tile.rows : tile.columns;
  factor.span = kSpanBytes / elementBytes;
  // Only elements of 16 bits can be turned.
  return factor.alongDepth || (elementBytes == 2 && inner == getAffineDimExpr(outer.front(), nest.op->getContext()));
}

/// The kernel's parameter that says how tiles are cut out of a factor.
void WarpgroupProduct::passMap(Factor &factor) {
  AffineMap map = nest.op.getMatchingIndexingMap(factor.operand);
  unsigned outer = (factor.isLhs ? contraction.rows : contraction.columns).front();
  SmallVector<int64_t> box;
  for (AffineExpr result : llvm::reverse(map.getResults())) {
    bool isDepth = result == getAffineDimExpr(contraction.inner.front(), nest.op->getContext());
    bool isOuter = result == getAffineDimExpr(outer, nest.op->getContext());
    box.push_back(isDepth ? tile.depth : isOuter ? factor.boxOuter() : 1);
  }
  // The copying unit rounds to TF32, to nearest; the tensor cores would drop the bits.
  Type type = contraction.isTf32 ? FloatTF32Type::get(nest.op->getContext()) : Type();
  factor.map = kernel.tensorMap(factor.operand->get(), box, kSpanBytes, type);
}

/// Whether the copying unit can write the result: one plain array, columns innermost.
bool WarpgroupProduct::describeResult() {
  linalg::LinalgOp op = last().op;
  OpOperand &init = *op.getDpsInitOperand(0);
  auto type = dyn_cast<MemRefType>(init.get().getType());
  AffineMap map = op.getMatchingIndexingMap(&init);
  std::optional<unsigned> row = loopOfLast(contraction.rows.front()), column = loopOfLast(contraction.columns.front());
  if (op.getNumDpsInits() != 1 || !row || !column || !type || !type.getLayout().isIdentity() || type.getRank() < 2 ||
      type.getRank() > 5 || !map.isProjectedPermutation() || !map.isFunctionOfDim(*row) ||
      map.getResults().back() != getAffineDimExpr(*column, op->getContext()))
    return false;
  resultType = type.getElementType();
  int64_t width = type.getShape().back();
  if (!(resultType.isF16() || resultType.isBF16() || resultType.isF32()) || ShapedType::isDynamic(width) ||
      width == 0 || width * resultType.getIntOrFloatBitWidth() / 8 % 16 != 0)
    return false;
  SmallVector<int64_t> box;
  for (AffineExpr result : llvm::reverse(map.getResults()))
    box.push_back(result == getAffineDimExpr(*column, op->getContext())
                      ? kSpanBytes * 8 / resultType.getIntOrFloatBitWidth()
                  : result == getAffineDimExpr(*row, op->getContext()) ? kGroupRows
                                                                       : 1);
  resultMap = kernel.tensorMap(init.get(), box, kSpanBytes);
  return true;
}

/// Says that this warp has read a stage, to all blocks that may fill it.
void WarpgroupProduct::releaseStage(Value stage) {
  if (tile.cluster == 1)
    return release(ring, stage, lane);
  auto some = scf::IfOp::create(inside, loc, below(lane, kernel.index(tile.cluster)));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(some.thenBlock());
  assembly("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, $0, $1;\n"
           "mbarrier.arrive.shared::cluster.b64 _, [there];\n}",
           "r,r,~{memory}", {empty(ring, stage), asI32(lane)});
}

/// All threads of a cluster's blocks meet. Those of a warp need not come together.
void WarpgroupProduct::meetCluster() {
  assembly("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;", "~{memory}", {});
}

void WarpgroupProduct::locateOwn(Value number) {
  locate(number);
  if (tile.cluster > 1)
    rowBase = add(rowBase, times(rank, tile.rows));
}

void WarpgroupProduct::meet() {
  assembly("bar.sync $0, " + Twine(kGroupThreads) + ";", "r,~{memory}", {plus(asI32(group), i32(kResultBarrier))});
}

void WarpgroupProduct::byLeader(llvm::function_ref<void()> body) {
  auto one = scf::IfOp::create(inside, loc, isEqual(kernel.threadId(), leader));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(one.thenBlock());
  body();
}

void WarpgroupProduct::alongTiles(llvm::function_ref<Turn(Turn)> body) {
  Value first = divide(kernel.blockId(), tile.cluster);
  if (!tile.persistent) {
    locateOwn(first);
    body({i32(0), i32(0)});
    return;
  }
  Value step = arith::IndexCastUIOp::create(inside, loc, inside.getIndexType(),
                                            NVVM::GridDimXOp::create(inside, loc, inside.getI32Type()));
  step = divide(step, tile.cluster);
  auto loop = scf::ForOp::create(inside, loc, first, kernel.index(blocks), step, {i32(0), i32(0)});
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  locateOwn(loop.getInductionVar());
  Turn next = body({loop.getRegionIterArg(0), loop.getRegionIterArg(1)});
  scf::YieldOp::create(inside, loc, ValueRange{next.stage, next.parity});
}

std::pair<SmallVector<Value>, WarpgroupCode::Turn>
WarpgroupProduct::alongDepth(Turn turn, ValueRange carried,
                             llvm::function_ref<SmallVector<Value>(Value, Turn, ValueRange)> body) {
  SmallVector<Value> start(carried);
  start.append({turn.stage, turn.parity});
  auto loop = scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), innerCount, kernel.index(tile.depth), start);
  auto split = [&](ValueRange values) {
    return std::pair(llvm::to_vector_of<Value>(values.take_front(carried.size())),
                     Turn{values[carried.size()], values[carried.size() + 1]});
  };
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  auto [values, now] = split(loop.getRegionIterArgs());
  SmallVector<Value> next = body(loop.getInductionVar(), now, values);
  Turn following = after(now, ring);
  next.append({following.stage, following.parity});
  scf::YieldOp::create(inside, loc, next);
  return split(loop.getResults());
}

/// Starts the copies of a tile, which report to a barrier.
void WarpgroupProduct::copy(const Factor &factor, Value stage, Value k, Value barrier) {
  AffineMap map = nest.op.getMatchingIndexingMap(factor.operand);
  unsigned outer = (factor.isLhs ? contraction.rows : contraction.columns).front();
  bool isShared = factor.sharers > 1;
  int64_t boxBytes = (factor.alongDepth ? factor.boxOuter() : tile.depth) * kSpanBytes;
  for (int64_t box = 0; box < factor.boxes(); ++box) {
    Value number = isShared ? add(times(rank, factor.boxes()), box) : kernel.index(box);
    SmallVector<Value> here(point);
    here[outer] = add(factor.isLhs ? rowBase : columnBase, times(number, factor.boxOuter()));
    here[contraction.inner.front()] = k;
    Value to = plus(plus(stage, i32(factor.offset)), asI32(times(number, boxBytes)));
    copyBox(to, factor.map, barrier, nest.subscripts(*factor.operand, here), factor.sharers);
  }
}

/// The thread that copies: waits until a stage is empty, says how many bytes will come, has them brought.
void WarpgroupProduct::produce() {
  alongTiles([&](Turn turn) {
    return alongDepth(turn, {},
                      [&](Value k, Turn now, ValueRange) -> SmallVector<Value> {
                        waitUntilEmpty(ring, now);
                        Value barrier = full(ring, now.stage);
                        expect(barrier, stageBytes);
                        copy(lhs, startOf(now.stage), k, barrier);
                        copy(rhs, startOf(now.stage), k, barrier);
                        return {};
                      })
        .second;
  });
}

Value WarpgroupProduct::descriptorOf(const Factor &factor, Value start) {
  return descriptor(start, factor.alongDepth ? 16 : tile.depth * kSpanBytes);
}

/// All products of a stage.
SmallVector<Value> WarpgroupProduct::multiplyStage(Value stage, ValueRange sums) {
  auto nameOf = [&](Type float8) -> std::string {
    if (contraction.isTf32)
      return ".tf32";
    if (contraction.narrow)
      return contraction.narrow.isBF16() ? ".bf16" : ".f16";
    return isa<Float8E5M2Type>(float8) ? ".e5m2" : ".e4m3";
  };
  int64_t deep = kInstructionBytes / elementBytes;
  Chain chain{tile.columns,
              nameOf(contraction.lhsFloat8) + nameOf(contraction.rhsFloat8),
              deep,
              !lhs.alongDepth,
              !rhs.alongDepth,
              {}};
  // A step is 32 bytes of a row along the depth, else as many rows as these have elements.
  auto stepOf = [&](const Factor &factor) { return factor.alongDepth ? kInstructionBytes : deep * kSpanBytes; };
  for (int64_t step = 0; step < tile.depth / deep; ++step)
    chain.steps.push_back({step * stepOf(lhs), step * stepOf(rhs)});

  // This warpgroup's 64 rows of the left factor.
  Value start = startOf(stage);
  int64_t groupBytes = lhs.alongDepth ? kGroupRows * kSpanBytes : tile.depth * kSpanBytes;
  Value own = plus(start, scaled(asI32(group), groupBytes));
  return multiply(chain, sums, descriptorOf(lhs, plus(own, i32(lhs.offset))),
                  descriptorOf(rhs, plus(start, i32(rhs.offset))));
}

/// The warpgroups that multiply: wait until a stage is full, and say when they have read it.
void WarpgroupProduct::consume() {
  Value zero = arith::ConstantOp::create(inside, loc, inside.getF32FloatAttr(0));
  SmallVector<Value> start(tile.columns / 2, zero);
  alongTiles([&](Turn turn) {
    auto [sums, after] = alongDepth(turn, start, [&](Value, Turn now, ValueRange sums) {
      wait(full(ring, now.stage), now.parity);
      SmallVector<Value> next = multiplyStage(now.stage, sums);
      releaseStage(now.stage);
      return next;
    });
    if (resultMap)
      writeTiles(sums);
    else
      writeSums(sums, kernel.sharedAddress(memory, inside.getI8Type(), kernel.index(results)), tile.columns,
                add(rowBase, times(warp, 16)), columnBase, kWrittenColumns);
    return after;
  });
  // What leaves by the copying unit is read until then from memory that ends with the block.
  if (resultMap)
    byLeader([&] { assembly("cp.async.bulk.wait_group 0;", "~{memory}", {}); });
}

/// Results of this warpgroup's rows, 128 bytes of each at a time, leave as tiles.
void WarpgroupProduct::writeTiles(ArrayRef<Value> sums) {
  int64_t columns = kSpanBytes * 8 / resultType.getIntOrFloatBitWidth(), each = sums.size() * columns / tile.columns;
  Value row = add(rowBase, times(group, kGroupRows));
  OpOperand &init = *last().op.getDpsInitOperand(0);
  int64_t rank = last().op.getMatchingIndexingMap(&init).getNumResults();
  for (int64_t number = 0; number < tile.columns / columns; ++number) {
    // Its memory was last used by the part before the one that may still be on its way.
    byLeader([&] { assembly("cp.async.bulk.wait_group.read " + Twine(kParts - 1) + ";", "~{memory}", {}); });
    meet();
    writePart(sums.slice(number * each, each), number, row);
    assembly("fence.proxy.async.shared::cta;", "~{memory}", {});
    meet();
    byLeader([&] {
      Value from = add(times(group, kParts * kPartBytes), results + number % kParts * kPartBytes);
      SmallVector<Value> operands{resultMap, plus(tiles, asI32(from))};
      std::string constraints = "l,r";
      SmallVector<Value> point = pointOfLast(row, add(columnBase, number * columns));
      std::string places = coordinates(last().subscripts(init, point), operands, constraints);
      assembly("cp.async.bulk.tensor." + Twine(rank) + "d.global.shared::cta.tile.bulk_group [$0, {" + places +
                   "}], [$1];\ncp.async.bulk.commit_group;",
               constraints + ",~{memory}", operands);
    });
  }
}

/// Computes one part of the results and lays it down as the copying unit expects it: 16 bytes number c of row r lie at
/// number c ^ r % 8. A lane has two neighbours of rows number `lane` / 4 and 8 more of each fragment. Beyond the result,
/// formulas are those of its last row or columns: nobody will see them, and what they read is there.
void WarpgroupProduct::writePart(ArrayRef<Value> sums, int64_t number, Value row) {
  constexpr int64_t fragment = 8;
  int64_t bytes = resultType.getIntOrFloatBitWidth() / 8, columns = kSpanBytes / bytes;
  Value eighth = divide(lane, 4), inWarp = rest(warp, kGroupThreads / kWarpLanes);
  Value own = add(times(group, kParts * kPartBytes), results + number % kParts * kPartBytes);
  own = add(own, times(add(times(inWarp, 16), eighth), kSpanBytes));
  Value place = times(rest(lane, 4), 2 * bytes); // within a fragment
  auto within = [&](Value value, Value count, OpFoldResult known, int64_t of, int64_t neighbours) -> Value {
    auto number = getConstantIntValue(known);
    return number && *number % of == 0 ? value : smaller(value, minus(count, kernel.index(neighbours)));
  };
  for (int64_t half = 0; half < 2; ++half) {
    Value here = add(add(row, times(inWarp, 16)), add(eighth, half * 8));
    here = within(here, rowCount, rowRanges.front(), tile.rows, 1);
    for (int64_t j = 0; j < columns / fragment; ++j) {
      Value column = add(add(columnBase, times(rest(lane, 4), 2)), number * columns + j * fragment);
      column = within(column, columnCount, columnRanges.front(), tile.columns, 2);
      SmallVector<Value> values = resultsOf({sums[j * 4 + half * 2], sums[j * 4 + half * 2 + 1]}, here, column).front();
      Value two = LLVM::PoisonOp::create(inside, loc, VectorType::get({2}, resultType));
      for (int64_t one = 0; one < 2; ++one)
        two = vector::InsertOp::create(inside, loc, values[one], two, ArrayRef<int64_t>{one});
      Value at = add(place, j * fragment * bytes);
      Value chunk = arith::XOrIOp::create(inside, loc, divide(at, 16), eighth);
      at = add(add(own, half * 8 * kSpanBytes), add(times(chunk, 16), rest(at, 16)));
      LLVM::StoreOp::create(inside, loc, two, kernel.sharedAddress(memory, inside.getI8Type(), at), 2 * bytes);
    }
  }
}

void WarpgroupProduct::prepareBarriers() {
  auto one = scf::IfOp::create(inside, loc, isEqual(kernel.threadId(), kernel.index(int64_t{0})));
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(one.thenBlock());
    prepare(ring, tile.cluster * kReaders);
    publishBarriers();
  }
  if (tile.cluster > 1)
    meetCluster();
  else
    kernel.barrier();
}

bool WarpgroupProduct::emit() {
  if (!contraction.narrow && !contraction.lhsFloat8 && !contraction.isTf32)
    return false;
  elementBytes = contraction.isTf32 ? 4 : contraction.narrow ? 2 : 1;
  if (!describe(lhs) || !describe(rhs))
    return false;
  measure(tile.cluster * tile.rows, tile.columns);
  rank = rest(kernel.blockId(), tile.cluster);
  rhs.sharers = tile.cluster;
  rhs.offset = tile.rows * tile.depth * elementBytes;
  stageBytes = (tile.rows + tile.columns) * tile.depth * elementBytes;
  passMap(lhs);
  passMap(rhs);
  describeResult();
  results = tile.stages * stageBytes;
  memory = kernel.dynamicShared(results + kResultBytes + 16 * tile.stages);
  if (tile.persistent)
    kernel.makePersistent(tile.cluster);
  if (tile.cluster > 1)
    kernel.makeClusters(tile.cluster);
  tiles = LLVM::PtrToIntOp::create(inside, loc, inside.getI32Type(), memory);
  ring = {plus(tiles, i32(results + kResultBytes)), tile.stages};
  group = divide(warp, kGroupThreads / kWarpLanes);
  leader = times(group, kGroupThreads);
  prepareBarriers();

  shareRoles(kernel, kSumRegisters, kCopyRegisters, [&] { consume(); }, [&] { produce(); });
  if (tile.cluster > 1)
    meetCluster();
  kernel.launch(kernel.product({blocks, kernel.host.getIndexAttr(tile.cluster)}), kThreadsInAll);
  return true;
}

} // namespace

bool cuda::emitWarpgroupProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput) {
  SmallVector<int64_t> chosen = tileOf(nest.op);
  WarpgroupTile tile;
  if (chosen.size() == 6)
    tile = {chosen[0], chosen[1], chosen[2], chosen[3], chosen[4] != 0, chosen[5]};
  return WarpgroupProduct(nest, contraction, epilogue, epilogueInput, tile).emit();
}
