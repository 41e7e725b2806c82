//===- EmitAttention.cpp - Attention on tensor cores ------------------------===//
//
// In:  two products with a softmax between them (Attention.h), factors f16 or bf16.
// Out: one kernel. A block has 64 rows of queries, each of its four warps sixteen of them, and goes along the keys in steps
//      of 64: scores by `mma.sync` in registers, the user's formulas on them, the running maximum of each row. What was summed
//      up under a lower maximum is scaled down when a higher one comes ("online softmax"), so that nothing is kept but
//      the sums. Scores become weights in registers, which are fragments of the second product as they are.
//
// Heads that share keys are rows of one product, so that their keys are read once. Keys that no row of a block sees, by a
// formula that compares places, are not looked at. While a warp computes scores the values are on their way, and during the
// softmax the next keys.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/FragmentAttention.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Rows of a block, and keys of one step.
constexpr int64_t kQueryRows = 64, kKeys = 64;
constexpr int64_t kAttentionThreads = kQueryRows / kWarpRows * kWarpLanes;
/// Elements of one copy.
constexpr int64_t kCopyElements = 8;

class TensorAttention : public FragmentAttention {
public:
  using FragmentAttention::FragmentAttention;
  void emit();

private:
  /// Rows of an array in shared memory, units of 16 bytes permuted within each.
  struct Tile {
    int64_t rows, units, pitch, offset; ///< pitch in units, a power of two; offset in bytes
    int64_t bytes() const { return rows * pitch * kCopyBytes; }
  };
  Tile tileOf(int64_t rows, int64_t columns, int64_t offset);
  Value placeIn(const Tile &tile, Value row, Value unit);
  void copy(const Tile &tile, llvm::function_ref<Value(Value, Value)> address, llvm::function_ref<Value(Value)> exists);
  void copyQueries();
  void copyKeys(Value first);
  void copyValues(Value first);
  Values load(const Tile &tile, Value row, Value unit, bool transposed);
  void multiply(MutableArrayRef<Value> sums, const Values &left, Value first, Value second);
  Values scoresOf(const SmallVector<Values> &queries);
  State step(const State &before, const SmallVector<Values> &queries, Value first);

  Tile queryTile{}, keyTile{}, valueTile{};
  Value memory;
};

TensorAttention::Tile TensorAttention::tileOf(int64_t rows, int64_t columns, int64_t offset) {
  int64_t units = columns / kCopyElements;
  return {rows, units, static_cast<int64_t>(llvm::PowerOf2Ceil(units)), offset};
}

/// Bytes from the start of shared memory: eight rows that are read together lie in different banks.
Value TensorAttention::placeIn(const Tile &tile, Value row, Value unit) {
  Value turn = tile.pitch >= 8 ? rest(row, 8) : rest(divide(row, 8 / tile.pitch), tile.pitch);
  Value mixed = arith::XOrIOp::create(inside, loc, unit, turn);
  return add(add(times(row, tile.pitch * kCopyBytes), times(mixed, kCopyBytes)), tile.offset);
}

/// Starts the copies of a tile: from the address of a unit of a row, where the row exists; zeros where not.
void TensorAttention::copy(const Tile &tile, llvm::function_ref<Value(Value, Value)> address,
                           llvm::function_ref<Value(Value)> exists) {
  int64_t count = tile.rows * tile.units;
  for (int64_t turn = 0; turn < count; turn += kAttentionThreads) {
    Value number = add(kernel.threadId(), turn), row = divide(number, tile.units), unit = rest(number, tile.units);
    auto one = [&] {
      Value to = kernel.sharedAddress(memory, inside.getI8Type(), placeIn(tile, row, unit));
      Value bytes = arith::SelectOp::create(inside, loc, exists(row), i32(kCopyBytes), i32(0));
      NVVM::CpAsyncOp::create(inside, loc, to, address(row, times(unit, kCopyElements)), kCopyBytes,
                              NVVM::LoadCacheModifierKind::CG, bytes);
    };
    if (turn + kAttentionThreads <= count) {
      one();
      continue;
    }
    auto guarded = scf::IfOp::create(inside, loc, below(number, kernel.index(count)));
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(guarded.thenBlock());
    one();
  }
}

