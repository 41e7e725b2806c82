//===- OverlapRows.cpp - One row's sums beside the next row's vectors -----===//
//
// In:  in kernels that `tw.overlap` marks, a loop over rows that goes along each row several times: for its maximum, for
// what the maximum is needed for, for what that adds up to. Out: the same loop, in which the first of these walks is
// along one row while the second is along the row before it, and the third along the one before that: they become one
// loop. Before and after these rows, and where there are too few, each walk goes alone.
// A walk waits for what the one before it found, and that for its last vector. Walks along different rows wait for nothing
// but their own instructions.
//
//   for row { m = for j { max(x[row, j]) }            for i { steady: m', s' = for j { max(x[i, j])
//             s = for j { t[j] = exp(x[row, j] - m) }                                  t[i - 1][j] = exp(x[i - 1, j] - m)
//             for j { y[row, j] = t[j] / s } }                                         y[i - 2, j] = t[i - 2][j] / s }
//                                                             otherwise: each of them if there is a row for it }
//
// Here, where buffers say what may share memory, and before tasks become functions.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/RowSteps.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"

namespace tilewright {
#define GEN_PASS_DEF_CPUOVERLAPROWSPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;
using namespace tilewright::overlap;

namespace {

constexpr int64_t kLineBytes = 64;

/// Writes the new loop over rows.
class Writer {
public:
  explicit Writer(RowSteps &steps) : steps(steps), rows(steps.rows), b(steps.rows), loc(steps.rows.getLoc()) {}

  void write() {
    Value lower = rows.getLowerBound(), step = rows.getStep();
    Value extent = arith::MulIOp::create(b, loc, step, index(last()));
    Value upper = arith::AddIOp::create(b, loc, rows.getUpperBound(), extent);
    SmallVector<Value> initial;
    for (const Carried &value : steps.carried)
      for (int64_t age = 0; age < value.rows; ++age)
        initial.push_back(arith::ConstantOp::create(b, loc, b.getZeroAttr(value.value.getType())));
    for (const Ring &ring : steps.rings)
      if (ring.rows > 1)
        makeRing(ring);

    auto loop = scf::ForOp::create(b, loc, lower, upper, step, initial);
    if (initial.empty())
      loop.getBody()->getTerminator()->erase();
    old = loop.getRegionIterArgs();
    b.setInsertionPointToStart(loop.getBody());
    iteration = loop.getInductionVar();
    for (int64_t stage = 0; stage <= last(); ++stage)
      rowOf.push_back(stage == 0 ? iteration
                                 : arith::SubIOp::create(b, loc, iteration,
                                                         arith::MulIOp::create(b, loc, step, index(stage)).getResult())
                                       .getResult());
    Value begun = compare(arith::CmpIPredicate::sge, rowOf.back(), lower);
    Value going = compare(arith::CmpIPredicate::slt, iteration, rows.getUpperBound());
    Value steady = arith::AndIOp::create(b, loc, begun, going);
    auto both = scf::IfOp::create(b, loc, TypeRange(ValueRange(initial)), steady, /*addThenBlock=*/true,
                                  /*addElseBlock=*/true);
    scf::YieldOp::create(b, loc, both.getResults());

    b.setInsertionPointToStart(&both.getThenRegion().front());
    SmallVector<int64_t> all = llvm::to_vector(llvm::seq<int64_t>(0, steps.stages));
    SmallVector<Value> fresh = emit(all);
    scf::YieldOp::create(b, loc, aged(fresh));

    b.setInsertionPointToStart(&both.getElseRegion().front());
    fresh.clear();
    for (int64_t stage : all)
      llvm::append_range(fresh, emitIfThere(stage));
    scf::YieldOp::create(b, loc, aged(fresh));
    rows.erase();
  }

private:
  int64_t last() const { return steps.stages - 1; }
  Value index(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }
  Value compare(arith::CmpIPredicate predicate, Value lhs, Value rhs) {
    return arith::CmpIOp::create(b, loc, predicate, lhs, rhs);
  }

