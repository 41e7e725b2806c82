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

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

constexpr int64_t kGroupThreads = 128, kConsumers = 2, kThreadsInAll = (kConsumers + 1) * kGroupThreads;
/// Rows that one instruction multiplies, and bytes of the depth; bytes of a permuted row.
constexpr int64_t kGroupRows = 64, kInstructionBytes = 32, kSpanBytes = 128;
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

class WarpgroupProduct : public ProductEmitter {
public:
  WarpgroupProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput,
                   const WarpgroupTile &tile)
      : ProductEmitter(nest, contraction, epilogue, epilogueInput), tile(tile) {}

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
  /// Which stage of the ring comes next, and the parity of its phase.
  struct Turn {
    Value stage, parity;
  };

  bool describe(Factor &factor);
  void passMap(Factor &factor);
  bool describeResult();
  void copy(const Factor &factor, Value stage, Value k, Value barrier);
  Value descriptor(const Factor &factor, Value start);
  SmallVector<Value> multiply(Value stage, ValueRange sums);
  void produce();
  void consume();
  void writeTiles(ArrayRef<Value> sums);
  void writePart(ArrayRef<Value> sums, int64_t part, Value row);
  void prepareBarriers();
  /// Goes from tile to tile of this block: `body` returns the ring's turn after each.
  void alongTiles(llvm::function_ref<Turn(Turn)> body);
  /// Goes along the depth: calls `body` for each step with its stage and the parity.
  std::pair<SmallVector<Value>, Turn>
  alongDepth(Turn turn, ValueRange carried,
             llvm::function_ref<SmallVector<Value>(Value k, Turn turn, ValueRange)> body);

  void assembly(const Twine &text, StringRef constraints, ValueRange operands);
  void wait(Value barrier, Value parity);
  void release(Value stage);
  void meetCluster();
  void locateOwn(Value number);
  /// The warpgroup's threads meet.
  void meet();
  /// `body` for one thread of the warpgroup, always the same.
  void byLeader(llvm::function_ref<void()> body);
  /// Appends coordinates to a copy's operands, the innermost first; returns their places in its text.
  std::string coordinates(ValueRange subscripts, SmallVector<Value> &operands, std::string &constraints);
  Value i32(int64_t value) { return arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(value)); }
  Value plus(Value a, Value b) { return arith::AddIOp::create(inside, loc, a, b); }
  Value minus(Value a, Value b) { return arith::SubIOp::create(inside, loc, a, b); }
  Value smaller(Value a, Value b) { return arith::MinUIOp::create(inside, loc, a, b); }
  Value isEqual(Value a, Value b) { return arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, a, b); }
  Value asI32(Value index) { return arith::IndexCastOp::create(inside, loc, inside.getI32Type(), index); }
  Value full(Value stage) { return plus(barriers, arith::MulIOp::create(inside, loc, stage, i32(8))); }
  Value empty(Value stage) { return plus(full(stage), i32(8 * tile.stages)); }
  Value startOf(Value stage) { return plus(ring, arith::MulIOp::create(inside, loc, stage, i32(stageBytes))); }

  WarpgroupTile tile;
  Factor lhs{true}, rhs{false};
  int64_t stageBytes = 0, elementBytes = 2;
  Value memory, ring, barriers; ///< `ring`, `barriers`: 32-bit addresses
  Value group, leader;          ///< the warpgroup, and its first thread's number in the block
  Value rank;                   ///< of this block in its cluster
  int64_t results = 0;          ///< where memory for results begins
  Value resultMap;              ///< nothing where warps write results
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

