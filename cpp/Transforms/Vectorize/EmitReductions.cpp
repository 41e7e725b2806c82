//===- EmitReductions.cpp - Accumulators and partial sums -----------------===//
//
// In:  the points of one register tile. Out: their reduction loops, with every
//      accumulator in a vector iter_arg, and what is combined after them.
// A lane that is parallel keeps one accumulator per point (several where a tile
// has few points); a lane that is the reduction keeps partial vectors that are
// combined in a tree that depends on sizes and configuration only.
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace tilewright::vectorize;

/// Sets of partial sums that hide the latency of additions.
static constexpr int64_t kMaxSets = 4;
/// The same inside a group, which overlaps with the next: for all vectors of columns together, and for one alone.
static constexpr int64_t kGroupSets = 2, kLoneGroupSets = 4;
/// Vectors of so many lanes (512 bits) come with instructions that read one element and repeat it.
static constexpr int64_t kRepeatingLanes = 16;
/// Elements of a group that one step of its loop takes: whole cache lines of what is stored are asked for at once. Where
/// they hold several numbers each, so many products are enough: in straight code for the whole group vectors of columns
/// would share the row's elements again.
static constexpr int64_t kGroupSteps = 4, kGroupProducts = 8;

Value Emitter::combine(unsigned output, Value lhs, Value rhs) {
  Operation *combiner = nest.combiners[output];
  OperationState state(loc, combiner->getName().getIdentifier(), {lhs, rhs}, lhs.getType(), combiner->getAttrs());
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

Value Emitter::combineTransposed(unsigned output, Values rows) {
  // Blocks halve at each step: of vectors a and b, [first halves of a's blocks,
  // first halves of b's] is combined with the second halves.
  int64_t lanes = rows.size();
  for (int64_t block = lanes; block > 1; block /= 2) {
    SmallVector<int64_t> firsts, seconds;
    for (int64_t start = 0; start < 2 * lanes; start += block)
      for (int64_t i = 0; i < block / 2; ++i) {
        firsts.push_back(start + i);
        seconds.push_back(start + block / 2 + i);
      }
    Values next;
    for (size_t i = 0; i < rows.size(); i += 2) {
      Value lhs = vector::ShuffleOp::create(b, loc, rows[i], rows[i + 1], firsts);
      Value rhs = vector::ShuffleOp::create(b, loc, rows[i], rows[i + 1], seconds);
      next.push_back(combine(output, lhs, rhs));
    }
    rows = std::move(next);
  }
  return rows.front();
}

Value Emitter::neutral(unsigned output, int64_t width) {
  TypedAttr element = *arith::getNeutralElement(nest.combiners[output]);
  return widen(arith::ConstantOp::create(b, loc, element), width);
}

bool Emitter::isExtremum() const {
  return nest.combiners.size() == 1 && nest.combiners.front() &&
         isa<arith::MaximumFOp, arith::MinimumFOp>(nest.combiners.front());
}

Value Emitter::quietNaN(int64_t width) {
  auto type = cast<FloatType>(nest.combiners.front()->getResult(0).getType());
  auto value = llvm::APFloat::getQNaN(type.getFloatSemantics());
  return widen(arith::ConstantOp::create(b, loc, b.getFloatAttr(type, value)), width);
}

Value Emitter::extremum(Value candidate, Value kept) {
  auto predicate =
      isa<arith::MaximumFOp>(nest.combiners.front()) ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT;
  Value better = arith::CmpFOp::create(b, loc, predicate, candidate, kept);
  return arith::SelectOp::create(b, loc, better, candidate, kept);
}

Value Emitter::extremumOfLanes(Value vec) {
  for (int64_t width = nest.lanes; width % 2 == 0; width /= 2) {
    auto low = llvm::to_vector(llvm::seq<int64_t>(0, width / 2)), high = llvm::to_vector(llvm::seq(width / 2, width));
    Value first = vector::ShuffleOp::create(b, loc, vec, vec, low);
    vec = extremum(vector::ShuffleOp::create(b, loc, vec, vec, high), first);
  }
  int64_t left = cast<VectorType>(vec.getType()).getNumElements();
  Value result = vector::ExtractOp::create(b, loc, vec, 0);
  for (int64_t lane = 1; lane < left; ++lane)
    result = extremum(vector::ExtractOp::create(b, loc, vec, lane), result);
  return result;
}

Values Emitter::accumulate(ArrayRef<Point> points, Values inits) {
  return accumulateOver(nest.reductions, points, inits, kMaxSets, /*minSteps=*/1,
                        [&](const Point &point, ArrayRef<Value> accs) { return evaluateBody(point, accs); });
}

Value Emitter::multiply(ArrayRef<Value> factors) {
  Value scalars, vectors;
  auto flags = cast<arith::AddFOp>(nest.combiners.front()).getFastmathAttr();
  for (Value factor : factors) {
    Value &product = isa<VectorType>(factor.getType()) ? vectors : scalars;
    product = product ? arith::MulFOp::create(b, loc, product, factor, flags).getResult() : factor;
  }
  if (!vectors || !scalars)
    return vectors ? vectors : scalars;
  Value wide = widen(scalars, cast<VectorType>(vectors.getType()).getNumElements());
  return arith::MulFOp::create(b, loc, wide, vectors, flags);
}

Values Emitter::accumulateGroups(ArrayRef<Point> points, Values inits) {
  const Factoring &factoring = *nest.factoring;
  auto flags = cast<arith::AddFOp>(nest.combiners.front()).getFastmathAttr();
  SmallVector<const Term *> sums;
  for (const Term &term : factoring.terms)
    if (!term.kept.empty())
      sums.push_back(&term);
  // Short loops around the groups (the halves of a byte) are unrolled inside of them, where they share what is read.
  SmallVector<unsigned> rolled, unrolled;
  splitReductions(factoring.outer, rolled, unrolled);
  if (SmallVector<Indices> copies = combinations(unrolled, points.front().index);
      static_cast<int64_t>(copies.size() * points.size() * sums.size()) > kMaxTileVectors / 2) {
    rolled = factoring.outer;
    unrolled.clear();
  }
  return loopNest(rolled, points.front().index, inits, [&](const Indices &index, Values accs) {
    SmallVector<Point> here;
    Values partials;
    for (const Indices &copy : combinations(unrolled, index))
      for (Point point : points) {
        for (unsigned loop : factoring.outer)
          point.index[loop] = copy[loop];
        here.push_back(point);
        for (const Term *term : sums)
          partials.push_back(term->integer
                                 ? widen(arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0)), point.width)
                                 : neutral(0, point.width));
      }
    auto step = [&](const Point &point, ArrayRef<Value> before) {
      Values after;
      for (auto [term, sum] : llvm::zip_equal(sums, before)) {
        if (term->integer) {
          Value dot = widen(evaluate(point, {}, term->integer).front(), point.width);
          after.push_back(arith::AddIOp::create(b, loc, sum, dot));
          continue;
        }
        Value product = widen(multiply(evaluate(point, {}, term->kept)), point.width);
        after.push_back(arith::AddFOp::create(b, loc, sum, product, flags));
      }
      return after;
    };
    bool hasIntegers = llvm::any_of(sums, [](const Term *term) { return bool(term->integer); });
    if (hasIntegers || sums.empty() || nest.lanes < kRepeatingLanes) {
      partials = accumulateOver(factoring.inner, here, partials, hasIntegers ? 1 : kGroupSets, kGroupSteps, step);
    } else {
      // One vector of columns after the other, each with a loop of its own: an element of a row is then read by the
      // instruction that multiplies it. Vectors that share it would need it in a register, put there by the units that
      // take integers out of bytes.
      SmallVector<std::pair<OpFoldResult, SmallVector<size_t>>> byColumns;
      for (auto [i, point] : llvm::enumerate(here)) {
        OpFoldResult first = point.index[nest.lane];
        auto *beside = llvm::find_if(byColumns, [&](auto &entry) { return entry.first == first; });
        if (beside == byColumns.end())
          beside = &byColumns.emplace_back(first, SmallVector<size_t>());
        beside->second.push_back(i);
      }
      for (ArrayRef<size_t> members : llvm::make_second_range(byColumns)) {
        SmallVector<Point> beside;
        Values sumsHere;
        for (size_t i : members) {
          beside.push_back(here[i]);
          llvm::append_range(sumsHere, ArrayRef(partials).slice(i * sums.size(), sums.size()));
        }
        sumsHere = accumulateOver(factoring.inner, beside, sumsHere, kLoneGroupSets, kGroupSteps, step);
        for (auto [place, i] : llvm::enumerate(members))
          std::copy_n(sumsHere.begin() + place * sums.size(), sums.size(), partials.begin() + i * sums.size());
      }
    }
    size_t next = 0;
    for (auto [i, point] : llvm::enumerate(here)) {
      Value &acc = accs[i % points.size()];
      for (const Term &term : factoring.terms) {
        Value common = multiply(evaluate(point, {}, term.factored)), sum;
        if (term.kept.empty()) {
          Type type = getElementTypeOrSelf(common.getType());
          sum = arith::ConstantOp::create(b, loc, b.getFloatAttr(type, static_cast<double>(factoring.group)));
        } else {
          sum = partials[next++];
          if (term.integer) {
            Type type = VectorType::get({point.width}, b.getF32Type());
            sum = arith::SIToFPOp::create(b, loc, point.width == 1 ? b.getF32Type() : type, sum);
          }
        }
        Value product = widen(common ? multiply({common, sum}) : sum, point.width);
        acc = term.negative ? arith::SubFOp::create(b, loc, acc, product, flags).getResult()
                            : arith::AddFOp::create(b, loc, acc, product, flags).getResult();
      }
    }
    return accs;
  });
}

