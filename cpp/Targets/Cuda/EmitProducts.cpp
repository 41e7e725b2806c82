//===- EmitProducts.cpp - A block of threads per tile of a product ----------===//
//
// A block brings tiles of both factors into a ring in shared memory, some tiles ahead of the one that it multiplies
// (`cp.async`); what prologues compute (dequantisation, casts) is computed once per tile and stored there. Each thread keeps
// its part of the result in registers, and applies the epilogue to it there. Tiles that reach beyond the arrays are filled
// with zeros, results beyond are dropped.
//
// Here: fused multiply-adds, for any type. Tensor cores: EmitTensorProducts.cpp.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/ProductEmitter.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Where select has not chosen one.
constexpr TensorTile kPlainTile{64, 64, 16, 4, 0, 0};
/// Threads of a block form a square; each has rows and columns in groups of neighbours, which it reads at once.
constexpr int64_t kSide = 16, kGroup = 4;

class PlainProduct : public ProductEmitter {
public:
  PlainProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput,
               const TensorTile &tile)
      : ProductEmitter(nest, contraction, epilogue, epilogueInput), tile(tile) {}
  void emit();

private:
  /// One factor: how it comes, and where its tiles lie in a stage. They lie with neighbouring rows, or columns, next to each
  /// other, whatever lies so in memory.
  struct Factor {
    bool isLhs;
    Value wanted;
    OpOperand *direct; ///< copied as it is, or null: computed
    int64_t unit;      ///< neighbouring rows, or columns, that are copied at once
    bool outerFastest; ///< which way neighbouring threads read
    int64_t outerTile, offset;
    Value outerBase, outerCount;
    int64_t pitch() const { return outerTile + kGroup; }
  };

  Factor factorOf(bool isLhs);
  void fill(const Factor &factor, Value stage, Value kBase);
  SmallVector<Value> take(const Factor &factor, Value stage, Value lane, int64_t k);
  SmallVector<Value> multiply(Value stage, ValueRange sums);

  TensorTile tile;
  Type factorType = contraction.multiply->getResult(0).getType(), sumType = contraction.sum->getResult(0).getType();
  int64_t bytes = std::max<int64_t>(1, factorType.getIntOrFloatBitWidth() / 8);
  Factor lhs{}, rhs{};
  Value memory, x, y;
};

PlainProduct::Factor PlainProduct::factorOf(bool isLhs) {
  Factor found{isLhs,
               isLhs ? contraction.lhs : contraction.rhs,
               nullptr,
               1,
               isLhs ? !runsAlong(contraction.lhs, contraction.inner) : runsAlong(contraction.rhs, contraction.columns),
               isLhs ? tile.rows : tile.columns,
               isLhs ? 0 : tile.depth * lhs.pitch(),
               isLhs ? rowBase : columnBase,
               isLhs ? rowCount : columnCount};
  auto argument = dyn_cast<BlockArgument>(found.wanted);
  // Copies take 4, 8 or 16 bytes.
  if (!argument || argument.getOwner() != nest.op.getBlock() || (bytes != 4 && bytes != 8))
    return found;
  OpOperand &operand = nest.op->getOpOperand(argument.getArgNumber());
  if (!nest.op.isDpsInput(&operand) || !isa<MemRefType>(operand.get().getType()))
    return found;
  found.direct = &operand;
  unsigned outer = (isLhs ? contraction.rows : contraction.columns).back();
  auto range = getConstantIntValue(nest.ranges[outer]);
  if (found.outerFastest && range && *range % (16 / bytes) == 0 && nest.isVectorAlong(operand, outer))
    found.unit = 16 / bytes;
  return found;
}

/// Brings a tile of a factor to a stage: all threads, in turns.
void PlainProduct::fill(const Factor &factor, Value stage, Value kBase) {
  int64_t outerUnits = factor.outerTile / factor.unit, fastest = factor.outerFastest ? outerUnits : tile.depth;
  constexpr int64_t threads = kSide * kSide;
  for (int64_t turn = 0; turn < outerUnits * tile.depth; turn += threads) {
    Value number = add(kernel.threadId(), turn), low = rest(number, fastest), high = divide(number, fastest);
    OpBuilder::InsertionGuard guard(inside);
    if (outerUnits * tile.depth - turn < threads)
      inside.setInsertionPointToStart(
          scf::IfOp::create(inside, loc, below(number, kernel.index(outerUnits * tile.depth))).thenBlock());
    Value outerHere = times(factor.outerFastest ? low : high, factor.unit),
          depthHere = factor.outerFastest ? high : low;
    Value outer = add(factor.outerBase, outerHere), k = add(kBase, depthHere);
    Value within = both(below(outer, factor.outerCount), below(k, innerCount));
    Value position = add(add(stage, add(times(depthHere, factor.pitch()), outerHere)), factor.offset);
    Value to = kernel.sharedAddress(memory, factorType, position);
    if (factor.direct) {
      auto i32 = [&](int64_t each) -> Value {
        return arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(each));
      };
      int64_t size = factor.unit * bytes;
      Value wanted = arith::SelectOp::create(inside, loc, within, i32(size), i32(0));
      Value from =
          kernel.address(nest.view(*factor.direct), nest.subscripts(*factor.direct, pointOf(factor.isLhs, outer, k)));
      auto caching = size == 16 ? NVVM::LoadCacheModifierKind::CG : NVVM::LoadCacheModifierKind::CA;
      NVVM::CpAsyncOp::create(inside, loc, to, from, size, caching, wanted);
      continue;
    }
    auto value = scf::IfOp::create(inside, loc, TypeRange{factorType}, within, /*withElse=*/true);
    {
      OpBuilder::InsertionGuard inner(inside);
      inside.setInsertionPointToStart(value.thenBlock());
      scf::YieldOp::create(inside, loc, this->factor(factor.wanted, factor.isLhs, outer, k));
      inside.setInsertionPointToStart(value.elseBlock());
      Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(factorType));
      scf::YieldOp::create(inside, loc, zero);
    }
    LLVM::StoreOp::create(inside, loc, value.getResult(0), to);
  }
}

