//===- Nest.cpp - What the vectoriser knows about one loop nest
//-------------===//
//
// In:  a linalg.generic on slices and its #tw.config. Out: a Nest, or the
// reason why the op stays loops. Every refusal is made here, before any IR is
// built, so that the emitter cannot fail half way.
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Nest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::vectorize;

std::optional<vector::CombiningKind> vectorize::combiningKind(Operation *op) {
  using Kind = vector::CombiningKind;
  return TypeSwitch<Operation *, std::optional<Kind>>(op)
      .Case<arith::AddFOp, arith::AddIOp>([](auto) { return Kind::ADD; })
      .Case<arith::MulFOp, arith::MulIOp>([](auto) { return Kind::MUL; })
      .Case<arith::MaximumFOp>([](auto) { return Kind::MAXIMUMF; })
      .Case<arith::MinimumFOp>([](auto) { return Kind::MINIMUMF; })
      .Case<arith::MaxNumFOp>([](auto) { return Kind::MAXNUMF; })
      .Case<arith::MinNumFOp>([](auto) { return Kind::MINNUMF; })
      .Case<arith::MaxSIOp>([](auto) { return Kind::MAXSI; })
      .Case<arith::MinSIOp>([](auto) { return Kind::MINSI; })
      .Case<arith::MaxUIOp>([](auto) { return Kind::MAXUI; })
      .Case<arith::MinUIOp>([](auto) { return Kind::MINUI; })
      .Case<arith::AndIOp>([](auto) { return Kind::AND; })
      .Case<arith::OrIOp>([](auto) { return Kind::OR; })
      .Case<arith::XOrIOp>([](auto) { return Kind::XOR; })
      .Default([](Operation *) { return std::nullopt; });
}

Access vectorize::classify(AffineExpr expr, unsigned lane, int64_t lanes, int64_t laneSize) {
  if (!expr.isFunctionOfDim(lane))
    return Access::Uniform;
  if (isa<AffineDimExpr>(expr))
    return Access::Contiguous;
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return Access::PerLane;
  if (binary.getKind() == AffineExprKind::Add) {
    Access lhs = classify(binary.getLHS(), lane, lanes, laneSize),
           rhs = classify(binary.getRHS(), lane, lanes, laneSize);
    if (lhs == Access::Uniform)
      return rhs;
    return rhs == Access::Uniform ? lhs : Access::PerLane;
  }
  // Vectors start at multiples of `lanes`, so none crosses a multiple of a
  // divisor that is itself one.
  auto divisor = dyn_cast<AffineConstantExpr>(binary.getRHS());
  if (!divisor || !isa<AffineDimExpr>(binary.getLHS()))
    return Access::PerLane;
  bool oneBlock =
      divisor.getValue() % lanes == 0 || (!ShapedType::isDynamic(laneSize) && laneSize <= divisor.getValue());
  if (binary.getKind() == AffineExprKind::Mod && oneBlock)
    return Access::Contiguous;
  if (binary.getKind() == AffineExprKind::FloorDiv && oneBlock)
    return Access::Uniform;
  return Access::PerLane;
}

bool vectorize::isContiguousExtract(ArrayRef<Spread> indices) {
  return !indices.empty() && indices.back() == Spread::Lane &&
         llvm::all_of(indices.drop_back(), [](Spread s) { return s == Spread::Uniform; });
}

std::optional<Spread> vectorize::spreadOf(Operation *op, ArrayRef<Spread> operands, unsigned lane) {
  if (auto index = dyn_cast<linalg::IndexOp>(op))
    return index.getDim() == lane ? Spread::Lane : Spread::Uniform;
  if (llvm::all_of(operands, [](Spread s) { return s == Spread::Uniform; }))
    return Spread::Uniform;
  if (isa<tensor::ExtractOp>(op))
    return Spread::Vector;
  if (!OpTrait::hasElementwiseMappableTraits(op))
    return std::nullopt;
  // The lane's index stays symbolic through sums, so that an extract at `lane +
  // offset` is seen to be contiguous.
  if (isa<arith::AddIOp>(op) && operands[0] != operands[1] && !llvm::is_contained(operands, Spread::Vector))
    return Spread::Lane;
  if (isa<arith::SubIOp>(op) && operands[0] == Spread::Lane && operands[1] == Spread::Uniform)
    return Spread::Lane;
  return Spread::Vector;
}