Values Emitter::accumulateOver(ArrayRef<unsigned> loops, ArrayRef<Point> points, Values inits, int64_t maxSets,
                               int64_t minSteps, const Accumulation &body) {
  size_t perSet = inits.size(), numOutputs = perSet / points.size();
  SmallVector<unsigned> rolled, unrolled;
  splitReductions(loops, rolled, unrolled);
  // The output whose combiner adds up accumulator `i` of a set: the sums of groups are all of one output.
  auto outputOf = [&](size_t i) { return nest.combiners.size() == 1 ? 0 : i % numOutputs; };
  SmallVector<Indices> copies = combinations(unrolled, points.front().index);

  // A tile with few accumulators waits for the latency of each: several sets of
  // partial sums, added up at the end, keep the units busy. Every set starts
  // neutral but the first.
  bool mayReassociate = llvm::all_of(nest.combiners, [](Operation *c) { return c != nullptr; });
  int64_t wanted = mayReassociate ? std::max<int64_t>(1, kWantedAccumulators / static_cast<int64_t>(perSet)) : 1;
  wanted = std::min(wanted, maxSets);
  bool whole = llvm::all_of(points, [&](const Point &p) { return p.width == nest.lanes && !p.mask; });
  int64_t sets = std::min<int64_t>(wanted, copies.size());
  int64_t step = 1;
  if (whole && !rolled.empty()) {
    int64_t most = sets < wanted ? std::max<int64_t>(1, wanted / sets) : 1;
    step = std::max(most, std::min<int64_t>(minSteps, kGroupProducts / copies.size()));
    if (nest.isStatic(rolled.back()))
      while (nest.sizes[rolled.back()] % step != 0)
        --step;
    sets *= std::min(step, most);
  }
  Values partials(inits);
  for (int64_t s = 1; s < sets; ++s)
    for (size_t i = 0; i < perSet; ++i)
      partials.push_back(neutral(outputOf(i), points[i / numOutputs].width));

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
        Values results = body(here, ArrayRef(accs).slice(first, numOutputs));
        for (unsigned o = 0; o < numOutputs; ++o)
          accs[first + o] = widen(results[o], point.width);
      }
    }
    return accs;
  };

  ArrayRef<unsigned> outerLoops(rolled);
  if (step == 1) {
    partials = loopNest(outerLoops, points.front().index, partials,
                        [&](const Indices &index, Values accs) { return atIndex(index, 0, accs); });
  } else {
    unsigned innermost = rolled.back();
    auto inner = [&](const Indices &index, Values accs) {
      OpFoldResult extent = size(innermost), mainEnd = math.roundDown(extent, step);
      accs = loop(math.constant(0), mainEnd, step, accs, [&](OpFoldResult iv, Values carried) {
        for (int64_t s = 0; s < step; ++s) {
          Indices here(index);
          here[innermost] = math.add(iv, math.constant(s));
          carried = atIndex(here, s, carried);
        }
        return carried;
      });
      return loop(mainEnd, extent, 1, accs, [&](OpFoldResult iv, Values carried) {
        Indices here(index);
        here[innermost] = iv;
        return atIndex(here, 0, carried);
      });
    };
    partials = loopNest(outerLoops.drop_back(), points.front().index, partials, inner);
  }
  if (sets == 1)
    return partials;
  Values results;
  for (size_t i = 0; i < perSet; ++i) {
    Values parts;
    for (int64_t s = 0; s < sets; ++s)
      parts.push_back(partials[s * perSet + i]);
    results.push_back(combineTree(outputOf(i), parts));
  }
  return results;
}

