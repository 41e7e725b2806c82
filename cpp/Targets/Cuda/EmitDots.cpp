//===- EmitDots.cpp - Products whose few rows stay in registers -------------===//
//
// In:  a product of a few rows with many rows of weights (Dots.h): what limits it is how fast the weights come.
// Out: a kernel in which the threads of a block share the depth. Each takes its units of it, keeps what the few rows hold
//      there in registers, and goes from row to row of the weights: 16 bytes each time, the next ones asked for before the
//      last ones are used. Lanes meet by shuffles, warps at the end, in shared memory; nobody waits for anybody before.
//
// The few rows come through shared memory, since neighbouring threads have units that are far apart there. Where they do
// not fit into the registers of a block, it takes the depth panel by panel.
//
// Inside a unit, what all its elements share (a scale, a minimum) is left out of the sum and applied once.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Combine.h"
#include "Targets/Cuda/Dots.h"
#include "Targets/Cuda/ProductEmitter.h"

#include <map>
#include <tuple>

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Elements that are brought to shared memory together, and between how many of them as many are left out: threads whose
/// units are a power of two apart then find them in different banks.
constexpr int64_t kFour = 4, kBetweenGaps = 32;

class DotsEmitter : public ProductEmitter {
public:
  DotsEmitter(const Dots &dots, const DotShape &shape, Nest &nest, Nest *epilogue, unsigned epilogueInput)
      : ProductEmitter(nest, dots.contraction, epilogue, epilogueInput), dots(dots), shape(shape) {}

  void emit();

private:
  using Values = SmallVector<Value>;

  Values pointAt(Value row, Value column, Value unit, ArrayRef<int64_t> within);
  Value addressOf(const BlockedRead &read, ValueRange point);
  Values load(const BlockedRead &read, Value first);
  Value take(const BlockedRead &read, ValueRange blocks, int64_t element);
  Value times(Value a, Value b);
  Value plus(Value a, Value b, bool negative = false);
  using ProductEmitter::times;

  Value unitAt(Value panel, int64_t turn, Value *within);
  void bring(Value panel, int64_t row);
  Values keep();
  Values ask(Value group, Value panel);
  Values multiply(ValueRange asked, ArrayRef<Values> kept, Value panel);
  void leave(ValueRange sums, Value group);
  void panel(Value number);
  void finishAll();
  /// From the sums of a warp to those of the next: far enough that nobody thinks of reading them in one access.
  int64_t pitch() const { return std::max<int64_t>(blockRows * rows, 8); }

  const Dots &dots;
  DotShape shape;
  int64_t rows = 0;      ///< few of them
  int64_t panels = 0;    ///< of the depth
  int64_t blockRows = 0; ///< rows of weights of a block
  bool isWhole = false;  ///< whether blocks have no rows beyond the last
  Type type;
  Value few;     ///< shared memory for one of the few rows
  Value partial; ///< and for the sums of each warp
  Value part, set, partWarp;
};

Value DotsEmitter::times(Value a, Value b) {
  if (isa<FloatType>(type))
    return arith::MulFOp::create(inside, loc, a, b, arith::FastMathFlags::contract);
  return arith::MulIOp::create(inside, loc, a, b);
}

Value DotsEmitter::plus(Value a, Value b, bool negative) {
  auto contract = arith::FastMathFlags::contract;
  if (!isa<FloatType>(type))
    return negative ? arith::SubIOp::create(inside, loc, a, b).getResult()
                    : arith::AddIOp::create(inside, loc, a, b).getResult();
  return negative ? arith::SubFOp::create(inside, loc, a, b, contract).getResult()
                  : arith::AddFOp::create(inside, loc, a, b, contract).getResult();
}

