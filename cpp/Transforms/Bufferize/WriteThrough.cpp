//===- WriteThrough.cpp - Tiles are written where they lie ------------------===//
//
// In:  slices of tensors that vectors are written to, and that go back to where they came from.
// Out: the same writes into the tensor itself.
// Here, before the analysis of what can happen in place: it compares each slice with each, by the bounds of all loops
// around them, and unrolled tiles with tails of their own made it the slowest pass. Later, both are the same addresses.
//
//   %s = tensor.extract_slice %t[%i, %j] [12, 32]              %w = vector.transfer_write %v, %t[%i + 3, %j + 16]
//   %w = vector.transfer_write %v, %s[3, 16]            ->
//   %r = tensor.insert_slice %w into %t[%i, %j] [12, 32]
//===----------------------------------------------------------------------===//
#include "Transforms/Bufferize/WriteThrough.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace {

/// A slice whose elements change by writes of vectors alone, until it goes back.
struct Tile {
  tensor::ExtractSliceOp slice;
  SmallVector<vector::TransferWriteOp> writes; ///< in order
  SmallVector<vector::TransferReadOp> reads;   ///< of any version of it
  tensor::InsertSliceOp back;
};

/// Whether an access names one element per lane along the last dimension, all of them inside or masked.
bool isPlain(VectorTransferOpInterface op) {
  return op.getVectorType().getRank() == 1 && op.getPermutationMap().isMinorIdentity() && op.isDimInBounds(0);
}

/// Collects the other users of `tensor`, a version of the slice; false if one of them is no plain read.
bool collectReads(Value tensor, Operation *next, SmallVector<vector::TransferReadOp> &reads) {
  for (Operation *user : tensor.getUsers()) {
    if (user == next)
      continue;
    auto read = dyn_cast<vector::TransferReadOp>(user);
    if (!read || !isPlain(read))
      return false;
    reads.push_back(read);
  }
  return true;
}

std::optional<Tile> match(tensor::InsertSliceOp back) {
  Tile tile;
  tile.back = back;
  Operation *next = back;
  Value tensor = back.getSource();
  while (auto write = tensor.getDefiningOp<vector::TransferWriteOp>()) {
    // A value that is written, too, would have two uses here.
    if (!isPlain(write) || write->getBlock() != back->getBlock() || !collectReads(tensor, next, tile.reads))
      return std::nullopt;
    tile.writes.push_back(write);
    next = write;
    tensor = write.getBase();
  }
  std::reverse(tile.writes.begin(), tile.writes.end());
  tile.slice = tensor.getDefiningOp<tensor::ExtractSliceOp>();
  if (tile.writes.empty() || !tile.slice || tile.slice->getBlock() != back->getBlock() ||
      tile.slice.getSource() != back.getDest() || !collectReads(tensor, next, tile.reads))
    return std::nullopt;
  bool same = isEqualConstantIntOrValueArray(tile.slice.getMixedOffsets(), back.getMixedOffsets()) &&
              isEqualConstantIntOrValueArray(tile.slice.getMixedSizes(), back.getMixedSizes());
  auto isOne = [](OpFoldResult stride) { return isConstantIntValue(stride, 1); };
  // The lanes run along the last dimension of both.
  int64_t last = tile.slice.getSourceType().getRank() - 1;
  if (!same || last < 0 || !llvm::all_of(tile.slice.getMixedStrides(), isOne) ||
      !llvm::all_of(back.getMixedStrides(), isOne) || tile.slice.getDroppedDims().test(last))
    return std::nullopt;
  return tile;
}

/// Where in the whole tensor the element of the slice at `indices` lies.
SmallVector<Value> shift(OpBuilder &builder, Location loc, Tile &tile, ValueRange indices) {
  llvm::SmallBitVector dropped = tile.slice.getDroppedDims();
  AffineExpr s0 = builder.getAffineSymbolExpr(0), s1 = builder.getAffineSymbolExpr(1);
  SmallVector<Value> result;
  unsigned inner = 0;
  for (auto [d, offset] : llvm::enumerate(tile.slice.getMixedOffsets())) {
    OpFoldResult place = offset;
    if (!dropped.test(d))
      place = affine::makeComposedFoldedAffineApply(builder, loc, s0 + s1, {offset, indices[inner++]});
    result.push_back(getValueOrCreateConstantIndexOp(builder, loc, place));
  }
  return result;
}

void rewrite(Tile &tile) {
  llvm::DenseMap<Value, Value> whole; // version of the slice -> version of the tensor
  whole[tile.slice.getResult()] = tile.slice.getSource();
  OpBuilder builder(tile.slice);
  for (vector::TransferWriteOp write : tile.writes) {
    builder.setInsertionPoint(write);
    Value dest = whole.lookup(write.getBase());
    auto type = cast<RankedTensorType>(dest.getType());
    auto map = AffineMap::getMinorIdentityMap(type.getRank(), 1, builder.getContext());
    auto made = vector::TransferWriteOp::create(builder, write.getLoc(), type, write.getVector(), dest,
                                                shift(builder, write.getLoc(), tile, write.getIndices()),
                                                AffineMapAttr::get(map), write.getMask(), write.getInBoundsAttr());
    whole[write.getResult()] = made.getResult();
  }
  for (vector::TransferReadOp read : tile.reads) {
    builder.setInsertionPoint(read);
    Value source = whole.lookup(read.getBase());
    auto map =
        AffineMap::getMinorIdentityMap(cast<RankedTensorType>(source.getType()).getRank(), 1, builder.getContext());
    auto made = vector::TransferReadOp::create(
        builder, read.getLoc(), read.getVectorType(), source, shift(builder, read.getLoc(), tile, read.getIndices()),
        AffineMapAttr::get(map), read.getPadding(), read.getMask(), read.getInBoundsAttr());
    read.replaceAllUsesWith(made.getResult());
    read.erase();
  }
  tile.back.replaceAllUsesWith(whole.lookup(tile.writes.back().getResult()));
  tile.back.erase();
  for (vector::TransferWriteOp write : llvm::reverse(tile.writes))
    write.erase();
  tile.slice.erase();
}

} // namespace

void tilewright::writeThroughSlices(func::FuncOp func) {
  SmallVector<tensor::InsertSliceOp> all;
  func.walk([&](tensor::InsertSliceOp op) { all.push_back(op); });
  // Inner tiles first: what holds them may then be written through, too.
  for (tensor::InsertSliceOp back : all)
    if (std::optional<Tile> tile = match(back))
      rewrite(*tile);
}