void WarpgroupProduct::assembly(const Twine &text, StringRef constraints, ValueRange operands) {
  LLVM::InlineAsmOp::create(inside, loc, TypeRange{}, operands, text.str(), constraints, /*has_side_effects=*/true,
                            /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                            LLVM::AsmDialectAttr::get(inside.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr());
}

/// Until the barrier's phase of this parity is over. A label is known within its braces only, but the assembler wants it
/// unique in a function, too.
void WarpgroupProduct::wait(Value barrier, Value parity) {
  assembly("{\n.reg .pred done;\nWAIT_${:uid}:\nmbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1;\n"
           "@!done bra WAIT_${:uid};\n}",
           "r,r,~{memory}", {barrier, parity});
}

/// Says that this warp has read a stage, to all blocks that may fill it. What the barrier orders is what `wgmma` read before
/// and what copies will write: no thread's own accesses, so that it need not wait for those of others to be seen.
void WarpgroupProduct::release(Value stage) {
  Value speaks = below(lane, kernel.index(tile.cluster));
  auto some = scf::IfOp::create(inside, loc, speaks);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(some.thenBlock());
  if (tile.cluster == 1)
    return assembly("mbarrier.arrive.shared::cta.b64 _, [$0];", "r,~{memory}", {empty(stage)});
  assembly("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, $0, $1;\n"
           "mbarrier.arrive.shared::cluster.b64 _, [there];\n}",
           "r,r,~{memory}", {empty(stage), asI32(lane)});
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

std::pair<SmallVector<Value>, WarpgroupProduct::Turn>
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
  Value after = plus(now.stage, i32(1)), wraps = isEqual(after, i32(tile.stages));
  next.push_back(arith::SelectOp::create(inside, loc, wraps, i32(0), after));
  Value flipped = arith::XOrIOp::create(inside, loc, now.parity, i32(1));
  next.push_back(arith::SelectOp::create(inside, loc, wraps, flipped, now.parity));
  scf::YieldOp::create(inside, loc, next);
  return split(loop.getResults());
}

std::string WarpgroupProduct::coordinates(ValueRange subscripts, SmallVector<Value> &operands,
                                          std::string &constraints) {
  std::string places;
  for (Value value : llvm::reverse(subscripts)) {
    places += (places.empty() ? "$" : ", $") + std::to_string(operands.size());
    operands.push_back(asI32(value));
    constraints += ",r";
  }
  return places;
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
    SmallVector<Value> operands{to, factor.map, barrier};
    std::string constraints = "r,l,r";
    std::string places = coordinates(nest.subscripts(*factor.operand, here), operands, constraints);
    std::string text = "cp.async.bulk.tensor." + std::to_string(map.getNumResults()) +
                       "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes";
    std::string rest = " [$0], [$1, {" + places + "}], [$2]";
    if (isShared) {
      text += ".multicast::cluster";
      rest += ", $" + std::to_string(operands.size());
      constraints += ",h";
      operands.push_back(arith::ConstantOp::create(inside, loc, inside.getI16IntegerAttr((1 << factor.sharers) - 1)));
    }
    assembly(text + rest + ";", constraints + ",~{memory}", operands);
  }
}

/// The thread that copies: waits until a stage is empty, says how many bytes will come, has them brought.
void WarpgroupProduct::produce() {
  alongTiles([&](Turn turn) {
    return alongDepth(turn, {},
                      [&](Value k, Turn now, ValueRange) -> SmallVector<Value> {
                        // The first time round nobody has read anything: the phase before the first one counts as over.
                        wait(empty(now.stage), arith::XOrIOp::create(inside, loc, now.parity, i32(1)));
                        Value barrier = full(now.stage);
                        assembly("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], " + Twine(stageBytes) + ";",
                                 "r,~{memory}", {barrier});
                        copy(lhs, startOf(now.stage), k, barrier);
                        copy(rhs, startOf(now.stage), k, barrier);
                        return {};
                      })
        .second;
  });
}

/// How `wgmma` finds a tile ("Matrix-Descriptor Format" of the PTX ISA): address, distance of blocks of 64 rows or columns,
/// distance of 8 permuted rows, in units of 16 bytes; 1 for rows of 128 bytes.
Value WarpgroupProduct::descriptor(const Factor &factor, Value start) {
  auto i64 = inside.getI64Type();
  int64_t leading = factor.alongDepth ? 1 : tile.depth * kSpanBytes / 16, eight = 8 * kSpanBytes / 16;
  Value address = arith::ShRUIOp::create(inside, loc, start, i32(4));
  Value fixed =
      arith::ConstantOp::create(inside, loc, inside.getI64IntegerAttr(int64_t{1} << 62 | eight << 32 | leading << 16));
  return arith::OrIOp::create(inside, loc, arith::ExtUIOp::create(inside, loc, i64, address), fixed);
}

