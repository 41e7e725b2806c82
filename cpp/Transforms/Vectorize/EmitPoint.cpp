//===- EmitPoint.cpp - One point of the register tile
//-----------------------===//
//
// In:  a point: constant or scalar loop indices, the lane's base, a width and
// perhaps a mask. Out: the reads, the body and the writes of that point;
// scalars stay scalars until a vector needs them.
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace tilewright::vectorize;

Value Emitter::widen(Value value, int64_t width) {
  if (width == 1 || isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(b, loc, VectorType::get({width}, value.getType()), value);
}

Indices Emitter::operandIndices(OpOperand &operand, const Point &point, int64_t laneOffset) {
  Indices loops(point.index);
  if (laneOffset != 0)
    loops[nest.lane] = math.add(loops[nest.lane], math.constant(laneOffset));
  return llvm::map_to_vector(op.getMatchingIndexingMap(&operand).getResults(),
                             [&](AffineExpr expr) { return math.evaluate(expr, loops); });
}

Value Emitter::readVector(Value tensor, ArrayRef<OpFoldResult> indices, const Point &point) {
  auto type = cast<RankedTensorType>(tensor.getType());
  auto vectorType = VectorType::get({point.width}, type.getElementType());
  Value padding = arith::ConstantOp::create(b, loc, b.getZeroAttr(type.getElementType()));
  AffineMap map = AffineMap::getMinorIdentityMap(type.getRank(), 1, b.getContext());
  // Lanes beyond the tile that are known to lie in the tensor (the padding of a
  // packed panel) are read unmasked; what is computed from them is masked when
  // it is written.
  Value mask = point.mask;
  std::optional<int64_t> first = getConstantIntValue(indices.back());
  if (first && !ShapedType::isDynamic(type.getShape().back()) && *first + point.width <= type.getShape().back())
    mask = nullptr;
  return vector::TransferReadOp::create(b, loc, vectorType, tensor, math.values(indices), AffineMapAttr::get(map),
                                        padding, mask, b.getBoolArrayAttr({true}));
}

void Emitter::readTransposed(const Point &first) {
  for (OpOperand *operand : op.getDpsInputOperands()) {
    if (nest.access[operand->getOperandNumber()] != Access::Transposed)
      continue;
    Values columns;
    for (int64_t lane = 0; lane < first.width; ++lane)
      columns.push_back(readVector(operand->get(), operandIndices(*operand, first, lane), first));
    squares[operand->getOperandNumber()] = transpose(columns);
  }
}

Values Emitter::transpose(Values rows) {
  // Blocks off the diagonal change places, from halves down to single elements.
  int64_t lanes = rows.size();
  for (int64_t half = lanes / 2; half > 0; half /= 2) {
    SmallVector<int64_t> firsts, seconds;
    for (int64_t i = 0; i < lanes; ++i) {
      firsts.push_back((i & half) == 0 ? i : lanes + i - half);
      seconds.push_back((i & half) == 0 ? i + half : lanes + i);
    }
    for (int64_t i = 0; i < lanes; ++i) {
      if ((i & half) != 0)
        continue;
      Value above = rows[i], below = rows[i + half];
      rows[i] = vector::ShuffleOp::create(b, loc, above, below, firsts);
      rows[i + half] = vector::ShuffleOp::create(b, loc, above, below, seconds);
    }
  }
  return rows;
}

Value Emitter::readOperand(OpOperand &operand, const Point &point, Value tensor) {
  auto type = dyn_cast<RankedTensorType>(tensor.getType());
  if (!type)
    return tensor;
  Access access = nest.access[operand.getOperandNumber()];
  if (access == Access::Uniform || point.width == 1)
    return tensor::ExtractOp::create(b, loc, tensor, math.values(operandIndices(operand, point, 0)));
  if (access == Access::Contiguous)
    return readVector(tensor, operandIndices(operand, point, 0), point);
  if (auto square = squares.find(operand.getOperandNumber()); square != squares.end())
    return square->second[point.row];
  Values elements;
  for (int64_t lane = 0; lane < point.width; ++lane)
    elements.push_back(tensor::ExtractOp::create(b, loc, tensor, math.values(operandIndices(operand, point, lane))));
  return vector::FromElementsOp::create(b, loc, VectorType::get({point.width}, type.getElementType()), elements);
}

Value Emitter::readInit(unsigned output, const Point &point, Value tensor) {
  if (initScalars[output])
    return nest.laneIsReduction ? initScalars[output] : widen(initScalars[output], point.width);
  return readOperand(*outputOperand(output), point, tensor);
}

Value Emitter::writeVector(Value value, Value tensor, ArrayRef<OpFoldResult> indices, Value mask) {
  AffineMap map = AffineMap::getMinorIdentityMap(indices.size(), 1, b.getContext());
  return vector::TransferWriteOp::create(b, loc, value, tensor, math.values(indices), AffineMapAttr::get(map), mask,
                                         b.getBoolArrayAttr({true}))
      .getResult();
}

Value Emitter::writeOutput(unsigned output, const Point &point, Value value, Value tensor) {
  OpOperand &operand = *outputOperand(output);
  Indices indices = operandIndices(operand, point, 0);
  if (point.width == 1 || nest.laneIsReduction)
    return tensor::InsertOp::create(b, loc, value, tensor, math.values(indices));
  value = widen(value, point.width);
  if (nest.access[operand.getOperandNumber()] == Access::Contiguous)
    return writeVector(value, tensor, indices, point.mask);
  for (int64_t lane = 0; lane < point.width; ++lane) {
    Value element = vector::ExtractOp::create(b, loc, value, lane);
    tensor = tensor::InsertOp::create(b, loc, element, tensor, math.values(operandIndices(operand, point, lane)));
  }
  return tensor;
}

Value Emitter::evaluateExtract(tensor::ExtractOp extract, const Point &point, Value tensor,
                               ArrayRef<OpFoldResult> bases, ArrayRef<Value> vectors, ArrayRef<Spread> spreads) {
  Type element = extract.getType();
  if (isContiguousExtract(spreads) && !element.isInteger(1))
    return readVector(tensor, bases, point);
  Values elements;
  for (int64_t lane = 0; lane < point.width; ++lane) {
    Values indices;
    for (auto [base, vec, spread] : llvm::zip(bases, vectors, spreads)) {
      if (spread == Spread::Vector)
        indices.push_back(vector::ExtractOp::create(b, loc, vec, lane));
      else
        indices.push_back(math.value(spread == Spread::Lane ? math.add(base, math.constant(lane)) : base));
    }
    elements.push_back(tensor::ExtractOp::create(b, loc, tensor, indices));
  }
  return vector::FromElementsOp::create(b, loc, VectorType::get({point.width}, element), elements);
}

Value Emitter::guardDivisor(Operation *bodyOp, Value divisor, const Point &point) {
  // Masked lanes hold zeros, and an integer division by zero is undefined even
  // where nobody reads its result.
  if (!point.mask || !isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp, arith::CeilDivSIOp,
                          arith::CeilDivUIOp, arith::FloorDivSIOp>(bodyOp))
    return divisor;
  auto type = cast<VectorType>(divisor.getType());
  Value one = widen(arith::ConstantOp::create(b, loc, b.getIntegerAttr(type.getElementType(), 1)), point.width);
  return arith::SelectOp::create(b, loc, point.mask, divisor, one);
}

Values Emitter::evaluateBody(const Point &point, ArrayRef<Value> outputs) {
  return evaluate(point, outputs, op.getBody()->getTerminator()->getOperands());
}

Values Emitter::evaluate(const Point &point, ArrayRef<Value> outputs, ValueRange wanted) {
  struct Known {
    Value value;       // for Lane: null until somebody needs the vector
    OpFoldResult base; // for Lane and for scalar indices: the first lane's index
    Spread spread;
  };
  DenseMap<Value, Known> known;
  bool scalar = point.width == 1;
  auto bind = [&](Value from, Value to) {
    known[from] = {to, to, isa<VectorType>(to.getType()) ? Spread::Vector : Spread::Uniform};
  };
  auto lookup = [&](Value v) {
    auto it = known.find(v);
    return it == known.end() ? Known{v, v, Spread::Uniform} : it->second;
  };
  auto asVector = [&](const Known &k) -> Value {
    if (k.spread != Spread::Lane)
      return widen(k.value, point.width);
    auto type = VectorType::get({point.width}, b.getIndexType());
    Value base = vector::BroadcastOp::create(b, loc, type, math.value(k.base));
    return arith::AddIOp::create(b, loc, base, vector::StepOp::create(b, loc, type)).getResult();
  };

  Block *body = op.getBody();
  llvm::SmallPtrSet<Value, 32> needed(llvm::from_range, wanted);
  for (Operation &bodyOp : llvm::reverse(body->without_terminator()))
    if (llvm::any_of(bodyOp.getResults(), [&](Value result) { return needed.contains(result); }))
      needed.insert_range(bodyOp.getOperands());
  for (auto [i, operand] : llvm::enumerate(op.getDpsInputOperands())) {
    BlockArgument arg = body->getArgument(i);
    if (!needed.contains(arg))
      continue;
    int same = nest.sameAsOutput[operand->getOperandNumber()];
    bind(arg, same >= 0 ? outputs[same] : readOperand(*operand, point, operand->get()));
  }
  for (auto [arg, output] : llvm::zip(op.getRegionOutputArgs(), outputs))
    if (needed.contains(arg))
      bind(arg, output);

  for (Operation &bodyOp : body->without_terminator()) {
    Value result = bodyOp.getResult(0);
    if (!needed.contains(result))
      continue;
    if (auto index = dyn_cast<linalg::IndexOp>(&bodyOp)) {
      OpFoldResult base = point.index[index.getDim()];
      bool lane = !scalar && index.getDim() == nest.lane;
      known[result] = {lane ? Value() : math.value(base), base, lane ? Spread::Lane : Spread::Uniform};
      continue;
    }
    auto operands = llvm::map_to_vector(bodyOp.getOperands(), lookup);
    auto spreads = llvm::map_to_vector(operands, [](const Known &k) { return k.spread; });
    Spread spread = *spreadOf(&bodyOp, spreads, nest.lane);
    if (spread == Spread::Lane) {
      OpFoldResult lhs = operands[0].base, rhs = operands[1].base;
      known[result] = {Value(), isa<arith::AddIOp>(bodyOp) ? math.add(lhs, rhs) : math.sub(lhs, rhs), Spread::Lane};
      continue;
    }
    if (auto extract = dyn_cast<tensor::ExtractOp>(&bodyOp); extract && spread == Spread::Vector) {
      auto bases = llvm::map_to_vector(ArrayRef(operands).drop_front(), [](const Known &k) { return k.base; });
      auto vectors = llvm::map_to_vector(ArrayRef(operands).drop_front(), [](const Known &k) { return k.value; });
      bind(result, evaluateExtract(extract, point, operands[0].value, bases, vectors, ArrayRef(spreads).drop_front()));
      continue;
    }
    Values newOperands;
    for (const Known &k : operands)
      newOperands.push_back(spread == Spread::Vector ? asVector(k) : k.value);
    Type type = result.getType();
    if (spread == Spread::Vector) {
      type = VectorType::get({point.width}, type);
      // A condition that is the same for every lane chooses between whole
      // vectors.
      if (isa<arith::SelectOp>(bodyOp) && operands[0].spread == Spread::Uniform)
        newOperands[0] = operands[0].value;
      if (newOperands.size() == 2)
        newOperands[1] = guardDivisor(&bodyOp, newOperands[1], point);
    }
    OperationState state(bodyOp.getLoc(), bodyOp.getName().getIdentifier(), newOperands, type, bodyOp.getAttrs());
    bind(result, b.create(state)->getResult(0));
  }
  Values yields;
  for (Value v : wanted) {
    Known k = lookup(v);
    yields.push_back(k.spread == Spread::Lane ? asVector(k) : k.value);
  }
  return yields;
}
