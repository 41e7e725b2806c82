//===- FragmentAttention.cpp - Scores in fragments of tensor cores ----------===//
#include "Targets/Cuda/FragmentAttention.h"
#include "Targets/Cuda/Combine.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

void FragmentAttention::beginWarps(int64_t rows) {
  begin(rows);
  rowStart = add(rowBase, times(warp, kWarpRows));
}

FragmentAttention::State
FragmentAttention::alongKeys(Value end, int64_t step, ValueRange carried,
                             llvm::function_ref<std::pair<State, Values>(State, Value, ValueRange)> body) {
  int64_t count = columns / kStepColumns * 4;
  Values start(count, constant(0));
  start.append({constant(-INFINITY), constant(-INFINITY), constant(0), constant(0)});
  start.append(carried.begin(), carried.end());
  auto stateOf = [&](ValueRange now) {
    return State{Values(now.take_front(count)), Values(now.slice(count, 2)), Values(now.slice(count + 2, 2))};
  };
  auto loop = scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), end, kernel.index(step), start);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  ValueRange now = loop.getRegionIterArgs();
  auto [state, others] = body(stateOf(now), loop.getInductionVar(), now.drop_front(count + 4));
  Values next(state.sums);
  next.append(state.highest);
  next.append(state.totals);
  next.append(others);
  scf::YieldOp::create(inside, loc, next);
  return stateOf(loop.getResults());
}

/// The value of a row, of four lanes.
Value FragmentAttention::acrossQuad(Value value, bool isSum) {
  for (int64_t mask : {1, 2}) {
    Value other = exchange(kernel, value, mask);
    value = isSum ? arith::AddFOp::create(inside, loc, value, other).getResult() : larger(value, other);
  }
  return value;
}

SmallVector<Value> FragmentAttention::weigh(State &state, Values &scores, Value first) {
  Value none = constant(-INFINITY), group = divide(lane, 4), pair = times(rest(lane, 4), 2);
  int64_t count = scores.size(), keys = count / 4 * kStepColumns;
  auto known = getConstantIntValue(kernel.product(innerRanges));
  bool isWhole = known && *known % keys == 0;
  for (int64_t i = 0; i < count; ++i) {
    Value row = add(rowStart, add(group, i % 4 / 2 * 8)), key = add(first, add(pair, i / 4 * kStepColumns + i % 2));
    scores[i] = formula(scores[i], row, key);
    if (!isWhole)
      scores[i] = arith::SelectOp::create(inside, loc, below(key, keyCount), scores[i], none);
  }
  Value log2e = constant(1.4426950408889634);
  Values factors;
  for (int64_t half = 0; half < 2; ++half) {
    Value before = state.highest[half], highest = scores[2 * half];
    for (int64_t i = 0; i < count; ++i)
      if (i % 4 / 2 == half)
        highest = larger(highest, scores[i]);
    state.highest[half] = larger(before, acrossQuad(highest, false));
    Value scaled = arith::MulFOp::create(inside, loc, finite(state.highest[half]), log2e), total = constant(0);
    auto power = [&](Value x) -> Value {
      Value difference = arith::SubFOp::create(inside, loc, multiplied(x, log2e), scaled, contract());
      return math::Exp2Op::create(inside, loc, difference);
    };
    // Both products rounded alike, so that a maximum that stays is a factor of one: with less rounding, and many tiles,
    // it would be one to the power of their number.
    Value base = arith::MulFOp::create(inside, loc, before, log2e);
    factors.push_back(math::Exp2Op::create(inside, loc, arith::SubFOp::create(inside, loc, base, scaled)));
    for (int64_t i = 0; i < count; ++i)
      if (i % 4 / 2 == half) {
        scores[i] = power(scores[i]);
        total = arith::AddFOp::create(inside, loc, total, scores[i]);
      }
    state.totals[half] = arith::AddFOp::create(inside, loc, multiplied(state.totals[half], factors[half]), total);
  }
  return factors;
}

void FragmentAttention::rescale(State &state, const Values &factors) {
  for (auto [i, sum] : llvm::enumerate(state.sums))
    sum = multiplied(sum, factors[i % 4 / 2]);
}

/// Two fragments of weights are one of a left factor.
SmallVector<Value> FragmentAttention::leftFactor(const Values &weights, int64_t key) {
  Values words;
  for (int64_t i = key / kStepColumns * 4, end = i + 8; i < end; i += 2) {
    Value two = LLVM::PoisonOp::create(inside, loc, VectorType::get({2}, inside.getF32Type()));
    for (int64_t part = 0; part < 2; ++part)
      two = vector::InsertOp::create(inside, loc, weights[i + part], two, ArrayRef<int64_t>{part});
    Value narrow = arith::TruncFOp::create(inside, loc, VectorType::get({2}, contraction.narrow), two);
    words.push_back(LLVM::BitcastOp::create(inside, loc, inside.getI32Type(), narrow));
  }
  return words;
}

SmallVector<Value> FragmentAttention::results(const State &state) {
  Values inverse, found;
  // Without keys results are sums of nothing; where all keys are hidden, they are no numbers.
  Value isEmpty = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, keyCount, kernel.index(int64_t{0}));
  for (Value total : state.totals) {
    Value quotient = arith::DivFOp::create(inside, loc, constant(1), acrossQuad(total, true));
    inverse.push_back(arith::SelectOp::create(inside, loc, isEmpty, constant(0), quotient));
  }
  for (auto [i, sum] : llvm::enumerate(state.sums))
    found.push_back(multiplied(sum, inverse[i % 4 / 2]));
  return found;
}
