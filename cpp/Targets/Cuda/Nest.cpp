//===- Nest.cpp - A computation as loops over elements of arrays ------------===//
#include "Targets/Cuda/Nest.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

Nest::Nest(DeviceKernel &kernel, linalg::LinalgOp op) : kernel(kernel), op(op) {
  ranges.resize(op.getNumLoops());
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  for (auto [operand, map] : llvm::zip_equal(op->getOpOperands(), maps)) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    for (auto [dim, result] : llvm::enumerate(map.getResults())) {
      auto loop = dyn_cast<AffineDimExpr>(result);
      if (!loop)
        continue;
      OpFoldResult &range = ranges[loop.getPosition()];
      // A static size beats a dynamic one: both are the same number.
      if (!range || !getConstantIntValue(range))
        range = kernel.size(operand.get(), dim);
    }
  }
  // Loops that index the first destination last-dimension-fastest, others before them.
  AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
  SmallVector<unsigned> ordered;
  for (AffineExpr result : written.getResults())
    if (auto loop = dyn_cast<AffineDimExpr>(result); loop && !llvm::is_contained(ordered, loop.getPosition()))
      ordered.push_back(loop.getPosition());
  for (unsigned loop = 0; loop < kinds.size(); ++loop) {
    if (kinds[loop] != utils::IteratorType::parallel)
      reductions.push_back(loop);
    else if (!llvm::is_contained(ordered, loop))
      parallel.push_back(loop);
  }
  for (unsigned loop : ordered)
    if (kinds[loop] == utils::IteratorType::parallel)
      parallel.push_back(loop);
  starts.resize(op.getNumDpsInits());
}

SmallVector<OpFoldResult> Nest::rangesOf(ArrayRef<unsigned> loops) const {
  return llvm::map_to_vector(loops, [&](unsigned loop) { return ranges[loop]; });
}

SmallVector<Value> Nest::subscripts(OpOperand &operand, ValueRange point) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  SmallVector<Value> dims(point);
  return llvm::map_to_vector(map.getResults(), [&](AffineExpr expr) {
    return affine::expandAffineExpr(kernel.inside, kernel.loc, expr, dims, {});
  });
}

Value Nest::read(OpOperand &operand, ValueRange point) {
  if (!isa<MemRefType>(operand.get().getType()))
    return kernel.pass(operand.get());
  return kernel.load(view(operand), subscripts(operand, point));
}

Value Nest::start(unsigned init, ValueRange point) {
  return starts[init] ? starts[init] : read(*op.getDpsInitOperand(init), point);
}

void Nest::write(Value value, unsigned init, ValueRange point) {
  OpOperand &operand = *op.getDpsInitOperand(init);
  kernel.store(value, view(operand), subscripts(operand, point));
}

bool Nest::isVectorAlong(OpOperand &operand, unsigned loop) {
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  auto range = getConstantIntValue(ranges[loop]);
  if (!type || !type.getLayout().isIdentity() || type.getRank() == 0 || !range || type.getShape().back() != *range)
    return false;
  ArrayRef<AffineExpr> results = op.getMatchingIndexingMap(&operand).getResults();
  return results.back() == getAffineDimExpr(loop, op->getContext()) &&
         llvm::none_of(results.drop_back(), [&](AffineExpr each) { return each.isFunctionOfDim(loop); });
}

SmallVector<Value> Nest::readLanes(OpOperand &operand, ValueRange point, unsigned loop, int64_t lanes) {
  bool isArray = isa<MemRefType>(operand.get().getType());
  if (!isArray || !op.getMatchingIndexingMap(&operand).isFunctionOfDim(loop))
    return {read(operand, point)};
  SmallVector<Value> found, here(point);
  if (lanes > 1 && isVectorAlong(operand, loop)) {
    Value vector = kernel.load(view(operand), subscripts(operand, point), lanes);
    for (int64_t i = 0; i < lanes; ++i)
      found.push_back(vector::ExtractOp::create(kernel.inside, kernel.loc, vector, ArrayRef<int64_t>{i}));
    return found;
  }
  for (int64_t i = 0; i < lanes; ++i) {
    here[loop] =
        i ? arith::AddIOp::create(kernel.inside, kernel.loc, point[loop], kernel.index(i)).getResult() : point[loop];
    found.push_back(read(operand, here));
  }
  return found;
}

void Nest::writeLanes(ValueRange values, unsigned init, ValueRange point, unsigned loop) {
  int64_t lanes = values.size();
  if (lanes > 1 && isVectorAlong(*op.getDpsInitOperand(init), loop)) {
    Value vector = LLVM::PoisonOp::create(kernel.inside, kernel.loc, VectorType::get({lanes}, values[0].getType()));
    for (int64_t i = 0; i < lanes; ++i)
      vector = vector::InsertOp::create(kernel.inside, kernel.loc, values[i], vector, ArrayRef<int64_t>{i});
    return write(vector, init, point);
  }
  SmallVector<Value> here(point);
  for (int64_t i = 0; i < lanes; ++i) {
    here[loop] =
        i ? arith::AddIOp::create(kernel.inside, kernel.loc, point[loop], kernel.index(i)).getResult() : point[loop];
    write(values[i], init, here);
  }
}