void TensorAttention::copyQueries() {
  OpOperand &queries = operandOf(scores.op, attention.scores.lhs);
  copy(
      queryTile,
      [&](Value row, Value column) {
        Values there = scorePoint(add(rowBase, row), kernel.index(int64_t{0}), column);
        return kernel.address(scores.view(queries), scores.subscripts(queries, there));
      },
      [&](Value row) { return below(add(rowBase, row), rowCount); });
}

void TensorAttention::copyKeys(Value first) {
  OpOperand &keys = operandOf(scores.op, attention.scores.rhs);
  copy(
      keyTile,
      [&](Value row, Value column) {
        Values there = scorePoint(rowBase, add(first, row), column);
        return kernel.address(scores.view(keys), scores.subscripts(keys, there));
      },
      [&](Value row) { return below(add(first, row), keyCount); });
}

void TensorAttention::copyValues(Value first) {
  OpOperand &values = operandOf(nest.op, contraction.rhs);
  copy(
      valueTile,
      [&](Value row, Value column) {
        return kernel.address(nest.view(values), nest.subscripts(values, pointOf(false, column, add(first, row))));
      },
      [&](Value row) { return below(add(first, row), keyCount); });
}

/// Four matrices of 8 by 8, one word per lane each; the lane says which row of which of them it points to.
SmallVector<Value> TensorAttention::load(const Tile &tile, Value row, Value unit, bool transposed) {
  Type word = inside.getI32Type();
  auto four = LLVM::LLVMStructType::getLiteral(inside.getContext(), {word, word, word, word});
  Value from = kernel.sharedAddress(memory, inside.getI8Type(), placeIn(tile, row, unit));
  Value matrices =
      NVVM::LdMatrixOp::create(inside, loc, four, from, 4, transposed ? NVVM::MMALayout::col : NVVM::MMALayout::row,
                               NVVM::LdStMatrixShapeAttr::get(inside.getContext(), 8, 8), NVVM::LdStMatrixEltType::B16)
          .getRes();
  Values words;
  for (int64_t i = 0; i < 4; ++i)
    words.push_back(LLVM::ExtractValueOp::create(inside, loc, word, matrices, ArrayRef<int64_t>{i}));
  return words;
}

