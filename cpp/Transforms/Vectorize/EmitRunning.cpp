//===- EmitRunning.cpp - Running sums and products ------------------------===//
//
// In:  a nest whose first result holds the total so far at every trip of its reduction loop. Out: vector loops.
// Where another loop has the lanes, a vector of totals goes through memory in order, one addition after the other as a
// scalar loop would. Where the reduction has them, the totals within a vector are made in log2(lanes) steps, and what all
// vectors before it add up to is one addition more: the only one that the next vector waits for.
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace tilewright::vectorize;

Value Emitter::addToTotal(Value total, Value term) {
  Operation *combiner = nest.running->combiner;
  OperationState state(loc, combiner->getName().getIdentifier(), {total, term}, total.getType(), combiner->getAttrs());
  return b.create(state)->getResult(0);
}

Value Emitter::writeTotal(const Point &point, Value total, Value tensor) {
  if (Operation *narrow = nest.running->narrow) {
    Type type = getElementTypeOrSelf(narrow->getResult(0).getType());
    if (auto vector = dyn_cast<VectorType>(total.getType()))
      type = vector.clone(type);
    OperationState state(loc, narrow->getName().getIdentifier(), total, type, narrow->getAttrs());
    total = b.create(state)->getResult(0);
  }
  Indices indices = operandIndices(*outputOperand(0), point, 0);
  if (point.width == 1)
    return tensor::InsertOp::create(b, loc, total, tensor, math.values(indices));
  if (nest.access[outputOperand(0)->getOperandNumber()] == Access::Contiguous)
    return writeVector(total, tensor, indices, point.mask);
  return writeOutput(0, point, total, tensor);
}

Values Emitter::runAcross(ArrayRef<Point> points, Values tensors) {
  Values carried;
  for (const Point &point : points)
    carried.push_back(widen(readInit(1, point, tensors[1]), point.width));
  carried.push_back(tensors[0]);
  unsigned along = nest.reductions.front();
  carried = loop(math.constant(0), size(along), 1, carried, [&](OpFoldResult iv, Values before) {
    Values after;
    Value written = before.back();
    for (auto [point, total] : llvm::zip(points, before)) {
      Point here = point;
      here.index[along] = iv;
      Value term = widen(evaluate(here, {}, nest.running->term).front(), here.width);
      after.push_back(addToTotal(total, term));
      written = writeTotal(here, after.back(), written);
    }
    after.push_back(written);
    return after;
  });
  tensors[0] = carried.back();
  for (auto [point, total] : llvm::zip(points, carried))
    tensors[1] = writeOutput(1, point, total, tensors[1]);
  return tensors;
}

Value Emitter::runLanes(Value terms) {
  for (int64_t distance = 1; distance < nest.lanes; distance *= 2) {
    // Lanes go round, and those that come from the end are added nowhere: to move zeros in takes LLVM twice as long.
    SmallVector<int64_t> moved;
    SmallVector<bool> added;
    for (int64_t lane = 0; lane < nest.lanes; ++lane) {
      moved.push_back((lane + nest.lanes - distance) % nest.lanes);
      added.push_back(lane >= distance);
    }
    Value further = addToTotal(vector::ShuffleOp::create(b, loc, terms, terms, moved), terms);
    Value mask = arith::ConstantOp::create(b, loc, b.getBoolVectorAttr(added));
    terms = arith::SelectOp::create(b, loc, mask, further, terms);
  }
  return terms;
}

Values Emitter::runAlong(const Indices &index, Values tensors) {
  int64_t V = nest.lanes;
  SmallVector<Point> points = pointsOf(index, Slot{math.constant(0), V, nullptr});
  Values carried;
  for (const Point &point : points) {
    Point first = point;
    first.width = 1;
    carried.push_back(widen(readInit(1, first, tensors[1]), V));
  }
  carried.push_back(tensors[0]);

  SmallVector<int64_t> last(V, V - 1);
  auto step = [&](OpFoldResult base, Value mask, Values before) {
    Values after;
    Value written = before.back();
    for (auto [point, total] : llvm::zip(points, before)) {
      Point here = point;
      here.mask = mask;
      here.index[nest.lane] = base;
      Value terms = widen(evaluate(here, {}, nest.running->term).front(), V);
      if (mask) {
        Value nothing = arith::ConstantOp::create(b, loc, *arith::getNeutralElement(nest.running->combiner));
        terms = arith::SelectOp::create(b, loc, mask, terms, widen(nothing, V));
      }
      Value sums = runLanes(terms);
      written = writeTotal(here, addToTotal(total, sums), written);
      after.push_back(addToTotal(total, vector::ShuffleOp::create(b, loc, sums, sums, last)));
    }
    after.push_back(written);
    return after;
  };
  OpFoldResult extent = size(nest.lane), vectorEnd = math.roundDown(extent, V);
  int64_t U = std::max<int64_t>(1, nest.unroll / static_cast<int64_t>(points.size()));
  OpFoldResult mainEnd = math.roundDown(extent, V * U);
  carried = loop(math.constant(0), mainEnd, V * U, carried, [&](OpFoldResult base, Values inner) {
    for (int64_t u = 0; u < U; ++u)
      inner = step(math.add(base, math.constant(u * V)), nullptr, inner);
    return inner;
  });
  if (U > 1)
    carried = loop(mainEnd, vectorEnd, V, carried,
                   [&](OpFoldResult base, Values inner) { return step(base, nullptr, inner); });
  carried = loop(vectorEnd, extent, V, carried, [&](OpFoldResult base, Values inner) {
    Value mask =
        vector::CreateMaskOp::create(b, loc, VectorType::get({V}, b.getI1Type()), math.value(math.sub(extent, base)));
    return step(base, mask, inner);
  });
  tensors[0] = carried.back();
  for (auto [point, total] : llvm::zip(points, carried)) {
    Value whole = vector::ExtractOp::create(b, loc, total, V - 1);
    tensors[1] =
        tensor::InsertOp::create(b, loc, whole, tensors[1], math.values(operandIndices(*outputOperand(1), point, 0)));
  }
  return tensors;
}
