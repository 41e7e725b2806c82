//===- Emitter.cpp - Builds the vector loops of one nest
//--------------------===//
//
// In:  a Nest. Out: scf.for over what is dynamic or large, and inside it blocks
// of points that live in registers.
//
//   lane parallel:   for outer { for lanes by V*U { block } for lanes by V {
//   block } remainder }
//                    block = inits -> for reductions { body of every point } ->
//                    writes
//   lane reduction:  for outer { partials -> for reductions { lanes by V*U, by
//   V, remainder } -> combine -> insert }
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace tilewright::vectorize;

Emitter::Emitter(RewriterBase &b, const Nest &nest)
    : b(b), loc(nest.op->getLoc()), math(b, loc), nest(nest), op(nest.op) {}

bool Emitter::usesOutput(unsigned output) const {
  linalg::GenericOp generic = op;
  return !generic.getRegionOutputArgs()[output].use_empty();
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

Values Emitter::loop(OpFoldResult lo, OpFoldResult hi, int64_t step, Values carried, const LoopBody &body) {
  std::optional<int64_t> l = getConstantIntValue(lo), h = getConstantIntValue(hi);
  if (l && h && *h <= *l)
    return carried;
  if (l && h && *h - *l <= step)
    return body(lo, carried);
  auto forOp = scf::ForOp::create(b, loc, math.value(lo), math.value(hi), math.value(math.constant(step)), carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(forOp.getBody());
  Values results = body(forOp.getInductionVar(), Values(forOp.getRegionIterArgs()));
  scf::YieldOp::create(b, loc, results);
  return Values(forOp.getResults());
}

Values Emitter::loopNest(ArrayRef<unsigned> loops, Indices index, Values carried, const PointStep &step) {
  if (loops.empty())
    return step(index, carried);
  return loop(math.constant(0), size(loops.front()), 1, carried, [&](OpFoldResult iv, Values inner) {
    Indices here(index);
    here[loops.front()] = iv;
    return loopNest(loops.drop_front(), here, inner, step);
  });
}

SmallVector<Indices> Emitter::combinations(ArrayRef<unsigned> loops, const Indices &index) {
  SmallVector<Indices> result{index};
  for (unsigned loop : loops) {
    SmallVector<Indices> next;
    for (const Indices &before : result)
      for (int64_t i = 0; i < nest.sizes[loop]; ++i) {
        next.push_back(before);
        next.back()[loop] = math.constant(i);
      }
    result = std::move(next);
  }
  return result;
}

SmallVector<Point> Emitter::pointsOf(const Indices &index, ArrayRef<Slot> slots) {
  SmallVector<Point> points;
  for (const Indices &outer : combinations(unrolledOuter, index))
    for (int64_t row = 0; row < blockRows; ++row)
      for (const Slot &slot : slots) {
        points.push_back({outer, slot.width, slot.mask, row});
        points.back().index[nest.lane] = slot.base;
        if (blockedOuter)
          points.back().index[*blockedOuter] = math.add(outer[*blockedOuter], math.constant(row));
      }
  return points;
}

void Emitter::splitReductions(ArrayRef<unsigned> loops, SmallVectorImpl<unsigned> &rolled,
                              SmallVectorImpl<unsigned> &unrolled) {
  int64_t copies = 1;
  for (unsigned loop : loops) {
    bool small = nest.isStatic(loop) && nest.sizes[loop] > 0 && nest.sizes[loop] <= kMaxUnrolledTrips &&
                 copies * nest.sizes[loop] <= 2 * kMaxUnrolledTrips;
    if (small)
      copies *= nest.sizes[loop];
    (small ? unrolled : rolled).push_back(loop);
  }
}

Values Emitter::emit() {
  Values tensors(op.getDpsInits());
  for (auto [i, init] : llvm::enumerate(tensors)) {
    initScalars.push_back(nullptr);
    DenseElementsAttr splat;
    auto fill = init.getDefiningOp<linalg::FillOp>();
    if (fill && fill.getInputs()[0].getType() == getElementTypeOrSelf(init.getType())) {
      initScalars.back() = fill.getInputs()[0];
      // Every element is written below, so a fill that nobody else reads has
      // nothing left to do.
      auto readers =
          llvm::make_filter_range(init.getUsers(), [](Operation *user) { return !isa<tensor::DimOp>(user); });
      if (llvm::hasSingleElement(readers) && op.getMatchingIndexingMap(outputOperand(i)).isProjectedPermutation())
        init = fill.getOutputs()[0];
    } else if (matchPattern(init, m_Constant(&splat)) && splat.isSplat()) {
      initScalars.back() = arith::ConstantOp::create(b, loc, splat.getSplatValue<TypedAttr>());
    }
  }
  for (unsigned i = 0, e = nest.sizes.size(); i != e; ++i) {
    auto [operand, dim] = nest.sizeSource[i];
    Value source = op->getOperand(operand);
    while (auto fill = source.getDefiningOp<linalg::FillOp>())
      source = fill.getOutputs()[0];
    loopSizes.push_back(nest.isStatic(i) ? math.constant(nest.sizes[i])
                                         : OpFoldResult(tensor::DimOp::create(b, loc, source, dim).getResult()));
  }
  chooseTile();

  Indices index(nest.sizes.size(), math.constant(0));
  auto inside = [&](const Indices &here, Values carried) {
    if (nest.running && nest.laneIsReduction)
      return runAlong(here, carried);
    return nest.laneIsReduction ? reduceLanes(here, carried) : lanes(here, carried);
  };
  return loopNest(loopedOuter, index, tensors, [&](const Indices &here, Values carried) -> Values {
    if (!blockedOuter)
      return inside(here, carried);
    // As many rows at a time as give enough accumulators, then
    // one at a time.
    OpFoldResult extent = size(*blockedOuter), mainEnd = math.roundDown(extent, blockFactor);
    auto rows = [&](int64_t count) {
      return [&, count](OpFoldResult row, Values inner) {
        Indices at(here);
        at[*blockedOuter] = row;
        blockRows = count;
        return inside(at, inner);
      };
    };
    carried = loop(math.constant(0), mainEnd, blockFactor, carried, rows(blockFactor));
    return loop(mainEnd, extent, 1, carried, rows(1));
  });
}

std::optional<unsigned> Emitter::findResultLoop() {
  // Long rows hide the price of reducing inside a vector.
  if (!nest.laneIsReduction || nest.scalarTail || !llvm::isPowerOf2_64(nest.lanes) ||
      op.getNumDpsInits() * nest.lanes > kMaxTileVectors / 2 ||
      (nest.isStatic(nest.lane) && nest.sizes[nest.lane] > kLongRow))
    return std::nullopt;
  std::optional<unsigned> found;
  for (OpOperand &init : op.getDpsInitsMutable()) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    if (map.getNumResults() == 0 || getElementTypeOrSelf(init.get().getType()).isInteger(1))
      return std::nullopt;
    auto last = dyn_cast<AffineDimExpr>(map.getResults().back());
    if (!last || (found && *found != last.getPosition()) ||
        llvm::any_of(map.getResults().drop_back(),
                     [&](AffineExpr expr) { return expr.isFunctionOfDim(last.getPosition()); }))
      return std::nullopt;
    found = last.getPosition();
  }
  if (nest.isStatic(*found) && nest.sizes[*found] < nest.lanes)
    return std::nullopt;
  return found;
}

void Emitter::chooseTile() {
  int64_t laneSize = nest.sizes[nest.lane];
  bool staticLanes = !nest.laneIsReduction && nest.isStatic(nest.lane);
  int64_t laneVectors = staticLanes ? std::max<int64_t>(1, llvm::divideCeil(laneSize, nest.lanes)) : nest.unroll;
  bool reduces = nest.laneIsReduction || !nest.reductions.empty();
  // A tile that fits the registers is unrolled whole, so that its consumer
  // finds it there. What does not fit is unrolled for its accumulators only.
  int64_t maxPoints = reduces ? kMaxOuterPoints : 1;
  if (staticLanes && laneVectors <= kMaxTileVectors)
    maxPoints = std::max(maxPoints, kMaxTileVectors / laneVectors);
  blockedOuter = nest.transposed ? nest.transposed : findResultLoop();
  if (blockedOuter) {
    blockFactor = nest.lanes;
    maxPoints = 1;
  }
  for (unsigned loop : llvm::reverse(nest.outer)) {
    if (loop == blockedOuter)
      continue;
    if (nest.isStatic(loop) && outerPoints * nest.sizes[loop] <= maxPoints && nest.sizes[loop] > 0) {
      outerPoints *= nest.sizes[loop];
      unrolledOuter.insert(unrolledOuter.begin(), loop);
    } else {
      loopedOuter.insert(loopedOuter.begin(), loop);
    }
  }
  int64_t vectors = outerPoints * std::min(laneVectors, nest.unroll);
  if (reduces && !nest.laneIsReduction && !loopedOuter.empty() && vectors < kWantedAccumulators &&
      outerPoints * laneVectors * kBlockedRows <= kMaxTileVectors) {
    blockedOuter = loopedOuter.back();
    blockFactor = kBlockedRows;
    loopedOuter.pop_back();
  }
}

Values Emitter::lanes(const Indices &index, Values tensors) {
  OpFoldResult extent = size(nest.lane);
  int64_t laneSize = nest.sizes[nest.lane], V = nest.lanes;
  bool squares = nest.transposed.has_value();
  auto fits = [&] {
    int64_t laneVectors = llvm::divideCeil(laneSize, V), vectors = outerPoints * blockRows * laneVectors;
    // Accumulators stay where they are while operands pass by: the vectors of a row, and one value of a column.
    return vectors + (nest.reductions.empty() ? 0 : laneVectors + 1) <= kMaxTileVectors;
  };
  if (nest.isStatic(nest.lane) && !squares && fits()) {
    SmallVector<Slot> slots;
    for (int64_t base = 0; base + V <= laneSize; base += V)
      slots.push_back({math.constant(base), V, nullptr});
    int64_t rest = laneSize % V, from = laneSize - rest;
    bool restInBlock = rest != 0 && (!nest.scalarTail || rest == 1);
    if (restInBlock) {
      int64_t width = llvm::PowerOf2Ceil(rest);
      Value mask;
      if (width != rest)
        mask = vector::CreateMaskOp::create(b, loc, VectorType::get({width}, b.getI1Type()),
                                            math.value(math.constant(rest)));
      slots.push_back({math.constant(from), width, mask});
    }
    if (!slots.empty())
      tensors = block(index, slots, tensors);
    return rest != 0 && !restInBlock ? tail(index, math.constant(from), tensors) : tensors;
  }
  // Reductions hold one accumulator per point: where there are enough of them,
  // one vector along the lanes will do.
  int64_t U = nest.unroll, points = outerPoints * blockRows;
  if (!nest.reductions.empty())
    U = std::min(U, points >= kWantedAccumulators ? 1 : kMaxTileVectors / points);
  if (squares)
    U = 1;
  OpFoldResult mainEnd = math.roundDown(extent, V * U), vectorEnd = math.roundDown(extent, V);
  tensors = loop(math.constant(0), mainEnd, V * U, tensors, [&](OpFoldResult base, Values inner) {
    SmallVector<Slot> slots;
    for (int64_t u = 0; u < U; ++u)
      slots.push_back({math.add(base, math.constant(u * V)), V, nullptr});
    return block(index, slots, inner);
  });
  if (U > 1)
    tensors = loop(mainEnd, vectorEnd, V, tensors,
                   [&](OpFoldResult base, Values inner) { return block(index, Slot{base, V, nullptr}, inner); });
  return tail(index, vectorEnd, tensors);
}

Values Emitter::tail(const Indices &index, OpFoldResult from, Values tensors) {
  OpFoldResult extent = size(nest.lane);
  if (nest.scalarTail)
    return loop(from, extent, 1, tensors,
                [&](OpFoldResult base, Values inner) { return block(index, Slot{base, 1, nullptr}, inner); });
  // None or one trip: less than one vector is left.
  return loop(from, extent, nest.lanes, tensors, [&](OpFoldResult base, Values inner) {
    Value mask = vector::CreateMaskOp::create(b, loc, VectorType::get({nest.lanes}, b.getI1Type()),
                                              math.value(math.sub(extent, base)));
    return block(index, Slot{base, nest.lanes, mask}, inner);
  });
}

Values Emitter::block(const Indices &index, ArrayRef<Slot> slots, Values tensors) {
  SmallVector<Point> points = pointsOf(index, slots);
  unsigned numOutputs = tensors.size();
  if (nest.reductions.empty()) {
    squares.clear();
    if (nest.transposed && blockRows == nest.lanes && slots.size() == 1 && slots.front().width == nest.lanes)
      readTransposed(points.front());
    // Each point is finished before the next: one vector's intermediate values
    // are alive at a time.
    for (const Point &point : points) {
      Values outputs(numOutputs);
      for (unsigned o = 0; o < numOutputs; ++o) {
        bool readAsInput = llvm::is_contained(nest.sameAsOutput, static_cast<int>(o));
        if (readAsInput || usesOutput(o))
          outputs[o] = readInit(o, point, tensors[o]);
      }
      Values results = evaluateBody(point, outputs);
      for (unsigned o = 0; o < numOutputs; ++o)
        tensors[o] = writeOutput(o, point, results[o], tensors[o]);
    }
    return tensors;
  }
  if (nest.running)
    return runAcross(points, tensors);
  Values accumulators;
  for (const Point &point : points)
    for (unsigned o = 0; o < numOutputs; ++o)
      accumulators.push_back(widen(readInit(o, point, tensors[o]), point.width));
  accumulators = nest.factoring ? accumulateGroups(points, accumulators) : accumulate(points, accumulators);
  for (auto [p, point] : llvm::enumerate(points))
    for (unsigned o = 0; o < numOutputs; ++o)
      tensors[o] = writeOutput(o, point, accumulators[p * numOutputs + o], tensors[o]);
  return tensors;
}
