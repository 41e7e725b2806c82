//===- EmitTensorProducts.cpp - Products on tensor cores --------------------===//
//
// In:  a product whose factors are f16 or bf16, sums in f32; or int8, sums in 32 bits; or f32 that may be rounded to
//      TF32.
// Out: a kernel of blocks that copy tiles of both factors into a ring in shared memory, some tiles ahead of the one that
//      they multiply (`cp.async`, 16 bytes each); warps take fragments from there by `ldmatrix` and multiply them by
//      `mma.sync` m16n8k16, or m16n8k32 for int8, m16n8k8 for TF32. A factor that is computed (dequantised, converted, strided
//      in memory) is stored by the threads instead of being copied.
//
// A tile lies in shared memory as it lies in memory: along the depth, or along rows or columns. Its units of 16 bytes are
// permuted within a row (exclusive or with the row's number), so that the eight rows of a matrix fragment lie in different
// banks. Elements of 32 bits stay f32 until they are in registers, where they are rounded to nearest: the tensor cores
// themselves would drop the bits. Sums leave through shared memory, so that results are written, and what the epilogue
// needs is read, 16 bytes at a time.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/ProductEmitter.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Bytes of one copy, and of the depth of one instruction.
constexpr int64_t kUnitBytes = 16, kDepthBytes = 32;
/// The instruction's sizes.
constexpr int64_t kM = 16, kN = 8;

class TensorProduct : public ProductEmitter {
public:
  TensorProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput,
                const TensorTile &tile)
      : ProductEmitter(nest, contraction, epilogue, epilogueInput), tile(tile),
        sumType(contraction.sum->getResult(0).getType()), element(contraction.isTf32 ? sumType : contraction.narrow),
        bytes(element.getIntOrFloatBitWidth() / 8), unit(kUnitBytes / bytes) {}

  void emit();

private:
  /// One factor: what is copied, and how it lies.
  struct Factor {
    bool isLhs;
    Value wanted;
    OpOperand *direct; ///< copied as it is, or null: computed
    int64_t copied;    ///< elements of one copy: a unit, or one of 32 bits
    bool alongDepth;   ///< whether neighbours in a tile are neighbours along the depth
    bool isTurned;     ///< whether they are not in memory
    int64_t outerTile, offset;
    Value outerBase, outerCount;
  };

  Factor factorOf(bool isLhs);
  bool isWhole(const Factor &factor);
  Value permuted(const Factor &factor, Value row, Value column);
  void fill(const Factor &factor, Value stage, Value kBase);
  Value computed(const Factor &factor, Value outer, Value k);
  SmallVector<Value> fragment(const Factor &factor, Value stage, Value outer, int64_t k);
  SmallVector<Value> fragmentOfWords(const Factor &factor, Value stage, Value outer, int64_t k);
  Value rounded(Value word);
  SmallVector<Value> multiply(Value stage, ArrayRef<Value> sums);

  Value isBelow(Value a, int64_t b) { return below(a, kernel.index(b)); }
  Value exclusiveOr(Value a, Value b) { return arith::XOrIOp::create(inside, loc, a, b); }
  Value at(Value byte) { return kernel.sharedAddress(memory, inside.getI8Type(), byte); }

  /// Units of a row of a tile.
  int64_t rowUnits(const Factor &factor) const { return (factor.alongDepth ? tile.depth : factor.outerTile) / unit; }

  TensorTile tile;
  Type sumType, element; ///< in shared memory
  int64_t bytes, unit;   ///< of an element; elements of 16 bytes
  int64_t threads = 0;
  Factor lhs{}, rhs{};
  Value memory, warpRow, warpColumn;
};