/// The loops of the operation at an element of a unit; `row` of the few, `column` of the many, null where not needed.
SmallVector<Value> DotsEmitter::pointAt(Value row, Value column, Value unit, ArrayRef<int64_t> within) {
  Values here(point);
  auto place = [&](ArrayRef<unsigned> loops, ArrayRef<OpFoldResult> ranges, Value number) {
    if (number)
      for (auto [loop, value] : llvm::zip_equal(loops, kernel.delinearise(number, ranges)))
        here[loop] = value;
  };
  place(contraction.rows, rowRanges, dots.columnsAreMany ? row : column);
  place(contraction.columns, columnRanges, dots.columnsAreMany ? column : row);
  SmallVector<OpFoldResult> steps =
      llvm::map_to_vector(dots.stepSizes, [&](int64_t size) -> OpFoldResult { return inside.getIndexAttr(size); });
  for (auto [loop, value] : llvm::zip_equal(dots.stepLoops, kernel.delinearise(unit, steps)))
    here[loop] = value;
  for (auto [loop, size] : llvm::zip_equal(dots.unitLoops, dots.unitSizes)) {
    bool isStep = loop == dots.stepLoops.back();
    here[loop] = isStep ? add(times(here[loop], size), within[loop]) : kernel.index(within[loop]);
  }
  return here;
}

Value DotsEmitter::addressOf(const BlockedRead &read, ValueRange point) {
  return kernel.address(nest.view(*read.operand), nest.subscripts(*read.operand, point));
}

/// The blocks of an operand, whose first element lies at `first`. Bytes come as words.
SmallVector<Value> DotsEmitter::load(const BlockedRead &read, Value first) {
  Type stored = getElementTypeOrSelf(read.operand->get().getType());
  int64_t bytes = read.width * stored.getIntOrFloatBitWidth() / 8;
  bool asWords = stored.isInteger(8) && bytes >= 4;
  Type element = asWords ? inside.getI32Type() : stored;
  int64_t count = asWords ? bytes / 4 : read.width;
  Type loaded = count == 1 ? element : VectorType::get({count}, element);
  return llvm::map_to_vector(read.blocks, [&](int64_t block) -> Value {
    Value from = block ? kernel.sharedAddress(first, stored, kernel.index(block * read.width)) : first;
    return LLVM::LoadOp::create(inside, loc, loaded, from, bytes);
  });
}

/// One element of what `load` found.
Value DotsEmitter::take(const BlockedRead &read, ValueRange blocks, int64_t element) {
  int64_t offset = read.offsets[element], lane = offset % read.width;
  Value block = blocks[llvm::find(read.blocks, offset / read.width) - read.blocks.begin()];
  Type stored = getElementTypeOrSelf(read.operand->get().getType());
  if (block.getType() == stored)
    return block;
  bool asWords = stored.isInteger(8);
  Value word = block;
  if (isa<VectorType>(block.getType()))
    word = vector::ExtractOp::create(inside, loc, block, ArrayRef<int64_t>{asWords ? lane / 4 : lane});
  if (!asWords)
    return word;
  Value shift = arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(lane % 4 * 8));
  if (lane % 4)
    word = arith::ShRUIOp::create(inside, loc, word, shift);
  return arith::TruncIOp::create(inside, loc, stored, word);
}

/// Number of this thread's unit in a turn. `within`: whether it exists, null where it surely does; else the first stands in.
Value DotsEmitter::unitAt(Value panel, int64_t turn, Value *within) {
  int64_t units = dots.units(), perPanel = shape.turns * shape.threads;
  Value unit = add(add(times(panel, perPanel), part), turn * shape.threads);
  bool exists = panels == 1 ? (turn + 1) * shape.threads <= units : units % perPanel == 0;
  *within = exists ? Value() : below(unit, kernel.index(units));
  return exists ? unit : arith::SelectOp::create(inside, loc, *within, unit, kernel.index(int64_t{0})).getResult();
}