/// All products of a stage in one piece of assembly: until the wait at its end the sums belong to the tensor cores, and
/// nothing may come between.
SmallVector<Value> WarpgroupProduct::multiply(Value stage, ValueRange sums) {
  int64_t count = sums.size();
  auto list = [&] {
    std::string text;
    for (int64_t i = 0; i < count; ++i)
      text += (i ? ", $" : "$") + std::to_string(i);
    return text;
  }();
  auto nameOf = [&](Type float8) -> std::string {
    if (contraction.isTf32)
      return ".tf32";
    if (contraction.narrow)
      return contraction.narrow.isBF16() ? ".bf16" : ".f16";
    return isa<Float8E5M2Type>(float8) ? ".e5m2" : ".e4m3";
  };
  std::string types = nameOf(contraction.lhsFloat8) + nameOf(contraction.rhsFloat8);
  // A step is 32 bytes of a row along the depth, else as many rows as these have elements.
  int64_t deep = kInstructionBytes / elementBytes;
  auto stepOf = [&](const Factor &factor) { return (factor.alongDepth ? kInstructionBytes : deep * kSpanBytes) / 16; };
  auto turned = [&](const Factor &factor) -> std::string { return factor.alongDepth ? ", 0" : ", 1"; };
  std::string layouts = contraction.narrow ? turned(lhs) + turned(rhs) : "";
  std::string left = "$" + std::to_string(2 * count), right = "$" + std::to_string(2 * count + 1);
  std::string text = "{\n.reg .b64 left, right;\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"
                     "wgmma.fence.sync.aligned;\n";
  for (int64_t step = 0; step < tile.depth / deep; ++step) {
    text += "add.u64 left, " + left + ", " + std::to_string(step * stepOf(lhs)) + ";\n";
    text += "add.u64 right, " + right + ", " + std::to_string(step * stepOf(rhs)) + ";\n";
    text += "wgmma.mma_async.sync.aligned.m64n" + std::to_string(tile.columns) + "k" + std::to_string(deep) + ".f32" +
            types + " {" + list + "}, left, right, add, 1, 1" + layouts + ";\n";
  }
  text += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n}";
  std::string constraints;
  for (int64_t i = 0; i < count; ++i)
    constraints += "=f,";
  for (int64_t i = 0; i < count; ++i)
    constraints += std::to_string(i) + ",";
  constraints += "l,l,~{memory}";

  // This warpgroup's 64 rows of the left factor.
  Value start = startOf(stage);
  int64_t groupBytes = lhs.alongDepth ? kGroupRows * kSpanBytes : tile.depth * kSpanBytes;
  Value own = plus(start, arith::MulIOp::create(inside, loc, asI32(group), i32(groupBytes)));
  SmallVector<Value> operands(sums);
  operands.push_back(descriptor(lhs, plus(own, i32(lhs.offset))));
  operands.push_back(descriptor(rhs, plus(start, i32(rhs.offset))));
  SmallVector<Type> sumTypes(count, inside.getF32Type());
  auto all = LLVM::LLVMStructType::getLiteral(inside.getContext(), sumTypes);
  Value result =
      LLVM::InlineAsmOp::create(inside, loc, TypeRange{all}, operands, text, constraints, /*has_side_effects=*/true,
                                /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                                LLVM::AsmDialectAttr::get(inside.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr())
          ->getResult(0);
  SmallVector<Value> next;
  for (int64_t i = 0; i < count; ++i)
    next.push_back(LLVM::ExtractValueOp::create(inside, loc, inside.getF32Type(), result, ArrayRef<int64_t>{i}));
  return next;
}

/// The warpgroups that multiply: wait until a stage is full, and say when they have read it.
void WarpgroupProduct::consume() {
  Value zero = arith::ConstantOp::create(inside, loc, inside.getF32FloatAttr(0));
  SmallVector<Value> start(tile.columns / 2, zero);
  alongTiles([&](Turn turn) {
    auto [sums, after] = alongDepth(turn, start, [&](Value, Turn now, ValueRange sums) {
      wait(full(now.stage), now.parity);
      SmallVector<Value> next = multiply(now.stage, sums);
      release(now.stage);
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
      SmallVector<Value> operands{resultMap, plus(ring, asI32(from))};
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
  auto prepare = scf::IfOp::create(inside, loc, isEqual(kernel.threadId(), kernel.index(int64_t{0})));
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(prepare.thenBlock());
    int64_t readers = tile.cluster * kConsumers * kGroupThreads / kWarpLanes;
    for (int64_t stage = 0; stage < tile.stages; ++stage) {
      assembly("mbarrier.init.shared::cta.b64 [$0], 1;", "r,~{memory}", {full(i32(stage))});
      assembly("mbarrier.init.shared::cta.b64 [$0], " + Twine(readers) + ";", "r,~{memory}", {empty(i32(stage))});
    }
    assembly("fence.mbarrier_init.release.cluster;", "~{memory}", {});
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
  ring = LLVM::PtrToIntOp::create(inside, loc, inside.getI32Type(), memory);
  barriers = plus(ring, i32(results + kResultBytes));
  group = divide(warp, kGroupThreads / kWarpLanes);
  leader = times(group, kGroupThreads);
  prepareBarriers();

  auto roles = scf::IfOp::create(inside, loc, below(kernel.threadId(), kernel.index(kConsumers * kGroupThreads)), true);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(roles.thenBlock());
    assembly("setmaxnreg.inc.sync.aligned.u32 " + Twine(kSumRegisters) + ";", "~{memory}", {});
    consume();
    inside.setInsertionPointToStart(roles.elseBlock());
    assembly("setmaxnreg.dec.sync.aligned.u32 " + Twine(kCopyRegisters) + ";", "~{memory}", {});
    Value isWarp = isEqual(warp, kernel.index(kConsumers * kGroupThreads / kWarpLanes));
    auto oneWarp = scf::IfOp::create(inside, loc, isWarp);
    inside.setInsertionPointToStart(oneWarp.thenBlock());
    Value elected = NVVM::ElectSyncOp::create(inside, loc, inside.getI1Type(), Value());
    auto one = scf::IfOp::create(inside, loc, elected);
    inside.setInsertionPointToStart(one.thenBlock());
    produce();
  }
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