/// Adds a product of 16 rows and 8 columns.
void TensorAttention::multiply(MutableArrayRef<Value> sums, const Values &left, Value first, Value second) {
  auto f32 = inside.getF32Type();
  auto four = LLVM::LLVMStructType::getLiteral(inside.getContext(), {f32, f32, f32, f32});
  Type narrow = contraction.narrow;
  auto asFactor = [&](Value word) -> Value {
    return narrow.isBF16() ? word
                           : LLVM::BitcastOp::create(inside, loc, VectorType::get({2}, narrow), word).getResult();
  };
  Values a = llvm::map_to_vector(left, asFactor), b{asFactor(first), asFactor(second)};
  auto type = narrow.isBF16() ? NVVM::MMATypes::bf16 : NVVM::MMATypes::f16;
  auto result = NVVM::MmaOp::create(inside, loc, four, a, b, ValueRange(sums),
                                    ArrayRef<int64_t>{kWarpRows, kStepColumns, kStepDepth}, std::nullopt, std::nullopt,
                                    std::array<NVVM::MMATypes, 2>{type, type},
                                    std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
  for (int64_t part = 0; part < 4; ++part)
    sums[part] = LLVM::ExtractValueOp::create(inside, loc, f32, result.getRes(), ArrayRef<int64_t>{part});
}

/// Products of the warp's queries with the keys in shared memory.
SmallVector<Value> TensorAttention::scoresOf(const SmallVector<Values> &queries) {
  Values sums(kKeys / kStepColumns * 4, constant(0));
  Value low = rest(lane, 8), middle = rest(divide(lane, 8), 2), high = divide(lane, 16);
  for (int64_t k = 0; k < depth; k += kStepDepth)
    for (int64_t key = 0; key < kKeys; key += 2 * kStepColumns) {
      Value row = add(add(low, times(high, 8)), key), unit = add(middle, k / kCopyElements);
      Values words = load(keyTile, row, unit, /*transposed=*/false);
      auto all = MutableArrayRef<Value>(sums);
      multiply(all.slice(key / kStepColumns * 4, 4), queries[k / kStepDepth], words[0], words[1]);
      multiply(all.slice((key / kStepColumns + 1) * 4, 4), queries[k / kStepDepth], words[2], words[3]);
    }
  return sums;
}

/// One step along the keys, from number `first` on.
TensorAttention::State TensorAttention::step(const State &before, const SmallVector<Values> &queries, Value first) {
  copyValues(first);
  NVVM::CpAsyncCommitGroupOp::create(inside, loc);
  Values elements = scoresOf(queries);
  kernel.barrier(); // all warps are done with these keys
  copyKeys(add(first, kKeys));
  NVVM::CpAsyncCommitGroupOp::create(inside, loc);

  State after = before;
  rescale(after, weigh(after, elements, first));

  NVVM::CpAsyncWaitGroupOp::create(inside, loc, 1);
  kernel.barrier(); // the values are there
  Value low = rest(lane, 8), middle = rest(divide(lane, 8), 2), high = divide(lane, 16);
  for (int64_t key = 0; key < kKeys; key += kStepDepth) {
    Values left = leftFactor(elements, key);
    for (int64_t column = 0; column < columns; column += 2 * kStepColumns) {
      Value row = add(add(low, times(middle, 8)), key), unit = add(high, column / kCopyElements);
      Values words = load(valueTile, row, unit, /*transposed=*/true);
      auto all = MutableArrayRef<Value>(after.sums);
      multiply(all.slice(column / kStepColumns * 4, 4), left, words[0], words[1]);
      multiply(all.slice((column / kStepColumns + 1) * 4, 4), left, words[2], words[3]);
    }
  }
  NVVM::CpAsyncWaitGroupOp::create(inside, loc, 0);
  kernel.barrier(); // the next keys are there, and all warps are done with the values
  return after;
}

void TensorAttention::emit() {
  beginWarps(kQueryRows);
  keyTile = tileOf(kKeys, depth, 0);
  valueTile = tileOf(kKeys, columns, keyTile.bytes());
  queryTile = tileOf(kQueryRows, depth, keyTile.bytes());
  int64_t bytes = std::max({keyTile.bytes() + std::max(valueTile.bytes(), queryTile.bytes()),
                            kAttentionThreads / kWarpLanes * bytesOfSums(columns)});
  memory = kernel.shared(inside.getI8Type(), bytes, /*alignment=*/128);

  // Queries wait where values will be, until they are in registers.
  copyQueries();
  copyKeys(kernel.index(int64_t{0}));
  NVVM::CpAsyncCommitGroupOp::create(inside, loc);
  NVVM::CpAsyncWaitGroupOp::create(inside, loc, 0);
  kernel.barrier();
  SmallVector<Values> queries;
  for (int64_t k = 0; k < depth; k += kStepDepth) {
    Value row = add(times(warp, kWarpRows), rest(lane, 16)), unit = add(divide(lane, 16), k / kCopyElements);
    queries.push_back(load(queryTile, row, unit, /*transposed=*/false));
  }
  kernel.barrier();

  State state = alongKeys(keyEnd(), kKeys, {}, [&](const State &before, Value first, ValueRange) {
    return std::pair(step(before, queries, first), Values());
  });
  writeSums(results(state), memory, columns, rowStart, columnBase);
  kernel.launch(blocks, kAttentionThreads);
}

} // namespace

void cuda::emitTensorAttention(const Attention &attention, Operation *anchor, OpOperand *epilogue,
                               gpu::GPUModuleOp device, StringRef name) {
  emitAttentionBy<TensorAttention>(attention, anchor, epilogue, device, name);
}