/// Brings a panel of one of the few rows to shared memory, in the order of units: all threads, four elements each time.
void DotsEmitter::bring(Value panel, int64_t row) {
  int64_t perUnit = dots.elements() / kFour, perPanel = shape.turns * shape.threads;
  auto turn = scf::ForOp::create(inside, loc, kernel.threadId(), kernel.index(perPanel * perUnit),
                                 kernel.index(shape.threads * shape.sets));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(turn.getBody());
  Value number = turn.getInductionVar();
  Value unit = add(times(panel, perPanel), divide(number, perUnit));
  Value within = below(unit, kernel.index(dots.units()));
  auto four = VectorType::get({kFour}, type);
  auto found = scf::IfOp::create(inside, loc, TypeRange{four}, within, /*withElse=*/true);
  {
    OpBuilder::InsertionGuard inner(inside);
    inside.setInsertionPointToStart(found.thenBlock());
    SmallVector<int64_t> first(nest.op.getNumLoops(), 0);
    Values base = pointAt(kernel.index(row), {}, unit, first);
    // Where in the unit these four are.
    SmallVector<OpFoldResult> sizes =
        llvm::map_to_vector(dots.unitSizes, [&](int64_t size) -> OpFoldResult { return inside.getIndexAttr(size); });
    Value element = times(rest(number, perUnit), kFour);
    for (auto [loop, value] : llvm::zip_equal(dots.unitLoops, kernel.delinearise(element, sizes)))
      base[loop] = add(base[loop], value);
    Values unused(nest.op.getBlock()->getNumArguments());
    SmallVector<Values> blocks =
        llvm::map_to_vector(dots.others, [&](const BlockedRead &each) { return load(each, addressOf(each, base)); });
    Value vector = LLVM::PoisonOp::create(inside, loc, four);
    for (int64_t i = 0; i < kFour; ++i) {
      Values known(unused), here(base);
      for (auto [read, values] : llvm::zip_equal(dots.others, blocks))
        known[read.operand->getOperandNumber()] = take(read, values, i);
      for (auto [loop, within] : llvm::enumerate(dots.place(i)))
        if (within)
          here[loop] = add(here[loop], within);
      Value value = nest.computeFrom(dots.few, known, here);
      vector = vector::InsertOp::create(inside, loc, value, vector, ArrayRef<int64_t>{i});
    }
    scf::YieldOp::create(inside, loc, vector);
    inside.setInsertionPointToStart(found.elseBlock());
    Value zeros = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(four));
    scf::YieldOp::create(inside, loc, zeros);
  }
  Value position = times(add(number, divide(number, kBetweenGaps / kFour)), kFour);
  LLVM::StoreOp::create(inside, loc, found.getResult(0), kernel.sharedAddress(few, type, position), 16);
}

/// This thread's elements of what was brought, turn by turn.
SmallVector<Value> DotsEmitter::keep() {
  Values found;
  int64_t perUnit = dots.elements() / kFour;
  for (int64_t turn = 0; turn < shape.turns; ++turn)
    for (int64_t i = 0; i < perUnit; ++i) {
      Value number = add(times(part, perUnit), turn * shape.threads * perUnit + i);
      Value position = times(add(number, divide(number, kBetweenGaps / kFour)), kFour);
      Value four = LLVM::LoadOp::create(inside, loc, VectorType::get({kFour}, type),
                                        kernel.sharedAddress(few, type, position), 16);
      for (int64_t lane = 0; lane < kFour; ++lane)
        found.push_back(vector::ExtractOp::create(inside, loc, four, ArrayRef<int64_t>{lane}));
    }
  return found;
}

/// Asks for this thread's units of a group of rows of weights.
SmallVector<Value> DotsEmitter::ask(Value group, Value panel) {
  Values found;
  SmallVector<int64_t> origin(nest.op.getNumLoops(), 0);
  Value base = dots.columnsAreMany ? columnBase : rowBase, count = dots.columnsAreMany ? columnCount : rowCount;
  Value first = add(base, times(set, shape.columns)), ahead = times(group, shape.sets * shape.columns);
  auto further = [&](const BlockedRead &read, Value from, Value rows) {
    Type stored = getElementTypeOrSelf(read.operand->get().getType());
    return read.rowStep ? kernel.sharedAddress(from, stored, times(rows, read.rowStep)) : from;
  };
  for (int64_t turn = 0; turn < shape.turns; ++turn) {
    Value within;
    Values where = pointAt({}, first, unitAt(panel, turn, &within), origin);
    for (const BlockedRead &read : dots.weights) {
      // What the groups have in common stays what it is; rows of a group differ by a constant.
      Value here = addressOf(read, where), there = further(read, here, ahead);
      for (int64_t column = 0; column < shape.columns; ++column) {
        Value from = there;
        if (!isWhole) {
          // Rows beyond the last are the last again; what they sum up to is dropped.
          Value last = arith::SubIOp::create(inside, loc, count, kernel.index(1));
          Value row = arith::MinUIOp::create(inside, loc, add(add(first, ahead), column), last);
          from = further(read, here, arith::SubIOp::create(inside, loc, row, first));
        } else if (column) {
          from = further(read, there, kernel.index(column));
        }
        llvm::append_range(found, load(read, from));
      }
    }
  }
  return found;
}