Values Emitter::reduceLanes(const Indices &index, Values tensors) {
  int64_t V = nest.lanes;
  unsigned numOutputs = tensors.size();
  SmallVector<Point> points = pointsOf(index, Slot{math.constant(0), V, nullptr});
  int64_t accumulators = points.size() * numOutputs;
  int64_t U = std::max<int64_t>(1, std::min(nest.unroll, kMaxTileVectors / 2 / accumulators));
  if (nest.isStatic(nest.lane))
    U = std::max<int64_t>(1, std::min(U, nest.sizes[nest.lane] / V));

  // Per point and output: U vectors, and a scalar for the remainder where it
  // cannot be masked; for an extremum, in which lanes NaN was seen.
  bool seesNaN = isExtremum();
  int64_t perPoint = U + (nest.scalarTail ? 1 : 0) + (seesNaN ? 1 : 0);
  Values partials;
  for (int64_t p = 0; p < accumulators; ++p) {
    for (int64_t u = 0; u < U + (nest.scalarTail ? 1 : 0); ++u)
      partials.push_back(neutral(p % numOutputs, u < U ? V : 1));
    if (seesNaN)
      partials.push_back(widen(arith::ConstantOp::create(b, loc, b.getBoolAttr(false)), V));
  }
  SmallVector<unsigned> rolled, unrolled;
  splitReductions(nest.reductions, rolled, unrolled);
  partials = loopNest(rolled, index, partials, [&](const Indices &here, Values accs) {
    for (const Indices &copy : combinations(unrolled, here))
      accs = reduceLanesOnce(points, copy, accs, U);
    return accs;
  });

  // One result per lane: the partials of neighbouring results are transposed
  // while they are added up, and written together.
  if (blockRows == V && blockedOuter) {
    Point all{points.front().index, V, nullptr};
    for (unsigned o = 0; o < numOutputs; ++o) {
      Values rows;
      for (size_t p = 0; p < points.size(); ++p) {
        ArrayRef<Value> mine = ArrayRef(partials).slice((p * numOutputs + o) * perPoint, perPoint);
        Value row = combineTree(o, Values(mine.take_front(U)));
        rows.push_back(seesNaN ? arith::SelectOp::create(b, loc, mine.back(), quietNaN(V), row).getResult() : row);
      }
      Indices indices = operandIndices(*outputOperand(o), all, 0);
      Value init = initScalars[o] ? widen(initScalars[o], V) : readVector(tensors[o], indices, all);
      tensors[o] = writeVector(combine(o, init, combineTransposed(o, rows)), tensors[o], indices, nullptr);
    }
    return tensors;
  }
  for (auto [p, point] : llvm::enumerate(points))
    for (unsigned o = 0; o < numOutputs; ++o) {
      ArrayRef<Value> mine = ArrayRef(partials).slice((p * numOutputs + o) * perPoint, perPoint);
      if (seesNaN) {
        Value result = mine.front();
        for (Value other : mine.slice(1, U - 1))
          result = extremum(other, result);
        Value any = vector::ReductionOp::create(b, loc, vector::CombiningKind::OR, mine.back());
        result = arith::SelectOp::create(b, loc, any, quietNaN(1), extremumOfLanes(result));
        if (nest.scalarTail)
          result = combine(o, result, mine[U]);
        result = combine(o, readInit(o, point, tensors[o]), result);
        tensors[o] = writeOutput(o, point, result, tensors[o]);
        continue;
      }
      Value vec = combineTree(o, Values(mine.take_front(U)));
      // The order inside the last vector is the target's choice; it does not
      // depend on shape or threads.
      auto flags = arith::FastMathFlags::none;
      if (auto fast = dyn_cast<arith::ArithFastMathInterface>(nest.combiners[o]))
        flags = fast.getFastMathFlagsAttr().getValue() | arith::FastMathFlags::reassoc;
      Value result = vector::ReductionOp::create(b, loc, *combiningKind(nest.combiners[o]), vec, flags);
      if (nest.scalarTail)
        result = combine(o, result, mine.back());
      result = combine(o, readInit(o, point, tensors[o]), result);
      tensors[o] = writeOutput(o, point, result, tensors[o]);
    }
  return tensors;
}