/// This thread's rows, or columns, at a depth.
SmallVector<Value> PlainProduct::take(const Factor &factor, Value stage, Value lane, int64_t k) {
  SmallVector<Value> found;
  for (int64_t group = 0; group < factor.outerTile; group += kSide * kGroup) {
    Value position = add(add(stage, times(lane, kGroup)), factor.offset + k * factor.pitch() + group);
    Value four =
        LLVM::LoadOp::create(inside, loc, VectorType::get({kGroup}, factorType),
                             kernel.sharedAddress(memory, factorType, position), std::min<int64_t>(16, bytes * kGroup));
    for (int64_t i = 0; i < kGroup; ++i)
      found.push_back(vector::ExtractOp::create(inside, loc, four, ArrayRef<int64_t>{i}));
  }
  return found;
}

/// Multiplies the tiles of a stage, step by step of the depth.
SmallVector<Value> PlainProduct::multiply(Value stage, ValueRange sums) {
  SmallVector<Value> next(sums);
  BlockArgument accumulator = nest.op.getRegionOutputArgs().front();
  bool swapped = contraction.multiply->getOperand(0) != contraction.lhs;
  bool first = contraction.sum->getOperand(0) == accumulator;
  for (int64_t k = 0; k < tile.depth; ++k) {
    SmallVector<Value> left = take(lhs, stage, y, k), right = take(rhs, stage, x, k);
    for (auto [i, sum] : llvm::enumerate(next)) {
      IRMapping map, added;
      map.map(contraction.multiply->getOperand(swapped ? 1 : 0), left[i / right.size()]);
      map.map(contraction.multiply->getOperand(swapped ? 0 : 1), right[i % right.size()]);
      Value product = inside.clone(*contraction.multiply, map)->getResult(0);
      added.map(contraction.sum->getOperand(0), first ? sum : product);
      added.map(contraction.sum->getOperand(1), first ? product : sum);
      sum = inside.clone(*contraction.sum, added)->getResult(0);
    }
  }
  return next;
}

void PlainProduct::emit() {
  // Wide elements: fewer tiles ahead, so that any kernel may have the memory.
  if (bytes > 4)
    tile = {64, 64, 16, 2, 0, 0};
  place(tile.rows, tile.columns);
  lhs = factorOf(true);
  rhs = factorOf(false);
  int64_t stageElements = tile.depth * (lhs.pitch() + rhs.pitch());
  memory = kernel.shared(factorType, tile.stages * stageElements);
  x = rest(kernel.threadId(), kSide);
  y = divide(kernel.threadId(), kSide);
  SmallVector<Value> results = alongRing(
      {tile.stages, stageElements, tile.depth}, tile.rows * tile.columns / (kSide * kSide), sumType,
      [&](Value stage, Value kBase) {
        fill(lhs, stage, kBase);
        fill(rhs, stage, kBase);
      },
      [&](Value stage, ValueRange sums) { return multiply(stage, sums); });
  NVVM::CpAsyncWaitGroupOp::create(inside, loc, 0);
  int64_t each = std::min(neighbours(), kGroup), perRow = tile.columns / kSide;
  for (int64_t i = 0; i < tile.rows / kSide; ++i)
    for (int64_t j = 0; j < perRow; j += each) {
      auto at = [&](Value lane, int64_t number) {
        return add(times(lane, kGroup), number / kGroup * kSide * kGroup + number % kGroup);
      };
      ArrayRef<Value> sums = ArrayRef(results).slice(i * perRow + j, each);
      finish(sums, add(rowBase, at(y, i)), add(columnBase, at(x, j)));
    }
  kernel.launch(blocks, kSide * kSide);
}

} // namespace

bool cuda::emitProduct(Nest &nest, Nest *epilogue, unsigned epilogueInput, StringRef lowering) {
  std::optional<Contraction> contraction = contractionOf(nest.op);
  if (!contraction)
    return false;
  TensorTile tile = tensorTileOf(nest.op);
  bool isWarpgroup = lowering == kWgmma;
  if (isWarpgroup && !isa_and_nonnull<IntegerType>(contraction->narrow) &&
      emitWarpgroupProduct(nest, *contraction, epilogue, epilogueInput))
    return true;
  // Its tiles are too large for anything else.
  if (isWarpgroup)
    tile = {};
  if ((isWarpgroup || lowering == kMma) && (contraction->narrow || contraction->isTf32))
    emitTensorProduct(nest, *contraction, epilogue, epilogueInput, tile);
  else
    PlainProduct(nest, *contraction, epilogue, epilogueInput,
                 tileOf(nest.op).size() == 6 && lowering == kTiles ? tile : kPlainTile)
        .emit();
  return true;
}
