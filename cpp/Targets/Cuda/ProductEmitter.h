//===- ProductEmitter.h - What all kernels of products share -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_PRODUCTEMITTER_H
#define TILEWRIGHT_TARGETS_CUDA_PRODUCTEMITTER_H

#include "Targets/Cuda/Contraction.h"
#include "Targets/Cuda/Nest.h"

namespace tilewright::cuda {

inline constexpr int64_t kWarpLanes = 32;

/// A product while its kernel is written: which tile a block computes, elements of its factors, and what becomes of a sum.
class ProductEmitter {
public:
  ProductEmitter(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput)
      : nest(nest), kernel(nest.kernel), inside(kernel.inside), loc(kernel.loc), contraction(contraction),
        epilogue(epilogue), epilogueInput(epilogueInput) {}

protected:
  mlir::Value add(mlir::Value a, mlir::Value b) { return mlir::arith::AddIOp::create(inside, loc, a, b); }
  mlir::Value add(mlir::Value a, int64_t b) { return b ? add(a, kernel.index(b)) : a; }
  mlir::Value times(mlir::Value a, int64_t b) { return mlir::arith::MulIOp::create(inside, loc, a, kernel.index(b)); }
  mlir::Value divide(mlir::Value a, int64_t b) { return mlir::arith::DivUIOp::create(inside, loc, a, kernel.index(b)); }
  mlir::Value rest(mlir::Value a, int64_t b) { return mlir::arith::RemUIOp::create(inside, loc, a, kernel.index(b)); }
  mlir::Value both(mlir::Value a, mlir::Value b) { return mlir::arith::AndIOp::create(inside, loc, a, b); }
  mlir::Value below(mlir::Value a, mlir::Value b) {
    return mlir::arith::CmpIOp::create(inside, loc, mlir::arith::CmpIPredicate::ult, a, b);
  }

  /// Takes sizes in tiles of so many rows and columns: `blocks` is how many tiles there are.
  void measure(int64_t rowTile, int64_t columnTile);
  /// Goes to a tile: what is computed from here on belongs to it.
  void locate(mlir::Value number);
  /// Each block has one tile.
  void place(int64_t rowTile, int64_t columnTile) {
    measure(rowTile, columnTile);
    locate(kernel.blockId());
  }
  /// One element of a factor, or of what it was widened from, at row (or column) `outer` and depth `k`.
  mlir::Value factor(mlir::Value wanted, bool isLhs, mlir::Value outer, mlir::Value k);
  /// The loops of the operation at row (or column) `outer` and depth `k`.
  llvm::SmallVector<mlir::Value> pointOf(bool isLhs, mlir::Value outer, mlir::Value k);
  /// Whether neighbours along the last of these loops are neighbours in memory, for the inputs of a factor that vary so.
  bool runsAlong(mlir::Value wanted, llvm::ArrayRef<unsigned> loops);
  /// Tiles of both factors in shared memory that are copied ahead: how many, how far apart, and how deep each is.
  struct Ring {
    int64_t stages, size, depth;
  };
  /// Goes along the depth through a ring and returns so many sums. `fill` asks for the tiles of a stage at a depth, all
  /// copies of a call as one group; `multiply` makes new sums of a stage that has arrived.
  llvm::SmallVector<mlir::Value>
  alongRing(const Ring &ring, int64_t sums, mlir::Type sumType, llvm::function_ref<void(mlir::Value, mlir::Value)> fill,
            llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value, mlir::ValueRange)> multiply);
  /// Writes one result, or neighbours of a row: through the epilogue, where there is one. What lies beyond the result is
  /// dropped.
  void finish(mlir::ValueRange sums, mlir::Value row, mlir::Value column);
  /// Writes the sums of a warp, in fragments of m16n8 (row by row of those), the first at `row` and `column`. They go
  /// through shared memory, `bytesOfSums` for each warp, so that neighbours are written together: all columns at once, or
  /// `part` of them at a time.
  void writeSums(llvm::ArrayRef<mlir::Value> sums, mlir::Value memory, int64_t columns, mlir::Value row,
                 mlir::Value column, int64_t part = 0);
  static int64_t bytesOfSums(int64_t columns);
  /// Results that `finish` takes at once: neighbours in all arrays that it touches.
  int64_t neighbours();
  /// What becomes of the sums of neighbours of a row, per destination of the last operation: nothing is written.
  llvm::SmallVector<llvm::SmallVector<mlir::Value>> resultsOf(mlir::ValueRange sums, mlir::Value row,
                                                              mlir::Value column) {
    return resultsAt(sums, placeOf(row, column));
  }
  /// The operation that writes results.
  Nest &last() { return epilogue ? *epilogue : nest; }
  /// Its loop that is this loop of the product, if there is one.
  std::optional<unsigned> loopOfLast(unsigned loop);
  /// The point of its loops at a row and a column of the product.
  llvm::SmallVector<mlir::Value> pointOfLast(mlir::Value row, mlir::Value column) {
    Place place = placeOf(row, column);
    return epilogue ? place.epilogue : place.product;
  }

  Nest &nest;
  DeviceKernel &kernel;
  mlir::OpBuilder &inside;
  mlir::Location loc;
  const Contraction &contraction;
  Nest *epilogue;
  unsigned epilogueInput;

  llvm::SmallVector<mlir::OpFoldResult> batchRanges, rowRanges, columnRanges, innerRanges;
  mlir::Value rowCount, columnCount, innerCount; ///< inside
  mlir::Value rowBase, columnBase, batch;        ///< `batch` numbers all loops that both factors have
  mlir::Value warp, lane;                        ///< of this thread
  llvm::SmallVector<mlir::Value> point;
  mlir::OpFoldResult blocks;

private:
  struct Place {
    llvm::SmallVector<mlir::Value> product, epilogue;
  };
  Place placeOf(mlir::Value row, mlir::Value column);
  llvm::SmallVector<llvm::SmallVector<mlir::Value>> resultsAt(mlir::ValueRange sums, const Place &place);
  void group(mlir::Value &row, mlir::Value &column, mlir::Value rows, mlir::Value columns);
  void finishPart(mlir::ValueRange sums, mlir::Value row, mlir::Value column);

  mlir::OpFoldResult rowTiles, columnTiles;
  int64_t rowTile = 0, columnTile = 0;
};

/// Sizes of a product on tensor cores: of a block's tile, of the part that a warp computes, and how many tiles are copied
/// ahead.
struct TensorTile {
  int64_t rows = 64, columns = 64, depth = 32, stages = 3, warpRows = 32, warpColumns = 32;
};

/// What select chose for a product, or the smallest.
TensorTile tensorTileOf(mlir::linalg::LinalgOp op);

/// A product of f16, bf16, int8 or TF32 factors by `mma.sync`.
void emitTensorProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput,
                       const TensorTile &tile);

/// The same by `wgmma`, for sm_90a: nothing is written, and the result is false, where factors are no plain dense arrays.
bool emitWarpgroupProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_PRODUCTEMITTER_H
