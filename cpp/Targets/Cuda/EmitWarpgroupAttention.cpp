//===- EmitWarpgroupAttention.cpp - Attention by wgmma and TMA --------------===//
//
// In:  two products with a softmax between them (Attention.h), factors f16 or bf16 that lie dense in memory; for sm_90a.
// Out: one kernel. A block has 128 rows of queries and three warpgroups. One thread of the last one has whole tiles of keys and
//      of values copied to shared memory, as far ahead as there is room. The other two have 64 rows each and go along the keys
//      by themselves: scores by `wgmma` from shared memory, the softmax in registers as in EmitAttention.cpp, and the weights,
//      in registers as they are, times the values. So one of them multiplies while the other one computes exponentials.
//
// Keys and values have rings of their own (WarpgroupCode.h): keys are given back before the softmax begins, values after their
// product. A tile lies in blocks of 64 elements of each line, 128 bytes, permuted by the copy. Queries and keys are read along
// the depth, values across it. What lies beyond an array arrives as zeros: keys beyond the last are hidden, rows beyond the
// last are not written. Heads that share keys are rows of one product, as long as they are neighbours in memory.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/FragmentAttention.h"
#include "Targets/Cuda/WarpgroupCode.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Rows of a block; elements of a permuted row.
constexpr int64_t kRowsOfGroups = kConsumers * kGroupRows, kSpanElements = kSpanBytes / 2;
/// Registers per thread, as in EmitWarpgroupProducts.cpp: scores, weights and results want all that there are.
constexpr int64_t kWeighingRegisters = 240, kBringingRegisters = 24;

/// Whether boxes can be cut out of the array that a factor is: dense, with one subscript per loop; those that number its lines
/// are neighbours.
bool hasPlainLines(linalg::LinalgOp op, Value factor, ArrayRef<unsigned> lines) {
  OpOperand &operand = op->getOpOperand(cast<BlockArgument>(unwidened(factor)).getArgNumber());
  auto type = cast<MemRefType>(operand.get().getType());
  ArrayRef<AffineExpr> results = op.getMatchingIndexingMap(&operand).getResults();
  const AffineExpr *first = llvm::find(results, getAffineDimExpr(lines.front(), op->getContext()));
  if (!type.getLayout().isIdentity() || type.getRank() - int64_t(lines.size()) > 4 || constantArray(operand.get()) ||
      results.end() - first < int64_t(lines.size()))
    return false;
  return llvm::all_of(llvm::enumerate(lines), [&](auto line) {
    return first[line.index()] == getAffineDimExpr(line.value(), op->getContext());
  });
}

class WarpgroupAttention : public FragmentAttention, private WarpgroupCode {
public:
  WarpgroupAttention(const Attention &attention, Nest &values, Nest &scores, Nest *epilogue, unsigned epilogueInput,
                     const WarpgroupAttentionTile &tile)
      : FragmentAttention(attention, values, scores, epilogue, epilogueInput), WarpgroupCode(values.kernel),
        tile(tile) {}
  void emit();

private:
  using Values = FragmentAttention::Values;
  using WarpgroupCode::i32;

  /// An array of lines (queries, keys or values), and a tile of so many of them in shared memory.
  struct Lines {
    Nest &nest;
    OpOperand &operand;
    ArrayRef<unsigned> loops; ///< that number the lines
    int64_t count, elements;
    Value map, start; ///< `start`: where the tile lies, or the first of a ring
    int64_t spans() const { return llvm::divideCeil(elements, kSpanElements); }
    int64_t spanBytes() const { return count * kSpanBytes; }
    int64_t bytes() const { return spans() * spanBytes(); }
  };

  SmallVector<ReassociationIndices> subscriptsOf(const Lines &lines);
  void passMap(Lines &lines);
  void copy(const Lines &lines, Value line, Value to, Value barrier);
  void layOut();
  void produce();
  void consume();
  /// Columns of the result that a warp writes at a time.
  int64_t writtenColumns() const { return columns % 32 ? kStepDepth : 32; }
  /// Where a stage's tile lies.
  Value stageOf(const Lines &lines, Value stage) { return plus(lines.start, scaled(stage, lines.bytes())); }