namespace {

/// Elements that lie in memory one by one, as whole bytes (i1 included: it is
/// stored as a byte).
bool isPlainElement(Type type) {
  if (isa<IndexType, Float32Type, Float64Type, Float16Type, BFloat16Type>(type))
    return true;
  auto integer = dyn_cast<IntegerType>(type);
  return integer && integer.isSignless() &&
         (integer.getWidth() == 1 || (integer.getWidth() % 8 == 0 && integer.getWidth() <= 64));
}

/// Walks the body once with what is known about each value.
LogicalResult analyseBody(Nest &nest, std::string &reason) {
  Block *body = nest.op.getBody();
  DenseMap<Value, Spread> spread;
  auto get = [&](Value value) { return spread.lookup_or(value, Spread::Uniform); };
  for (auto [arg, access] : llvm::zip(body->getArguments(), nest.access))
    spread[arg] = access == Access::Uniform ? Spread::Uniform : Spread::Vector;
  for (BlockArgument arg : nest.op.getRegionOutputArgs())
    spread[arg] = Spread::Vector;
  for (Operation &op : body->without_terminator()) {
    if (op.getNumRegions() != 0 || op.getNumResults() != 1) {
      reason = ("its body has " + op.getName().getStringRef() + ", which holds a region or has no single result").str();
      return failure();
    }
    if (!isMemoryEffectFree(&op)) {
      reason = ("its body has " + op.getName().getStringRef() + ", which has side effects").str();
      return failure();
    }
    auto operands = llvm::map_to_vector(op.getOperands(), get);
    std::optional<Spread> result = spreadOf(&op, operands, nest.lane);
    if (!result) {
      reason = ("its body has " + op.getName().getStringRef() + ", which does not work element by element").str();
      return failure();
    }
    if (auto extract = dyn_cast<tensor::ExtractOp>(&op)) {
      Type element = extract.getType();
      if (!isPlainElement(element)) {
        reason = "its body reads a tensor whose elements are not whole bytes";
        return failure();
      }
      bool contiguous = isContiguousExtract(ArrayRef(operands).drop_front()) && !element.isInteger(1);
      nest.scalarTail |= *result == Spread::Vector && !contiguous;
    }
    if (*result == Spread::Vector && !VectorType::isValidElementType(op.getResult(0).getType())) {
      reason = "its body has a value that cannot be an element of a vector";
      return failure();
    }
    spread[op.getResult(0)] = *result;
  }
  return success();
}

/// The combiner of output `i` if its body is `yield combine(out, f(inputs))`
/// and nothing else sees the accumulator.
Operation *matchCombiner(linalg::GenericOp op, unsigned i) {
  BlockArgument acc = op.getRegionOutputArgs()[i];
  Operation *combiner = op.getBody()->getTerminator()->getOperand(i).getDefiningOp();
  if (!combiner || !combiningKind(combiner) || !acc.hasOneUse() || !combiner->getResult(0).hasOneUse())
    return nullptr;
  if (!llvm::is_contained(combiner->getOperands(), acc) || !arith::getNeutralElement(combiner))
    return nullptr;
  return combiner;
}

/// Finds an operand dimension that has each loop's size, a static one if there
/// is any.
LogicalResult findSizes(Nest &nest, std::string &reason) {
  unsigned numLoops = nest.op.getNumLoops();
  nest.sizes.assign(numLoops, ShapedType::kDynamic);
  nest.sizeSource.assign(numLoops, {~0u, 0});
  for (OpOperand &operand : nest.op->getOpOperands()) {
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    if (!type)
      continue;
    for (auto [dim, expr] : llvm::enumerate(nest.op.getMatchingIndexingMap(&operand).getResults())) {
      auto loop = dyn_cast<AffineDimExpr>(expr);
      if (!loop || nest.isStatic(loop.getPosition()))
        continue;
      if (nest.sizeSource[loop.getPosition()].first == ~0u || !type.isDynamicDim(dim))
        nest.sizeSource[loop.getPosition()] = {operand.getOperandNumber(), static_cast<unsigned>(dim)};
      nest.sizes[loop.getPosition()] = type.getDimSize(dim);
    }
  }
  for (auto [loop, source] : llvm::enumerate(nest.sizeSource))
    if (source.first == ~0u) {
      reason = "no operand has the size of loop d" + std::to_string(loop);
      return failure();
    }
  return success();
}

/// The loop along which an operand that strides along the lanes is contiguous,
/// if squares of that loop and the lanes can be turned in registers.
std::optional<unsigned> transposedLoop(const Nest &nest, AffineMap map, Type element) {
  if (nest.laneIsReduction || !nest.reductions.empty() || map.getNumResults() < 2 || !element.isIntOrFloat() ||
      element.getIntOrFloatBitWidth() < 8 || !llvm::isPowerOf2_64(nest.lanes))
    return std::nullopt;
  auto last = dyn_cast<AffineDimExpr>(map.getResults().back());
  if (!last || last.getPosition() == nest.lane)
    return std::nullopt;
  unsigned loop = last.getPosition();
  AffineExpr lane = getAffineDimExpr(nest.lane, map.getContext());
  for (AffineExpr expr : map.getResults().drop_back())
    if (expr.isFunctionOfDim(loop) || (expr.isFunctionOfDim(nest.lane) && expr != lane))
      return std::nullopt;
  bool tooShort = nest.isStatic(loop) && nest.sizes[loop] < nest.lanes;
  return tooShort ? std::nullopt : std::optional<unsigned>(loop);
}

LogicalResult checkOperands(Nest &nest, std::string &reason) {
  linalg::GenericOp op = nest.op;
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    nest.access.push_back(Access::Uniform);
    nest.sameAsOutput.push_back(-1);
    if (!type) {
      if (isa<ShapedType>(operand.get().getType())) {
        reason = "an operand is not a ranked tensor";
        return failure();
      }
      continue;
    }
    if (!isPlainElement(type.getElementType())) {
      reason = "an operand has elements that are not whole bytes";
      return failure();
    }
    Access access = Access::Uniform;
    for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
      Access here = classify(expr, nest.lane, nest.lanes, nest.sizes[nest.lane]);
      if (here == Access::Uniform)
        continue;
      bool last = dim + 1 == map.getNumResults();
      access = here == Access::Contiguous && last && access == Access::Uniform ? here : Access::PerLane;
    }
    // Memory holds i1 as bytes, but a vector of i1 would be read as bits.
    if (access == Access::Contiguous && type.getElementType().isInteger(1))
      access = Access::PerLane;
    if (access == Access::PerLane && !op.isDpsInit(&operand)) {
      std::optional<unsigned> loop = transposedLoop(nest, map, type.getElementType());
      if (loop && (!nest.transposed || nest.transposed == loop)) {
        nest.transposed = loop;
        access = Access::Transposed;
      }
    }
    nest.access.back() = access;
    if (op.isDpsInit(&operand)) {
      if (!nest.laneIsReduction && !map.isFunctionOfDim(nest.lane)) {
        reason = "an output does not depend on the lane loop";
        return failure();
      }
      for (unsigned loop : nest.reductions)
        if (!nest.running && map.isFunctionOfDim(loop)) {
          reason = "an output is indexed by a reduction loop";
          return failure();
        }
    } else if (nest.reductions.empty() && !nest.laneIsReduction) {
      for (auto [o, init] : llvm::enumerate(op.getDpsInits()))
        if (init == operand.get() && op.getMatchingIndexingMap(op.getDpsInitOperand(o)) == map)
          nest.sameAsOutput.back() = o;
    }
    // A scalar remainder is exact for every access; a masked one can only be
    // contiguous.
    nest.scalarTail |= access == Access::PerLane || access == Access::Transposed;
  }
  return success();
}