/// The sums of a group: row of weights by row of weights, each with all of the few rows.
SmallVector<Value> DotsEmitter::multiply(ValueRange asked, ArrayRef<Values> kept, Value panel) {
  int64_t elements = dots.elements();
  Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(type));
  Values sums;
  // In the order in which they were asked for: turns, operands, rows of weights.
  std::map<std::tuple<int64_t, int64_t, const BlockedRead *>, Values> blocksOf;
  for (int64_t turn = 0; turn < shape.turns; ++turn)
    for (const BlockedRead &read : dots.weights)
      for (int64_t column = 0; column < shape.columns; ++column) {
        blocksOf[{turn, column, &read}] = llvm::to_vector(asked.take_front(read.blocks.size()));
        asked = asked.drop_front(read.blocks.size());
      }
  for (int64_t column = 0; column < shape.columns; ++column) {
    Values now(rows, Value());
    for (int64_t turn = 0; turn < shape.turns; ++turn) {
      Value within;
      Value unit = unitAt(panel, turn, &within);
      auto product = [&](ArrayRef<Value> factors, int64_t element) {
        Values known(nest.op.getBlock()->getNumArguments());
        for (const BlockedRead &read : dots.weights)
          known[read.operand->getOperandNumber()] = take(read, blocksOf[{turn, column, &read}], element);
        Values where = pointAt({}, {}, unit, dots.place(element));
        Value found;
        for (Value factor : factors) {
          Value each = nest.computeFrom(factor, known, where);
          found = found ? times(found, each) : each;
        }
        return found;
      };
      Values before(now);
      for (const DotTerm &term : dots.terms) {
        Value scale = product(term.outside, 0);
        bool adds = !scale && !term.negative;
        Values part = adds ? now : Values(rows, Value());
        for (int64_t element = 0; element < elements; ++element) {
          Value weight = product(term.inside, element);
          for (int64_t row = 0; row < rows; ++row) {
            Value other = kept[row][turn * elements + element];
            Value next = weight ? times(other, weight) : other;
            part[row] = part[row] ? plus(part[row], next) : next;
          }
        }
        for (int64_t row = 0; row < rows; ++row) {
          Value all = scale ? times(part[row], scale) : part[row];
          now[row] = adds ? all : plus(now[row] ? now[row] : zero, all, term.negative);
        }
      }
      if (within)
        for (int64_t row = 0; row < rows; ++row)
          now[row] = arith::SelectOp::create(inside, loc, within, now[row], before[row] ? before[row] : zero);
    }
    llvm::append_range(sums, now);
  }
  return sums;
}

/// Adds up the sums of a warp and leaves them in shared memory, added to those of earlier panels.
void DotsEmitter::leave(ValueRange sums, Value group) {
  Value own = times(add(times(group, shape.sets), set), int64_t(sums.size()));
  auto combine = [&](Value a, Value b) { return plus(a, b); };
  for (int64_t done = 0; done < int64_t(sums.size());) {
    int64_t count = std::min<int64_t>(kWarpLanes, sums.size() - done);
    auto [value, number] = acrossLanesEach(kernel, combine, sums.slice(done, count));
    int64_t lanes = kWarpLanes / llvm::PowerOf2Ceil(count);
    Value isFirst =
        arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, rest(lane, lanes), kernel.index(int64_t{0}));
    if (!llvm::isPowerOf2_64(count))
      isFirst = both(isFirst, below(number, kernel.index(count)));
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(scf::IfOp::create(inside, loc, isFirst).thenBlock());
    Value place = add(times(partWarp, pitch()), add(add(own, done), number));
    Value to = kernel.sharedAddress(partial, type, place);
    if (panels > 1)
      value = plus(LLVM::LoadOp::create(inside, loc, type, to), value);
    LLVM::StoreOp::create(inside, loc, value, to);
    done += count;
  }
}