  WarpgroupAttentionTile tile;
  Lines queries{scores, operandOf(scores.op, attention.scores.lhs), attention.scores.rows, kRowsOfGroups, 0, {}, {}};
  Lines keys{scores, operandOf(scores.op, attention.scores.rhs), attention.scores.columns, tile.keys, 0, {}, {}};
  Lines values{nest, operandOf(nest.op, contraction.rhs), contraction.inner, tile.keys, 0, {}, {}};
  Value queryBarrier;
  BarrierRing keyRing{}, valueRing{};
  Value end; ///< of the keys that any row sees
  Value resultMemory;
};

/// The dimensions of an array as its map has them: those that number lines are one.
SmallVector<ReassociationIndices> WarpgroupAttention::subscriptsOf(const Lines &lines) {
  SmallVector<ReassociationIndices> together;
  for (auto [dim, result] : llvm::enumerate(lines.nest.op.getMatchingIndexingMap(&lines.operand).getResults())) {
    auto loop = dyn_cast<AffineDimExpr>(result);
    bool goesOn = loop && llvm::is_contained(lines.loops.drop_front(), loop.getPosition());
    if (!goesOn)
      together.emplace_back();
    together.back().push_back(dim);
  }
  return together;
}

/// The kernel's parameter that says how tiles are cut out of an array.
void WarpgroupAttention::passMap(Lines &lines) {
  ArrayRef<AffineExpr> results = lines.nest.op.getMatchingIndexingMap(&lines.operand).getResults();
  SmallVector<ReassociationIndices> together = subscriptsOf(lines);
  SmallVector<int64_t> box;
  for (const ReassociationIndices &dims : llvm::reverse(together))
    box.push_back(box.empty()                                                             ? kSpanElements
                  : results[dims.front()] == inside.getAffineDimExpr(lines.loops.front()) ? lines.count
                                                                                          : 1);
  Value array = lines.operand.get();
  if (together.size() < results.size())
    array = memref::CollapseShapeOp::create(kernel.host, loc, array, together);
  lines.map = kernel.tensorMap(array, box, kSpanBytes);
}

/// Starts the copies of a tile from number `line` on, which report to a barrier.
void WarpgroupAttention::copy(const Lines &lines, Value line, Value to, Value barrier) {
  Value zero = kernel.index(int64_t{0});
  Values there = &lines.nest == &scores ? scorePoint(rowBase, zero, zero) : pointOf(false, zero, zero);
  Values all = lines.nest.subscripts(lines.operand, there), places;
  ArrayRef<AffineExpr> results = lines.nest.op.getMatchingIndexingMap(&lines.operand).getResults();
  for (const ReassociationIndices &dims : subscriptsOf(lines)) {
    bool isLine = results[dims.front()] == inside.getAffineDimExpr(lines.loops.front());
    places.push_back(isLine ? line : all[dims.front()]);
  }
  for (int64_t span = 0; span < lines.spans(); ++span) {
    places.back() = kernel.index(span * kSpanElements);
    copyBox(plus(to, i32(span * lines.spanBytes())), lines.map, barrier, places);
  }
}

/// Shared memory: queries, the rings of keys and values, results, barriers.
void WarpgroupAttention::layOut() {
  queries.elements = keys.elements = depth;
  values.elements = columns;
  int64_t firstKeys = queries.bytes(), firstValues = firstKeys + tile.stages * keys.bytes();
  int64_t firstResults = firstValues + tile.stages * values.bytes();
  int64_t barriers = firstResults + kReaders * bytesOfSums(writtenColumns());
  keyRing.stages = valueRing.stages = tile.stages;
  Value memory = kernel.dynamicShared(barriers + 8 + keyRing.barrierBytes() + valueRing.barrierBytes());
  queries.start = LLVM::PtrToIntOp::create(inside, loc, inside.getI32Type(), memory);
  keys.start = plus(queries.start, i32(firstKeys));
  values.start = plus(queries.start, i32(firstValues));
  resultMemory = kernel.sharedAddress(memory, inside.getI8Type(), kernel.index(firstResults));
  queryBarrier = plus(queries.start, i32(barriers));
  keyRing.barriers = plus(queryBarrier, i32(8));
  valueRing.barriers = plus(keyRing.barriers, i32(keyRing.barrierBytes()));
}