Values Emitter::reduceLanesOnce(ArrayRef<Point> points, const Indices &index, Values partials, int64_t U) {
  int64_t V = nest.lanes;
  unsigned numOutputs = nest.combiners.size();
  int64_t perPoint = partials.size() / (points.size() * numOutputs);
  bool seesNaN = isExtremum();
  OpFoldResult extent = size(nest.lane);
  // What an extremum compares: the body without its combiner, whose neutral
  // operand folds away.
  Values unchecked(points.size());
  auto checkNaN = [&](size_t p, Value candidate, Values &accs) {
    // Two vectors are checked by one comparison.
    Value &seen = accs[p * perPoint + perPoint - 1];
    Value other = unchecked[p] ? unchecked[p] : candidate;
    Value isNaN = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, candidate, other);
    seen = arith::OrIOp::create(b, loc, seen, isNaN);
    unchecked[p] = nullptr;
  };
  // One vector (or scalar) of lanes at `base` goes into partial `u` of every
  // point; `last` if no other vector follows in the same step of a loop.
  auto step = [&](OpFoldResult base, int64_t width, Value mask, int64_t u, Values accs, bool last) {
    for (auto [p, point] : llvm::enumerate(points)) {
      Point here{index, width, mask};
      for (unsigned loop : unrolledOuter)
        here.index[loop] = point.index[loop];
      if (blockedOuter)
        here.index[*blockedOuter] = point.index[*blockedOuter];
      here.index[nest.lane] = base;
      if (seesNaN && width > 1) {
        Value candidate = evaluateBody(here, {neutral(0, width)}).front(), &kept = accs[p * perPoint + u];
        candidate = widen(candidate, width);
        Value better = extremum(candidate, kept);
        if (mask) {
          better = arith::SelectOp::create(b, loc, mask, better, kept);
          candidate = arith::SelectOp::create(b, loc, mask, candidate, kept);
        }
        kept = better;
        if (unchecked[p] || last)
          checkNaN(p, candidate, accs);
        else
          unchecked[p] = candidate;
        continue;
      }
      Values before;
      for (unsigned o = 0; o < numOutputs; ++o)
        before.push_back(accs[(p * numOutputs + o) * perPoint + u]);
      Values after = evaluateBody(here, before);
      for (unsigned o = 0; o < numOutputs; ++o)
        accs[(p * numOutputs + o) * perPoint + u] =
            mask ? arith::SelectOp::create(b, loc, mask, after[o], before[o]).getResult() : after[o];
    }
    return accs;
  };

  OpFoldResult vectorEnd = math.roundDown(extent, V);
  std::optional<int64_t> vectors = getConstantIntValue(vectorEnd);
  if (vectors && *vectors / V * static_cast<int64_t>(points.size()) <= kMaxOuterPoints) {
    for (int64_t i = 0; i < *vectors / V; ++i)
      partials = step(math.constant(i * V), V, nullptr, i % U, partials, (i + 1) * V == *vectors);
  } else {
    OpFoldResult mainEnd = math.roundDown(extent, V * U);
    partials = loop(math.constant(0), mainEnd, V * U, partials, [&](OpFoldResult base, Values accs) {
      for (int64_t u = 0; u < U; ++u)
        accs = step(math.add(base, math.constant(u * V)), V, nullptr, u, accs, u + 1 == U);
      return accs;
    });
    if (U > 1)
      partials = loop(mainEnd, vectorEnd, V, partials,
                      [&](OpFoldResult base, Values accs) { return step(base, V, nullptr, 0, accs, true); });
  }
  if (nest.scalarTail)
    return loop(vectorEnd, extent, 1, partials,
                [&](OpFoldResult base, Values accs) { return step(base, 1, nullptr, U, accs, true); });
  return loop(vectorEnd, extent, V, partials, [&](OpFoldResult base, Values accs) {
    Value mask =
        vector::CreateMaskOp::create(b, loc, VectorType::get({V}, b.getI1Type()), math.value(math.sub(extent, base)));
    return step(base, V, mask, 0, accs, true);
  });
}