/// One panel of the depth, for all rows of weights of this block.
void DotsEmitter::panel(Value number) {
  Value none = kernel.index(int64_t{0});
  // The first weights are on their way while the few rows are brought.
  Values asked = ask(none, number);
  SmallVector<Values> kept;
  for (int64_t row = 0; row < rows; ++row) {
    // Of the row before, or of the panel before, everybody has what he keeps.
    if (row || panels > 1)
      kernel.barrier();
    bring(number, row);
    kernel.barrier();
    kept.push_back(keep());
  }
  if (shape.groups == 1)
    return leave(multiply(asked, kept, number), none);
  Value last = kernel.index(shape.groups - 1);
  auto loop = scf::ForOp::create(inside, loc, none, last, kernel.index(1), asked);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(loop.getBody());
    Value group = loop.getInductionVar();
    Values next = ask(add(group, 1), number);
    leave(multiply(loop.getRegionIterArgs(), kept, number), group);
    scf::YieldOp::create(inside, loc, next);
  }
  leave(multiply(loop.getResults(), kept, number), last);
}

/// The sums of all warps become results, each of which one thread writes.
void DotsEmitter::finishAll() {
  int64_t warps = shape.threads / kWarpLanes;
  auto turn = scf::ForOp::create(inside, loc, kernel.threadId(), kernel.index(blockRows * rows),
                                 kernel.index(shape.threads * shape.sets));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(turn.getBody());
  Value many = rest(turn.getInductionVar(), blockRows), row = divide(turn.getInductionVar(), blockRows);
  Value place = add(times(many, rows), row);
  Value sum;
  for (int64_t warp = 0; warp < warps; ++warp) {
    Value each =
        LLVM::LoadOp::create(inside, loc, type, kernel.sharedAddress(partial, type, add(place, warp * pitch())));
    sum = sum ? plus(sum, each) : each;
  }
  if (dots.columnsAreMany)
    finish({sum}, row, add(columnBase, many));
  else
    finish({sum}, add(rowBase, many), row);
}

void DotsEmitter::emit() {
  type = contraction.sum->getResult(0).getType();
  auto count = [&](ArrayRef<unsigned> loops) { return getConstantIntValue(kernel.product(nest.rangesOf(loops))); };
  rows = *count(dots.columnsAreMany ? contraction.rows : contraction.columns);
  blockRows = shape.sets * shape.columns * shape.groups;
  std::optional<int64_t> all = count(dots.columnsAreMany ? contraction.columns : contraction.rows);
  isWhole = all && *all % blockRows == 0;
  panels = llvm::divideCeil(dots.units(), shape.turns * shape.threads);
  int64_t warps = shape.threads / kWarpLanes, threads = shape.threads * shape.sets;
  place(dots.columnsAreMany ? rows : blockRows, dots.columnsAreMany ? blockRows : rows);
  part = rest(kernel.threadId(), shape.threads);
  set = divide(kernel.threadId(), shape.threads);
  partWarp = divide(part, kWarpLanes);
  int64_t brought = shape.turns * shape.threads * dots.elements();
  few = kernel.shared(type, brought + brought / kBetweenGaps * kFour);
  partial = kernel.shared(type, pitch() * warps);
  Value none = kernel.index(int64_t{0});
  if (panels == 1) {
    panel(none);
  } else {
    auto clear =
        scf::ForOp::create(inside, loc, kernel.threadId(), kernel.index(pitch() * warps), kernel.index(threads));
    {
      OpBuilder::InsertionGuard guard(inside);
      inside.setInsertionPointToStart(clear.getBody());
      Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(type));
      LLVM::StoreOp::create(inside, loc, zero, kernel.sharedAddress(partial, type, clear.getInductionVar()));
    }
    auto each = scf::ForOp::create(inside, loc, none, kernel.index(panels), kernel.index(1));
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(each.getBody());
    panel(each.getInductionVar());
  }
  kernel.barrier();
  finishAll();
  kernel.launch(blocks, threads);
}

} // namespace

void cuda::emitDots(const Dots &dots, const DotShape &shape, Nest &nest, Nest *epilogue, unsigned epilogueInput) {
  DotsEmitter(dots, shape, nest, epilogue, epilogueInput).emit();
}