TensorProduct::Factor TensorProduct::factorOf(bool isLhs) {
  Factor found{isLhs,
               isLhs ? contraction.lhs : contraction.rhs,
               nullptr,
               unit,
               true,
               false,
               isLhs ? tile.rows : tile.columns,
               0,
               isLhs ? rowBase : columnBase,
               isLhs ? rowCount : columnCount};
  if (contraction.narrow)
    found.wanted = found.wanted.getDefiningOp()->getOperand(0);
  unsigned outer = (isLhs ? contraction.rows : contraction.columns).back(), inner = contraction.inner.back();
  found.alongDepth = runsAlong(found.wanted, contraction.inner);
  // Matrices of bytes cannot be turned on the way to registers: they are on the way to shared memory.
  if (bytes == 1 && !found.alongDepth)
    found.alongDepth = found.isTurned = true;
  if (auto argument = dyn_cast<BlockArgument>(found.wanted);
      argument && argument.getOwner() == nest.op.getBlock() && !found.isTurned) {
    OpOperand &operand = nest.op->getOpOperand(argument.getArgNumber());
    unsigned along = found.alongDepth ? inner : outer;
    auto range = getConstantIntValue(nest.ranges[along]);
    bool isWholeUnits = range && *range % unit == 0 && nest.isVectorAlong(operand, along);
    // Copies take 4, 8 or 16 bytes.
    if (nest.op.isDpsInput(&operand) && isa<MemRefType>(operand.get().getType()) && (isWholeUnits || bytes == 4))
      found.direct = &operand;
    found.copied = isWholeUnits ? unit : 1;
  }
  return found;
}

/// Whether tiles of a factor never reach beyond it.
bool TensorProduct::isWhole(const Factor &factor) {
  auto outer = getConstantIntValue(kernel.product(factor.isLhs ? rowRanges : columnRanges));
  auto depth = getConstantIntValue(kernel.product(innerRanges));
  return outer && depth && *outer % factor.outerTile == 0 && *depth % tile.depth == 0;
}

/// Where a unit of a row lies: in which column of units.
Value TensorProduct::permuted(const Factor &factor, Value row, Value column) {
  int64_t units = rowUnits(factor);
  // Words are read from four rows at once, two units of each.
  if (bytes == 4 && !factor.alongDepth)
    return add(times(row, units * kUnitBytes), times(exclusiveOr(column, times(rest(row, 4), 2)), kUnitBytes));
  // Rows of 64 bytes: two of them fill all banks, so that four pairs have to differ.
  Value turn = units >= 8 ? rest(row, 8) : rest(divide(row, 8 / units), units);
  return add(times(row, units * kUnitBytes), times(exclusiveOr(column, turn), kUnitBytes));
}

/// A unit of a factor that is not copied, zeros beyond it.
Value TensorProduct::computed(const Factor &factor, Value outer, Value k) {
  Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(element));
  Value vector = LLVM::PoisonOp::create(inside, loc, VectorType::get({unit}, element));
  for (int64_t i = 0; i < unit; ++i) {
    Value outerHere = factor.alongDepth ? outer : add(outer, i), depthHere = factor.alongDepth ? add(k, i) : k;
    auto value = scf::IfOp::create(inside, loc, TypeRange{element},
                                   both(below(outerHere, factor.outerCount), below(depthHere, innerCount)),
                                   /*withElse=*/true);
    {
      OpBuilder::InsertionGuard guard(inside);
      inside.setInsertionPointToStart(value.thenBlock());
      scf::YieldOp::create(inside, loc, this->factor(factor.wanted, factor.isLhs, outerHere, depthHere));
      inside.setInsertionPointToStart(value.elseBlock());
      scf::YieldOp::create(inside, loc, zero);
    }
    vector = vector::InsertOp::create(inside, loc, value.getResult(0), vector, ArrayRef<int64_t>{i});
  }
  return vector;
}

/// Brings a tile of a factor, beginning at depth `kBase`, to a stage of the ring.
void TensorProduct::fill(const Factor &factor, Value stage, Value kBase) {
  int64_t units = rowUnits(factor), count = factor.outerTile * tile.depth / unit;
  auto i32 = [&](int64_t number) -> Value {
    return arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(number));
  };
  for (int64_t turn = 0; turn < count; turn += threads) {
    Value number = add(kernel.threadId(), turn), row = divide(number, units), column = rest(number, units);
    // Neighbouring threads read neighbours in memory.
    if (factor.isTurned) {
      row = rest(number, factor.outerTile);
      column = divide(number, factor.outerTile);
    }
    Value place = add(add(stage, permuted(factor, row, column)), factor.offset);
    Value along = times(column, unit);
    Value outer = add(factor.outerBase, factor.alongDepth ? row : along);
    Value k = add(kBase, factor.alongDepth ? along : row);
    if (!factor.direct) {
      LLVM::StoreOp::create(inside, loc, computed(factor, outer, k), at(place), kUnitBytes);
      continue;
    }
    // A copy lies within or beyond: rows consist of whole ones.
    int64_t size = factor.copied * bytes;
    for (int64_t part = 0; part < unit; part += factor.copied) {
      Value outerHere = factor.alongDepth ? outer : add(outer, part), depthHere = factor.alongDepth ? add(k, part) : k;
      Value wanted;
      if (!isWhole(factor)) {
        Value within = both(below(outerHere, factor.outerCount), below(depthHere, innerCount));
        wanted = arith::SelectOp::create(inside, loc, within, i32(size), i32(0));
      }
      Value from = kernel.address(nest.view(*factor.direct),
                                  nest.subscripts(*factor.direct, pointOf(factor.isLhs, outerHere, depthHere)));
      auto caching = size == kUnitBytes ? NVVM::LoadCacheModifierKind::CG : NVVM::LoadCacheModifierKind::CA;
      NVVM::CpAsyncOp::create(inside, loc, at(add(place, part * bytes)), from, size, caching, wanted);
    }
  }
}

