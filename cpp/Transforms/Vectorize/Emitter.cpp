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

/// Vectors of one register tile: what AVX-512 has registers for.
static constexpr int64_t kMaxTileVectors = 32;
/// Parallel loops around the lanes that are unrolled together.
static constexpr int64_t kMaxOuterPoints = 16;
/// A reduction loop of so few steps is unrolled.
static constexpr int64_t kMaxUnrolledTrips = 4;
/// Two FMA units of four cycles latency are busy with so many independent
/// accumulators.
static constexpr int64_t kWantedAccumulators = 8;
/// Rows that are taken together where their number is not known.
static constexpr int64_t kBlockedRows = 4;

Emitter::Emitter(RewriterBase &b, const Nest &nest)
    : b(b), loc(nest.op->getLoc()), math(b, loc), nest(nest), op(nest.op) {}

bool Emitter::usesOutput(unsigned output) const {
  linalg::GenericOp generic = op;
  return !generic.getRegionOutputArgs()[output].use_empty();
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

Values Emitter::loop(OpFoldResult lo, OpFoldResult hi, int64_t step,
                     Values carried, const LoopBody &body) {
  std::optional<int64_t> l = getConstantIntValue(lo),
                         h = getConstantIntValue(hi);
  if (l && h && *h <= *l)
    return carried;
  if (l && h && *h - *l <= step)
    return body(lo, carried);
  auto forOp = scf::ForOp::create(b, loc, math.value(lo), math.value(hi),
                                  math.value(math.constant(step)), carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(forOp.getBody());
  Values results =
      body(forOp.getInductionVar(), Values(forOp.getRegionIterArgs()));
  scf::YieldOp::create(b, loc, results);
  return Values(forOp.getResults());
}

Values Emitter::loopNest(ArrayRef<unsigned> loops, Indices index,
                         Values carried, const PointStep &step) {
  if (loops.empty())
    return step(index, carried);
  return loop(math.constant(0), size(loops.front()), 1, carried,
              [&](OpFoldResult iv, Values inner) {
                Indices here(index);
                here[loops.front()] = iv;
                return loopNest(loops.drop_front(), here, inner, step);
              });
}

SmallVector<Indices> Emitter::combinations(ArrayRef<unsigned> loops,
                                           const Indices &index) {
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

SmallVector<Point> Emitter::pointsOf(const Indices &index,
                                     ArrayRef<Slot> slots) {
  SmallVector<Point> points;
  for (const Indices &outer : combinations(unrolledOuter, index))
    for (int64_t row = 0; row < blockRows; ++row)
      for (const Slot &slot : slots) {
        points.push_back({outer, slot.width, slot.mask});
        points.back().index[nest.lane] = slot.base;
        if (blockedOuter)
          points.back().index[*blockedOuter] =
              math.add(outer[*blockedOuter], math.constant(row));
      }
  return points;
}

void Emitter::splitReductions(SmallVectorImpl<unsigned> &rolled,
                              SmallVectorImpl<unsigned> &unrolled) {
  int64_t copies = 1;
  for (unsigned loop : nest.reductions) {
    bool small = nest.isStatic(loop) && nest.sizes[loop] > 0 &&
                 nest.sizes[loop] <= kMaxUnrolledTrips &&
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
    if (auto fill = init.getDefiningOp<linalg::FillOp>()) {
      initScalars.back() = fill.getInputs()[0];
      // Every element is written below, so a fill that nobody else reads has
      // nothing left to do.
      auto readers =
          llvm::make_filter_range(init.getUsers(), [](Operation *user) {
            return !isa<tensor::DimOp>(user);
          });
      if (llvm::hasSingleElement(readers) &&
          op.getMatchingIndexingMap(outputOperand(i)).isProjectedPermutation())
        init = fill.getOutputs()[0];
    } else if (matchPattern(init, m_Constant(&splat)) && splat.isSplat()) {
      initScalars.back() =
          arith::ConstantOp::create(b, loc, splat.getSplatValue<TypedAttr>());
    }
  }
  for (unsigned i = 0, e = nest.sizes.size(); i != e; ++i) {
    auto [operand, dim] = nest.sizeSource[i];
    Value source = op->getOperand(operand);
    while (auto fill = source.getDefiningOp<linalg::FillOp>())
      source = fill.getOutputs()[0];
    loopSizes.push_back(
        nest.isStatic(i)
            ? math.constant(nest.sizes[i])
            : OpFoldResult(
                  tensor::DimOp::create(b, loc, source, dim).getResult()));
  }
  chooseTile();

  Indices index(nest.sizes.size(), math.constant(0));
  auto inside = [&](const Indices &here, Values carried) {
    return nest.laneIsReduction ? reduceLanes(here, carried)
                                : lanes(here, carried);
  };
  return loopNest(loopedOuter, index, tensors,
                  [&](const Indices &here, Values carried) -> Values {
                    if (!blockedOuter)
                      return inside(here, carried);
                    // As many rows at a time as give enough accumulators, then
                    // one at a time.
                    OpFoldResult extent = size(*blockedOuter),
                                 mainEnd = math.roundDown(extent, kBlockedRows);
                    auto rows = [&](int64_t count) {
                      return [&, count](OpFoldResult row, Values inner) {
                        Indices at(here);
                        at[*blockedOuter] = row;
                        blockRows = count;
                        return inside(at, inner);
                      };
                    };
                    carried = loop(math.constant(0), mainEnd, kBlockedRows,
                                   carried, rows(kBlockedRows));
                    return loop(mainEnd, extent, 1, carried, rows(1));
                  });
}

void Emitter::chooseTile() {
  int64_t laneSize = nest.sizes[nest.lane];
  bool staticLanes = !nest.laneIsReduction && nest.isStatic(nest.lane);
  int64_t laneVectors =
      staticLanes ? std::max<int64_t>(1, llvm::divideCeil(laneSize, nest.lanes))
                  : nest.unroll;
  bool reduces = nest.laneIsReduction || !nest.reductions.empty();
  // A tile that fits the registers is unrolled whole, so that its consumer
  // finds it there. What does not fit is unrolled for its accumulators only.
  int64_t maxPoints = reduces ? kMaxOuterPoints : 1;
  if (staticLanes && laneVectors <= kMaxTileVectors)
    maxPoints = std::max(maxPoints, kMaxTileVectors / laneVectors);
  for (unsigned loop : llvm::reverse(nest.outer)) {
    if (nest.isStatic(loop) && outerPoints * nest.sizes[loop] <= maxPoints &&
        nest.sizes[loop] > 0) {
      outerPoints *= nest.sizes[loop];
      unrolledOuter.insert(unrolledOuter.begin(), loop);
    } else {
      loopedOuter.insert(loopedOuter.begin(), loop);
    }
  }
  int64_t vectors = outerPoints * std::min(laneVectors, nest.unroll);
  if (reduces && !nest.laneIsReduction && !loopedOuter.empty() &&
      vectors < kWantedAccumulators &&
      outerPoints * laneVectors * kBlockedRows <= kMaxTileVectors) {
    blockedOuter = loopedOuter.back();
    loopedOuter.pop_back();
  }
}

Values Emitter::lanes(const Indices &index, Values tensors) {
  OpFoldResult extent = size(nest.lane);
  int64_t laneSize = nest.sizes[nest.lane], V = nest.lanes;
  if (nest.isStatic(nest.lane) &&
      outerPoints * blockRows * llvm::divideCeil(laneSize, V) <=
          kMaxTileVectors) {
    SmallVector<Slot> slots;
    for (int64_t base = 0; base + V <= laneSize; base += V)
      slots.push_back({math.constant(base), V, nullptr});
    int64_t rest = laneSize % V, from = laneSize - rest;
    bool restInBlock = rest != 0 && (!nest.scalarTail || rest == 1);
    if (restInBlock) {
      int64_t width = llvm::PowerOf2Ceil(rest);
      Value mask;
      if (width != rest)
        mask = vector::CreateMaskOp::create(
            b, loc, VectorType::get({width}, b.getI1Type()),
            math.value(math.constant(rest)));
      slots.push_back({math.constant(from), width, mask});
    }
    if (!slots.empty())
      tensors = block(index, slots, tensors);
    return rest != 0 && !restInBlock ? tail(index, math.constant(from), tensors)
                                     : tensors;
  }
  // Reductions hold one accumulator per point: where there are enough of them,
  // one vector along the lanes will do.
  int64_t U = nest.unroll, points = outerPoints * blockRows;
  if (!nest.reductions.empty())
    U = std::min(U,
                 points >= kWantedAccumulators ? 1 : kMaxTileVectors / points);
  OpFoldResult mainEnd = math.roundDown(extent, V * U),
               vectorEnd = math.roundDown(extent, V);
  tensors = loop(math.constant(0), mainEnd, V * U, tensors,
                 [&](OpFoldResult base, Values inner) {
                   SmallVector<Slot> slots;
                   for (int64_t u = 0; u < U; ++u)
                     slots.push_back(
                         {math.add(base, math.constant(u * V)), V, nullptr});
                   return block(index, slots, inner);
                 });
  if (U > 1)
    tensors = loop(mainEnd, vectorEnd, V, tensors,
                   [&](OpFoldResult base, Values inner) {
                     return block(index, Slot{base, V, nullptr}, inner);
                   });
  return tail(index, vectorEnd, tensors);
}

Values Emitter::tail(const Indices &index, OpFoldResult from, Values tensors) {
  OpFoldResult extent = size(nest.lane);
  if (nest.scalarTail)
    return loop(from, extent, 1, tensors, [&](OpFoldResult base, Values inner) {
      return block(index, Slot{base, 1, nullptr}, inner);
    });
  // None or one trip: less than one vector is left.
  return loop(from, extent, nest.lanes, tensors,
              [&](OpFoldResult base, Values inner) {
                Value mask = vector::CreateMaskOp::create(
                    b, loc, VectorType::get({nest.lanes}, b.getI1Type()),
                    math.value(math.sub(extent, base)));
                return block(index, Slot{base, nest.lanes, mask}, inner);
              });
}

Values Emitter::block(const Indices &index, ArrayRef<Slot> slots,
                      Values tensors) {
  SmallVector<Point> points = pointsOf(index, slots);
  unsigned numOutputs = tensors.size();
  if (nest.reductions.empty()) {
    // Each point is finished before the next: one vector's intermediate values
    // are alive at a time.
    for (const Point &point : points) {
      Values outputs(numOutputs);
      for (unsigned o = 0; o < numOutputs; ++o) {
        bool readAsInput =
            llvm::is_contained(nest.sameAsOutput, static_cast<int>(o));
        if (readAsInput || usesOutput(o))
          outputs[o] = readInit(o, point, tensors[o]);
      }
      Values results = evaluateBody(point, outputs);
      for (unsigned o = 0; o < numOutputs; ++o)
        tensors[o] = writeOutput(o, point, results[o], tensors[o]);
    }
    return tensors;
  }
  Values accumulators;
  for (const Point &point : points)
    for (unsigned o = 0; o < numOutputs; ++o)
      accumulators.push_back(
          widen(readInit(o, point, tensors[o]), point.width));
  accumulators = accumulate(points, accumulators);
  for (auto [p, point] : llvm::enumerate(points))
    for (unsigned o = 0; o < numOutputs; ++o)
      tensors[o] =
          writeOutput(o, point, accumulators[p * numOutputs + o], tensors[o]);
  return tensors;
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Value Emitter::combine(unsigned output, Value lhs, Value rhs) {
  Operation *combiner = nest.combiners[output];
  OperationState state(loc, combiner->getName().getIdentifier(), {lhs, rhs},
                       lhs.getType(), combiner->getAttrs());
  return b.create(state)->getResult(0);
}

Value Emitter::combineTree(unsigned output, Values parts) {
  while (parts.size() > 1) {
    Values next;
    for (size_t i = 0; i + 1 < parts.size(); i += 2)
      next.push_back(combine(output, parts[i], parts[i + 1]));
    if (parts.size() % 2 != 0)
      next.push_back(parts.back());
    parts = std::move(next);
  }
  return parts.front();
}

Value Emitter::neutral(unsigned output, int64_t width) {
  TypedAttr element = *arith::getNeutralElement(nest.combiners[output]);
  return widen(arith::ConstantOp::create(b, loc, element), width);
}

Values Emitter::accumulate(ArrayRef<Point> points, Values inits) {
  unsigned numOutputs = nest.combiners.size();
  size_t perSet = inits.size();
  SmallVector<unsigned> rolled, unrolled;
  splitReductions(rolled, unrolled);
  SmallVector<Indices> copies = combinations(unrolled, points.front().index);

  // A tile with few accumulators waits for the latency of each: several sets of
  // partial sums, added up at the end, keep the units busy. Every set starts
  // neutral but the first.
  bool mayReassociate =
      llvm::all_of(nest.combiners, [](Operation *c) { return c != nullptr; });
  int64_t wanted = mayReassociate
                       ? std::max<int64_t>(1, kWantedAccumulators /
                                                  static_cast<int64_t>(perSet))
                       : 1;
  wanted = std::min<int64_t>(wanted, 4);
  bool whole = llvm::all_of(
      points, [&](const Point &p) { return p.width == nest.lanes && !p.mask; });
  int64_t sets = std::min<int64_t>(wanted, copies.size());
  int64_t step = 1;
  if (whole && !rolled.empty() && sets < wanted) {
    step = std::max<int64_t>(1, wanted / sets);
    if (nest.isStatic(rolled.back()))
      while (nest.sizes[rolled.back()] % step != 0)
        --step;
    sets *= step;
  }
  Values partials(inits);
  for (int64_t s = 1; s < sets; ++s)
    for (size_t i = 0; i < perSet; ++i)
      partials.push_back(neutral(i % numOutputs, points[i / numOutputs].width));

  auto atIndex = [&](const Indices &index, int64_t shift, Values accs) {
    for (auto [c, copy] : llvm::enumerate(copies)) {
      int64_t set = (c + shift * static_cast<int64_t>(copies.size())) % sets;
      for (auto [p, point] : llvm::enumerate(points)) {
        Point here = point;
        for (unsigned loop : rolled)
          here.index[loop] = index[loop];
        for (unsigned loop : unrolled)
          here.index[loop] = copy[loop];
        size_t first = set * perSet + p * numOutputs;
        Values results =
            evaluateBody(here, ArrayRef(accs).slice(first, numOutputs));
        for (unsigned o = 0; o < numOutputs; ++o)
          accs[first + o] = widen(results[o], point.width);
      }
    }
    return accs;
  };

  ArrayRef<unsigned> outerLoops(rolled);
  if (step == 1) {
    partials = loopNest(outerLoops, points.front().index, partials,
                        [&](const Indices &index, Values accs) {
                          return atIndex(index, 0, accs);
                        });
  } else {
    unsigned innermost = rolled.back();
    auto inner = [&](const Indices &index, Values accs) {
      OpFoldResult extent = size(innermost),
                   mainEnd = math.roundDown(extent, step);
      accs = loop(math.constant(0), mainEnd, step, accs,
                  [&](OpFoldResult iv, Values carried) {
                    for (int64_t s = 0; s < step; ++s) {
                      Indices here(index);
                      here[innermost] = math.add(iv, math.constant(s));
                      carried = atIndex(here, s, carried);
                    }
                    return carried;
                  });
      return loop(mainEnd, extent, 1, accs,
                  [&](OpFoldResult iv, Values carried) {
                    Indices here(index);
                    here[innermost] = iv;
                    return atIndex(here, 0, carried);
                  });
    };
    partials =
        loopNest(outerLoops.drop_back(), points.front().index, partials, inner);
  }
  if (sets == 1)
    return partials;
  Values results;
  for (size_t i = 0; i < perSet; ++i) {
    Values parts;
    for (int64_t s = 0; s < sets; ++s)
      parts.push_back(partials[s * perSet + i]);
    results.push_back(combineTree(i % numOutputs, parts));
  }
  return results;
}

Values Emitter::reduceLanes(const Indices &index, Values tensors) {
  int64_t V = nest.lanes;
  unsigned numOutputs = tensors.size();
  SmallVector<Point> points =
      pointsOf(index, Slot{math.constant(0), V, nullptr});
  int64_t accumulators = points.size() * numOutputs;
  int64_t U = std::max<int64_t>(
      1, std::min(nest.unroll, kMaxTileVectors / 2 / accumulators));
  if (nest.isStatic(nest.lane))
    U = std::max<int64_t>(1, std::min(U, nest.sizes[nest.lane] / V));

  // Per point and output: U vectors, and a scalar for the remainder where it
  // cannot be masked.
  int64_t perPoint = U + (nest.scalarTail ? 1 : 0);
  Values partials;
  for (int64_t p = 0; p < accumulators; ++p)
    for (int64_t u = 0; u < perPoint; ++u)
      partials.push_back(neutral(p % numOutputs, u < U ? V : 1));
  SmallVector<unsigned> rolled, unrolled;
  splitReductions(rolled, unrolled);
  partials =
      loopNest(rolled, index, partials, [&](const Indices &here, Values accs) {
        for (const Indices &copy : combinations(unrolled, here))
          accs = reduceLanesOnce(points, copy, accs, perPoint);
        return accs;
      });

  for (auto [p, point] : llvm::enumerate(points))
    for (unsigned o = 0; o < numOutputs; ++o) {
      ArrayRef<Value> mine =
          ArrayRef(partials).slice((p * numOutputs + o) * perPoint, perPoint);
      Value vec = combineTree(o, Values(mine.take_front(U)));
      // The order inside the last vector is the target's choice; it does not
      // depend on shape or threads.
      auto flags = arith::FastMathFlags::none;
      if (auto fast =
              dyn_cast<arith::ArithFastMathInterface>(nest.combiners[o]))
        flags = fast.getFastMathFlagsAttr().getValue() |
                arith::FastMathFlags::reassoc;
      Value result = vector::ReductionOp::create(
          b, loc, *combiningKind(nest.combiners[o]), vec, flags);
      if (nest.scalarTail)
        result = combine(o, result, mine.back());
      result = combine(o, readInit(o, point, tensors[o]), result);
      tensors[o] = writeOutput(o, point, result, tensors[o]);
    }
  return tensors;
}

Values Emitter::reduceLanesOnce(ArrayRef<Point> points, const Indices &index,
                                Values partials, int64_t perPoint) {
  int64_t V = nest.lanes, U = perPoint - (nest.scalarTail ? 1 : 0);
  unsigned numOutputs = nest.combiners.size();
  OpFoldResult extent = size(nest.lane);
  // One vector (or scalar) of lanes at `base` goes into partial `u` of every
  // point.
  auto step = [&](OpFoldResult base, int64_t width, Value mask, int64_t u,
                  Values accs) {
    for (auto [p, point] : llvm::enumerate(points)) {
      Point here{index, width, mask};
      for (unsigned loop : unrolledOuter)
        here.index[loop] = point.index[loop];
      here.index[nest.lane] = base;
      Values before;
      for (unsigned o = 0; o < numOutputs; ++o)
        before.push_back(accs[(p * numOutputs + o) * perPoint + u]);
      Values after = evaluateBody(here, before);
      for (unsigned o = 0; o < numOutputs; ++o)
        accs[(p * numOutputs + o) * perPoint + u] =
            mask ? arith::SelectOp::create(b, loc, mask, after[o], before[o])
                       .getResult()
                 : after[o];
    }
    return accs;
  };

  OpFoldResult vectorEnd = math.roundDown(extent, V);
  std::optional<int64_t> vectors = getConstantIntValue(vectorEnd);
  if (vectors &&
      *vectors / V * static_cast<int64_t>(points.size()) <= kMaxOuterPoints) {
    for (int64_t i = 0; i < *vectors / V; ++i)
      partials = step(math.constant(i * V), V, nullptr, i % U, partials);
  } else {
    OpFoldResult mainEnd = math.roundDown(extent, V * U);
    partials = loop(math.constant(0), mainEnd, V * U, partials,
                    [&](OpFoldResult base, Values accs) {
                      for (int64_t u = 0; u < U; ++u)
                        accs = step(math.add(base, math.constant(u * V)), V,
                                    nullptr, u, accs);
                      return accs;
                    });
    if (U > 1)
      partials = loop(mainEnd, vectorEnd, V, partials,
                      [&](OpFoldResult base, Values accs) {
                        return step(base, V, nullptr, 0, accs);
                      });
  }
  if (nest.scalarTail)
    return loop(vectorEnd, extent, 1, partials,
                [&](OpFoldResult base, Values accs) {
                  return step(base, 1, nullptr, U, accs);
                });
  return loop(vectorEnd, extent, V, partials,
              [&](OpFoldResult base, Values accs) {
                Value mask = vector::CreateMaskOp::create(
                    b, loc, VectorType::get({V}, b.getI1Type()),
                    math.value(math.sub(extent, base)));
                return step(base, V, mask, 0, accs);
              });
}