bool Nest::usesDestination(unsigned init) { return op.payloadUsesValueFromOperand(op.getDpsInitOperand(init)); }

void Nest::clone(Operation &operation, IRMapping &map, ValueRange point) {
  OpBuilder &inside = kernel.inside;
  if (auto index = dyn_cast<linalg::IndexOp>(operation)) {
    map.map(index.getResult(), point[index.getDim()]);
    return;
  }
  if (auto load = dyn_cast<memref::LoadOp>(operation)) {
    SmallVector<Value> indices = llvm::map_to_vector(
        load.getIndices(), [&](Value index) { return map.contains(index) ? map.lookup(index) : kernel.pass(index); });
    map.map(load.getResult(), kernel.load(kernel.view(load.getMemRef()), indices));
    return;
  }
  if (auto dim = dyn_cast<memref::DimOp>(operation))
    if (std::optional<int64_t> number = dim.getConstantIndex()) {
      map.map(dim.getResult(), kernel.index(kernel.size(dim.getSource(), *number)));
      return;
    }
  for (Value operand : operation.getOperands())
    if (!map.contains(operand))
      map.map(operand, kernel.pass(operand));
  if (operation.getNumRegions() == 0) {
    inside.clone(operation, map);
    return;
  }
  // Regions are copied operation by operation, since what they read from outside is an argument, too.
  Operation *copy = inside.insert(operation.cloneWithoutRegions(map));
  for (auto [from, to] : llvm::zip(operation.getRegions(), copy->getRegions())) {
    if (from.empty())
      continue;
    Block *block = new Block();
    to.push_back(block);
    for (BlockArgument argument : from.front().getArguments())
      map.map(argument, block->addArgument(argument.getType(), argument.getLoc()));
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToEnd(block);
    for (Operation &nested : from.front())
      clone(nested, map, point);
  }
  for (auto [from, to] : llvm::zip(operation.getResults(), copy->getResults()))
    map.map(from, to);
}

SmallVector<Value> Nest::compute(ValueRange arguments, ValueRange point) {
  Block *body = op.getBlock();
  IRMapping map;
  for (auto [argument, value] : llvm::zip_equal(body->getArguments(), arguments))
    if (value)
      map.map(argument, value);
  for (Operation &operation : body->without_terminator())
    clone(operation, map, point);
  return llvm::map_to_vector(body->getTerminator()->getOperands(),
                             [&](Value value) { return map.contains(value) ? map.lookup(value) : kernel.pass(value); });
}

Value Nest::computePart(Value wanted, ValueRange arguments, ValueRange point) {
  Block *body = op.getBlock();
  IRMapping map;
  for (auto [argument, value] : llvm::zip_equal(body->getArguments(), arguments))
    if (value)
      map.map(argument, value);
  BackwardSliceOptions options;
  options.inclusive = true;
  options.omitBlockArguments = true;
  options.filter = [&](Operation *each) { return each->getBlock() == body; };
  llvm::SetVector<Operation *> slice;
  if (wanted.getDefiningOp())
    (void)getBackwardSlice(wanted, &slice, options);
  for (Operation &operation : body->without_terminator())
    if (slice.contains(&operation))
      clone(operation, map, point);
  return map.contains(wanted) ? map.lookup(wanted) : kernel.pass(wanted);
}

Value Nest::computeFrom(Value wanted, ValueRange known, ValueRange point) {
  Block *body = op.getBlock();
  SmallVector<Value> arguments(known);
  arguments.resize(body->getNumArguments());
  llvm::SmallPtrSet<Value, 8> needed;
  SmallVector<Value> worklist{wanted};
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (!needed.insert(value).second)
      continue;
    if (Operation *def = value.getDefiningOp(); def && def->getBlock() == body)
      def->walk([&](Operation *each) { llvm::append_range(worklist, each->getOperands()); });
  }
  for (OpOperand *input : op.getDpsInputOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(input);
    if (Value &value = arguments[argument.getArgNumber()]; !value && needed.contains(argument))
      value = read(*input, point);
  }
  return computePart(wanted, arguments, point);
}

SmallVector<Value> Nest::computeGiven(ValueRange known, ValueRange values) {
  Block *body = op.getBlock();
  IRMapping map;
  for (auto [from, to] : llvm::zip_equal(known, values))
    map.map(from, to);
  llvm::SmallPtrSet<Operation *, 16> needed;
  SmallVector<Value> rest(body->getTerminator()->getOperands());
  while (!rest.empty()) {
    Value value = rest.pop_back_val();
    Operation *def = value.getDefiningOp();
    if (!map.contains(value) && def && def->getBlock() == body && needed.insert(def).second)
      llvm::append_range(rest, def->getOperands());
  }
  for (Operation &operation : body->without_terminator())
    if (needed.contains(&operation))
      clone(operation, map, {});
  return llvm::map_to_vector(body->getTerminator()->getOperands(),
                             [&](Value value) { return map.contains(value) ? map.lookup(value) : kernel.pass(value); });
}