/// An element as the instruction takes it.
Value TensorProduct::rounded(Value word) {
  if (contraction.isTf32)
    return NVVM::ConvertFloatToTF32Op::create(inside, loc, inside.getI32Type(),
                                              LLVM::BitcastOp::create(inside, loc, element, word),
                                              NVVM::FPRoundingMode::RNA);
  return contraction.narrow.isF16() ? LLVM::BitcastOp::create(inside, loc, VectorType::get({2}, element), word) : word;
}

/// The words of `fragment` one by one, for elements of 32 bits in tiles that do not lie along the depth: `ldmatrix` turns
/// matrices of 16 bits only.
SmallVector<Value> TensorProduct::fragmentOfWords(const Factor &factor, Value stage, Value outer, int64_t k) {
  Value deep = rest(lane, 4), across = divide(lane, 4);
  SmallVector<Value> words;
  for (int64_t i = 0; i < 4; ++i) {
    int64_t outerHalf = factor.isLhs ? i % 2 : i / 2, depthHalf = factor.isLhs ? i / 2 : i % 2;
    Value row = add(deep, k + 4 * depthHalf), column = add(outer, add(across, 8 * outerHalf));
    Value place = add(permuted(factor, row, divide(column, unit)), times(rest(column, unit), bytes));
    Value from = at(add(add(stage, place), factor.offset));
    words.push_back(rounded(LLVM::LoadOp::create(inside, loc, inside.getI32Type(), from, bytes)));
  }
  return words;
}

/// Four matrices of 8 by 8, one word per lane each: 16 rows (of the left factor) or columns from `outer` on, 16 of the
/// depth from `k` on, in the order in which the instruction takes them.
SmallVector<Value> TensorProduct::fragment(const Factor &factor, Value stage, Value outer, int64_t k) {
  if (bytes == 4 && !factor.alongDepth)
    return fragmentOfWords(factor, stage, outer, k);
  Value low = rest(lane, 8), middle = rest(divide(lane, 8), 2), high = divide(lane, 16);
  // Which half of the rows or columns, and of the depth, the lane's matrix is: the left factor has the depth outermost.
  Value outerHalf = factor.isLhs ? middle : high, depthHalf = factor.isLhs ? high : middle;
  Value row, column;
  if (factor.alongDepth) {
    row = add(outer, add(low, times(outerHalf, 8)));
    column = add(depthHalf, k / unit);
  } else {
    row = add(add(low, times(depthHalf, 8)), k);
    column = add(divide(outer, unit), outerHalf);
  }
  Value from = at(add(add(stage, permuted(factor, row, column)), factor.offset));
  Type i32 = inside.getI32Type();
  auto four = LLVM::LLVMStructType::getLiteral(inside.getContext(), {i32, i32, i32, i32});
  auto layout = factor.alongDepth ? NVVM::MMALayout::row : NVVM::MMALayout::col;
  auto shape = NVVM::LdStMatrixShapeAttr::get(inside.getContext(), 8, 8);
  Value matrices =
      NVVM::LdMatrixOp::create(inside, loc, four, from, 4, layout, shape, NVVM::LdStMatrixEltType::B16).getRes();
  SmallVector<Value> words;
  for (int64_t i = 0; i < 4; ++i)
    words.push_back(rounded(LLVM::ExtractValueOp::create(inside, loc, i32, matrices, ArrayRef<int64_t>{i})));
  return words;
}