/// Whether the total can be computed in vectors.
bool checkRunning(const Nest &nest, std::string &reason) {
  if (!nest.laneIsReduction)
    return true;
  if (isa<arith::MulFOp>(nest.running->combiner)) {
    reason = "products of neighbours may overflow where the running product does not";
    return false;
  }
  if (nest.scalarTail || !llvm::isPowerOf2_64(nest.lanes)) {
    reason = "a running total strides along the lanes";
    return false;
  }
  return true;
}

} // namespace

FailureOr<Nest> vectorize::analyse(linalg::GenericOp op, tw::ConfigAttr config, std::string &reason) {
  Nest nest;
  nest.op = op;
  nest.lane = config.getLane();
  nest.lanes = config.getVector();
  nest.unroll = std::max<int64_t>(config.getUnroll(), 1);
  if (nest.lane < 0 || nest.lane >= op.getNumLoops() || nest.lanes < 2) {
    reason = "its configuration names no lane loop or fewer than two lanes";
    return failure();
  }
  if (!op.hasPureTensorSemantics()) {
    reason = "it does not work on tensors";
    return failure();
  }
  for (auto [loop, kind] : llvm::enumerate(op.getIteratorTypesArray())) {
    bool reduction = kind != utils::IteratorType::parallel;
    if (static_cast<int64_t>(loop) == nest.lane)
      nest.laneIsReduction = reduction;
    else
      (reduction ? nest.reductions : nest.outer).push_back(loop);
  }
  nest.running = matchRunning(op);
  if (failed(findSizes(nest, reason)) || failed(checkOperands(nest, reason)) || failed(analyseBody(nest, reason)))
    return failure();
  if (nest.running) {
    if (!checkRunning(nest, reason))
      return failure();
    return nest;
  }
  for (unsigned i = 0, e = op.getNumDpsInits(); i != e; ++i) {
    nest.combiners.push_back(matchCombiner(op, i));
    if (nest.laneIsReduction && !nest.combiners.back()) {
      reason = "the lane loop is a reduction, and output " + std::to_string(i) +
               " is not combined by a single add, mul, max, min, and, or, xor";
      return failure();
    }
  }
  nest.factoring = factorGroups(nest);
  return nest;
}