  /// Place for as many rows as are under way between the first and the last step that uses them.
  void makeRing(const Ring &ring) {
    auto type = cast<MemRefType>(ring.buffer.getType());
    SmallVector<int64_t> shape{ring.rows};
    llvm::append_range(shape, type.getShape());
    // Each row begins where the buffer did: at the beginning of a line, if it did.
    if (type.getRank() > 0 && type.getElementType().isIntOrFloat())
      shape.back() = llvm::alignTo(shape.back(), llvm::divideCeil(8 * kLineBytes, type.getElementTypeBitWidth()));
    auto alloca = ring.buffer.getDefiningOp<memref::AllocaOp>();
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(alloca);
    ringOf[ring.buffer] = memref::AllocaOp::create(b, alloca.getLoc(), MemRefType::get(shape, type.getElementType()),
                                                   ValueRange(), ValueRange(), alloca.getAlignmentAttr());
  }

  /// The part of the ring that belongs to the row of `stage`.
  Value slot(const Ring &ring, int64_t stage) {
    Value count = arith::SubIOp::create(b, loc, iteration, rows.getLowerBound());
    count = arith::DivUIOp::create(b, loc, count, rows.getStep());
    count = arith::AddIOp::create(b, loc, count, index(last() - stage));
    Value place = arith::RemUIOp::create(b, loc, count, index(ring.rows));
    auto type = cast<MemRefType>(ring.buffer.getType());
    OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
    SmallVector<OpFoldResult> offsets{OpFoldResult(place)}, sizes{one}, strides(type.getRank() + 1, one);
    offsets.append(type.getRank(), zero);
    llvm::append_range(sizes, getAsIndexOpFoldResult(b.getContext(), type.getShape()));
    Value whole = ringOf.lookup(ring.buffer);
    auto part = cast<MemRefType>(memref::SubViewOp::inferRankReducedResultType(
        type.getShape(), cast<MemRefType>(whole.getType()), offsets, sizes, strides));
    return memref::SubViewOp::create(b, loc, part, whole, offsets, sizes, strides);
  }

  /// What a stage reads: its row, values of the stages before it, its places in rings.
  IRMapping begin(int64_t stage) {
    IRMapping map;
    map.map(rows.getInductionVar(), rowOf[stage]);
    unsigned position = 0;
    for (const Carried &value : steps.carried) {
      if (int64_t age = stage - value.stage; age > 0 && age <= value.rows)
        map.map(value.value, old[position + age - 1]);
      position += value.rows;
    }
    for (const Ring &ring : steps.rings)
      if (ring.rows > 1 && stage >= ring.stage && stage < ring.stage + ring.rows)
        map.map(ring.buffer, slot(ring, stage));
    for (const Member &member : steps.members)
      if (member.everywhere)
        b.clone(*member.op, map);
    return map;
  }

  /// The given stages, each on its row, their walks in one loop. Returns what later iterations need of them.
  SmallVector<Value> emit(ArrayRef<int64_t> stages) {
    DenseMap<int64_t, IRMapping> maps;
    for (int64_t stage : stages)
      maps[stage] = begin(stage);
    auto alone = [&](bool after) {
      for (int64_t stage : stages)
        for (const Member &member : steps.members)
          if (!member.everywhere && !member.walk && member.stage == stage && member.after == after)
            b.clone(*member.op, maps[stage]);
    };
    alone(/*after=*/false);
    walk(stages, maps);
    alone(/*after=*/true);
    SmallVector<Value> fresh;
    for (int64_t stage : stages)
      for (const Carried &value : steps.carried)
        if (value.stage == stage)
          fresh.push_back(maps[stage].lookup(value.value));
    return fresh;
  }