/// Multiplies the tiles of a stage.
SmallVector<Value> TensorProduct::multiply(Value stage, ArrayRef<Value> sums) {
  int64_t rowTiles = tile.warpRows / kM, columnTiles = tile.warpColumns / kN;
  auto four = LLVM::LLVMStructType::getLiteral(inside.getContext(), SmallVector<Type>(4, sumType));
  bool isInteger = element.isInteger();
  auto type = isInteger          ? NVVM::MMATypes::s8
              : element.isF32()  ? NVVM::MMATypes::tf32
              : element.isBF16() ? NVVM::MMATypes::bf16
                                 : NVVM::MMATypes::f16;
  // Sums wrap around, as additions do.
  auto overflow = isInteger ? std::optional(NVVM::MMAIntOverflow::wrapped) : std::nullopt;
  int64_t depth = kDepthBytes / bytes;
  SmallVector<Value> next(sums);
  for (int64_t k = 0; k < tile.depth; k += depth) {
    SmallVector<SmallVector<Value>> left, right;
    for (int64_t i = 0; i < rowTiles; ++i)
      left.push_back(fragment(lhs, stage, add(warpRow, i * kM), k));
    for (int64_t j = 0; j < columnTiles; j += 2) {
      SmallVector<Value> words = fragment(rhs, stage, add(warpColumn, j * kN), k);
      right.push_back({words[0], words[1]});
      right.push_back({words[2], words[3]});
    }
    for (int64_t i = 0; i < rowTiles; ++i)
      for (int64_t j = 0; j < columnTiles; ++j) {
        auto sum = MutableArrayRef<Value>(next).slice((i * columnTiles + j) * 4, 4);
        auto result = NVVM::MmaOp::create(inside, loc, four, left[i], right[j], sum, ArrayRef<int64_t>{kM, kN, depth},
                                          std::nullopt, overflow, std::array<NVVM::MMATypes, 2>{type, type},
                                          std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
        for (int64_t part = 0; part < 4; ++part)
          sum[part] = LLVM::ExtractValueOp::create(inside, loc, sumType, result.getRes(), ArrayRef<int64_t>{part});
      }
  }
  return next;
}

void TensorProduct::emit() {
  int64_t warpsAcross = tile.columns / tile.warpColumns, warps = tile.rows / tile.warpRows * warpsAcross;
  threads = warps * kWarpLanes;
  place(tile.rows, tile.columns);
  lhs = factorOf(true);
  rhs = factorOf(false);
  rhs.offset = tile.rows * tile.depth * bytes;
  int64_t stageBytes = (tile.rows + tile.columns) * tile.depth * bytes;
  int64_t sumBytes = warps * bytesOfSums(tile.warpColumns);
  memory = kernel.shared(inside.getI8Type(), std::max(tile.stages * stageBytes, sumBytes), /*alignment=*/128);
  warpRow = times(divide(warp, warpsAcross), tile.warpRows);
  warpColumn = times(rest(warp, warpsAcross), tile.warpColumns);

  SmallVector<Value> sums = alongRing(
      {tile.stages, stageBytes, tile.depth}, tile.warpRows * tile.warpColumns / kWarpLanes, sumType,
      [&](Value stage, Value kBase) {
        fill(lhs, stage, kBase);
        fill(rhs, stage, kBase);
      },
      [&](Value stage, ValueRange sums) { return multiply(stage, SmallVector<Value>(sums)); });
  // The ring becomes memory for sums.
  NVVM::CpAsyncWaitGroupOp::create(inside, loc, 0);
  kernel.barrier();
  writeSums(sums, memory, tile.warpColumns, add(rowBase, warpRow), add(columnBase, warpColumn));
  kernel.launch(blocks, threads);
}

} // namespace

TensorTile cuda::tensorTileOf(linalg::LinalgOp op) {
  SmallVector<int64_t> chosen = tileOf(op);
  if (chosen.size() != 6)
    return {};
  return {chosen[0], chosen[1], chosen[2], chosen[3], chosen[4], chosen[5]};
}

void cuda::emitTensorProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput,
                             const TensorTile &tile) {
  TensorProduct(nest, contraction, epilogue, epilogueInput, tile).emit();
}