/// The thread that copies.
void WarpgroupAttention::produce() {
  expect(queryBarrier, queries.bytes());
  copy(queries, rowBase, queries.start, queryBarrier);
  auto loop = scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), end, kernel.index(tile.keys),
                                 ValueRange{i32(0), i32(0)});
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  Turn now{loop.getRegionIterArg(0), loop.getRegionIterArg(1)};
  auto bring = [&](const Lines &lines, const BarrierRing &ring) {
    waitUntilEmpty(ring, now);
    Value barrier = full(ring, now.stage);
    expect(barrier, lines.bytes());
    copy(lines, loop.getInductionVar(), stageOf(lines, now.stage), barrier);
  };
  bring(keys, keyRing);
  bring(values, valueRing);
  Turn next = after(now, keyRing);
  scf::YieldOp::create(inside, loc, ValueRange{next.stage, next.parity});
}

/// The warpgroups that multiply.
void WarpgroupAttention::consume() {
  std::string type = contraction.narrow.isBF16() ? ".bf16" : ".f16";
  Chain scoring{tile.keys, type + type, kStepDepth}, summing{columns, type + type, kStepDepth, false, true};
  // Along a line there are four steps in 128 bytes; a step across lines is sixteen of them.
  constexpr int64_t perSpan = kSpanElements / kStepDepth;
  for (int64_t step = 0; step < depth / kStepDepth; ++step)
    scoring.steps.push_back({step / perSpan * queries.spanBytes() + step % perSpan * kInstructionBytes,
                             step / perSpan * keys.spanBytes() + step % perSpan * kInstructionBytes});
  for (int64_t step = 0; step < tile.keys / kStepDepth; ++step)
    summing.steps.push_back({0, step * kStepDepth * kSpanBytes});

  Value group = divide(warp, kGroupThreads / kWarpLanes);
  Value own = descriptor(plus(queries.start, scaled(asI32(group), kGroupRows * kSpanBytes)));
  wait(queryBarrier, i32(0));
  State state = alongKeys(end, tile.keys, {i32(0), i32(0)}, [&](State state, Value first, ValueRange carried) {
    Turn now{carried[0], carried[1]};
    wait(full(keyRing, now.stage), now.parity);
    Values weights = multiply(scoring, {}, own, descriptor(stageOf(keys, now.stage)));
    release(keyRing, now.stage, lane);
    rescale(state, weigh(state, weights, first));
    Values left;
    for (int64_t key = 0; key < tile.keys; key += kStepDepth)
      left.append(leftFactor(weights, key));
    wait(full(valueRing, now.stage), now.parity);
    state.sums = multiply(summing, state.sums, left, descriptor(stageOf(values, now.stage), values.spanBytes()));
    release(valueRing, now.stage, lane);
    Turn next = after(now, keyRing);
    return std::pair(state, Values{next.stage, next.parity});
  });
  writeSums(results(state), resultMemory, columns, rowStart, columnBase, writtenColumns());
}

void WarpgroupAttention::emit() {
  beginWarps(kRowsOfGroups);
  end = keyEnd();
  layOut();
  passMap(queries);
  passMap(keys);
  passMap(values);
  auto one = scf::IfOp::create(inside, loc, isEqual(kernel.threadId(), kernel.index(int64_t{0})));
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(one.thenBlock());
    prepare(queryBarrier, 1);
    prepare(keyRing, kReaders);
    prepare(valueRing, kReaders);
    publishBarriers();
  }
  kernel.barrier();
  shareRoles(kernel, kWeighingRegisters, kBringingRegisters, [&] { consume(); }, [&] { produce(); });
  kernel.launch(blocks, kThreadsInAll);
}

} // namespace

bool cuda::emitWarpgroupAttention(const Attention &attention, Operation *anchor, OpOperand *epilogue,
                                  gpu::GPUModuleOp device, StringRef name, const WarpgroupAttentionTile &tile) {
  const Contraction &scores = attention.scores, &values = attention.values;
  if (!hasPlainLines(scores.op, scores.lhs, scores.rows) || !hasPlainLines(scores.op, scores.rhs, scores.columns) ||
      !hasPlainLines(values.op, values.rhs, values.inner))
    return false;
  emitAttentionBy<WarpgroupAttention>(attention, anchor, epilogue, device, name, tile);
  return true;
}