  /// One loop for all walks of the given stages.
  void walk(ArrayRef<int64_t> stages, DenseMap<int64_t, IRMapping> &maps) {
    SmallVector<const Member *> walks;
    for (int64_t stage : stages)
      for (const Member &member : steps.members)
        if (member.walk && member.stage == stage)
          walks.push_back(&member);
    if (walks.empty())
      return;
    SmallVector<Value> initial;
    for (const Member *member : walks)
      for (Value init : cast<scf::ForOp>(member->op).getInitArgs())
        initial.push_back(maps[member->stage].lookupOrDefault(init));
    scf::ForOp model = steps.model;
    auto loop = scf::ForOp::create(b, loc, model.getLowerBound(), model.getUpperBound(), model.getStep(), initial);
    if (initial.empty())
      loop.getBody()->getTerminator()->erase();
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> yielded;
    unsigned position = 0;
    for (const Member *member : walks) {
      auto single = cast<scf::ForOp>(member->op);
      IRMapping &map = maps[member->stage];
      map.map(single.getInductionVar(), loop.getInductionVar());
      for (auto [inside, result] : llvm::zip(single.getRegionIterArgs(), single.getResults())) {
        map.map(inside, loop.getRegionIterArg(position));
        map.map(result, loop.getResult(position++));
      }
      for (Operation &op : single.getBody()->without_terminator()) {
        // What the stage has written at this very place is still in a register.
        auto read = dyn_cast<vector::TransferReadOp>(op);
        if (Value written = read ? steps.forwarded.lookup(read) : Value())
          map.map(read.getResult(), map.lookupOrDefault(written));
        else
          b.clone(op, map);
      }
      for (Value value : single.getBody()->getTerminator()->getOperands())
        yielded.push_back(map.lookupOrDefault(value));
    }
    scf::YieldOp::create(b, loc, yielded);
  }

  /// One stage, if there is a row for it.
  SmallVector<Value> emitIfThere(int64_t stage) {
    SmallVector<Value> before;
    unsigned position = 0;
    for (const Carried &value : steps.carried) {
      if (value.stage == stage)
        before.push_back(old[position]);
      position += value.rows;
    }
    Value begun = compare(arith::CmpIPredicate::sge, rowOf[stage], rows.getLowerBound());
    Value going = compare(arith::CmpIPredicate::slt, rowOf[stage], rows.getUpperBound());
    Value there = arith::AndIOp::create(b, loc, begun, going);
    auto guarded = scf::IfOp::create(b, loc, TypeRange(ValueRange(before)), there, /*addThenBlock=*/true,
                                     /*addElseBlock=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&guarded.getThenRegion().front());
    scf::YieldOp::create(b, loc, emit(stage));
    b.setInsertionPointToStart(&guarded.getElseRegion().front());
    scf::YieldOp::create(b, loc, before);
    return SmallVector<Value>(guarded.getResults());
  }

  /// The values for the next iteration: `fresh` ones, stage by stage, and those that are a row older now.
  SmallVector<Value> aged(ArrayRef<Value> fresh) {
    SmallVector<Value> result;
    unsigned position = 0, next = 0;
    for (const Carried &value : steps.carried)
      for (int64_t age = 0; age < value.rows; ++age, ++position)
        result.push_back(age == 0 ? fresh[next++] : old[position - 1]);
    return result;
  }

  RowSteps &steps;
  scf::ForOp rows;
  OpBuilder b;
  Location loc;
  Value iteration;
  SmallVector<Value> rowOf;
  ValueRange old;
  DenseMap<Value, Value> ringOf;
};

struct CpuOverlapRows : tilewright::impl::CpuOverlapRowsPassBase<CpuOverlapRows> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    // Buffers of kernels do not alias; elsewhere nobody says so.
    if (!function->hasAttr("tw.overlap") || !function->hasAttr("tw.kernel"))
      return;
    SmallVector<scf::ForOp> loops;
    function.walk([&](scf::ForOp loop) {
      if (RowSteps::mayHave(loop))
        loops.push_back(loop);
    });
    for (scf::ForOp loop : loops)
      if (std::optional<RowSteps> steps = RowSteps::of(loop)) {
        Writer(*steps).write();
        ++numLoops;
      }
  }
};

} // namespace
