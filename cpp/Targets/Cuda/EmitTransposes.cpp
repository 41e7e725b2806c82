//===- EmitTransposes.cpp - Elements that lie crosswise ---------------------===//
//
// Neighbouring results are read from elements that lie far apart where an input's innermost dimension is another loop than
// the result's. A block reads a square of such inputs along their rows, turns it in shared memory, and computes and writes
// the results along theirs: both ways whole transactions.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Nest.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

/// A square has so many rows and columns; threads take a row of it at once, so many of them.
static constexpr int64_t kSquare = 32, kSquareThreads = 256;
/// Shorter loops would leave most of a square empty.
static constexpr int64_t kShortLoop = 16;
/// Inputs that a block has memory for.
static constexpr unsigned kMostTurned = 4;

/// The loop along an operand's innermost dimension, if there is one.
static std::optional<unsigned> innermost(Nest &nest, OpOperand &operand) {
  AffineMap map = nest.op.getMatchingIndexingMap(&operand);
  if (!isa<MemRefType>(operand.get().getType()) || map.getNumResults() < 2 || !map.isProjectedPermutation())
    return std::nullopt;
  return cast<AffineDimExpr>(map.getResults().back()).getPosition();
}

bool cuda::emitTransposed(Nest &nest) {
  linalg::LinalgOp op = nest.op;
  DeviceKernel &kernel = nest.kernel;
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  std::optional<unsigned> lane =
      nest.reductions.empty() && op.getNumDpsInits() == 1 ? innermost(nest, *op.getDpsInitOperand(0)) : std::nullopt;
  std::optional<unsigned> across;
  SmallVector<OpOperand *> turned;
  for (OpOperand *input : op.getDpsInputOperands()) {
    std::optional<unsigned> own = lane ? innermost(nest, *input) : std::nullopt;
    if (!own || *own == *lane || !op.getMatchingIndexingMap(input).isFunctionOfDim(*lane))
      continue;
    if (across && *across != *own)
      return false;
    across = own;
    turned.push_back(input);
  }
  auto isShort = [&](unsigned loop) {
    auto range = getConstantIntValue(nest.ranges[loop]);
    return range && *range < kShortLoop;
  };
  if (turned.empty() || turned.size() > kMostTurned || isShort(*lane) || isShort(*across))
    return false;

  auto add = [&](Value a, Value b) -> Value { return arith::AddIOp::create(inside, loc, a, b); };
  auto times = [&](Value a, int64_t b) -> Value { return arith::MulIOp::create(inside, loc, a, kernel.index(b)); };
  SmallVector<unsigned> others;
  for (unsigned loop : nest.parallel)
    if (loop != *lane && loop != *across)
      others.push_back(loop);
  SmallVector<OpFoldResult> sizes = nest.rangesOf(others);
  sizes.push_back(kernel.ceilDiv(nest.ranges[*across], kSquare));
  sizes.push_back(kernel.ceilDiv(nest.ranges[*lane], kSquare));
  SmallVector<Value> parts = kernel.delinearise(kernel.blockId(), sizes), point(op.getNumLoops());
  for (auto [loop, value] : llvm::zip(others, parts))
    point[loop] = value;
  Value acrossBase = times(parts[others.size()], kSquare), laneBase = times(parts[others.size() + 1], kSquare);
  Value acrossSize = kernel.index(nest.ranges[*across]), laneSize = kernel.index(nest.ranges[*lane]);
  Value x = arith::RemUIOp::create(inside, loc, kernel.threadId(), kernel.index(kSquare));
  Value y = arith::DivUIOp::create(inside, loc, kernel.threadId(), kernel.index(kSquare));
  SmallVector<Value> memory;
  for (OpOperand *input : turned)
    memory.push_back(kernel.shared(nest.view(*input).element, kSquare * (kSquare + 1)));

  /// Calls `body` at each place of this thread in the square, of those that exist: row, column, position in memory.
  auto eachPlace = [&](bool isReading, llvm::function_ref<void(Value)> body) {
    for (int64_t step = 0; step < kSquare; step += kSquareThreads / kSquare) {
      Value row = add(y, kernel.index(step));
      // Squares lie in memory with the result's columns as rows, one element longer than they are: no two in one bank.
      Value position = isReading ? add(times(row, kSquare + 1), x) : add(times(x, kSquare + 1), row);
      point[*lane] = add(laneBase, isReading ? row : x);
      point[*across] = add(acrossBase, isReading ? x : row);
      Value within = arith::AndIOp::create(
          inside, loc, arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ult, point[*lane], laneSize),
          arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ult, point[*across], acrossSize));
      auto guarded = scf::IfOp::create(inside, loc, within);
      OpBuilder::InsertionGuard guard(inside);
      inside.setInsertionPointToStart(guarded.thenBlock());
      body(position);
    }
  };
  eachPlace(true, [&](Value position) {
    for (auto [input, square] : llvm::zip_equal(turned, memory))
      LLVM::StoreOp::create(inside, loc, nest.read(*input, point),
                            kernel.sharedAddress(square, nest.view(*input).element, position));
  });
  kernel.barrier();
  eachPlace(false, [&](Value position) {
    SmallVector<Value> arguments;
    for (OpOperand &operand : op->getOpOperands()) {
      auto *found = llvm::find(turned, &operand);
      if (found != turned.end()) {
        Type element = nest.view(operand).element;
        Value from = kernel.sharedAddress(memory[found - turned.begin()], element, position);
        arguments.push_back(LLVM::LoadOp::create(inside, loc, element, from));
      } else if (op.isDpsInput(&operand)) {
        arguments.push_back(nest.read(operand, point));
      } else {
        arguments.push_back(nest.usesDestination(0) ? nest.start(0, point) : Value());
      }
    }
    nest.write(nest.compute(arguments, point).front(), 0, point);
  });
  kernel.launch(kernel.product(sizes), kSquareThreads);
  return true;
}
