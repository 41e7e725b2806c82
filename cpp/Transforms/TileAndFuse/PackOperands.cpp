//===- PackOperands.cpp - Copies of operands beside their use -------------===//
//
// In:  kernels tiled over threads. Operands that `tw.pack` numbers are
// slices of arrays whose rows lie far apart.
// Out: the same slices copied to a buffer of the tile, row after row.
// Here, between the two tilings: a workgroup tile is what reads a slice again
// and again, and its size is what the buffer takes of the cache. A copy of the
// whole array would go through memory twice before the first product.
//
//   forall (192, 32) { generic(%a, slice %b [k, 32]) }   ->
//   forall (192, 32) { %p = copy(slice %b [k, 32]); generic(%a, %p) }
//===----------------------------------------------------------------------===//
#include "Transforms/TileAndFuse/TileAndFuse.h"

#include "Tw/TwDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tilewright;

namespace {

/// Rows that one step of the copy takes: their loads do not wait for each
/// other.
constexpr int64_t kRowsAtOnce = 4;

SmallVector<OpFoldResult> sizesOf(OpBuilder &builder, Location loc, Value value) {
  auto slice = value.getDefiningOp<tensor::ExtractSliceOp>();
  if (slice && slice.getDroppedDims().none())
    return slice.getMixedSizes();
  return tensor::getMixedSizes(builder, loc, value);
}

/// Copies `value` to a buffer whose rows follow each other. The buffer has one
/// more dimension, of one, which tells the copy from a plain value's: nothing
/// removes it.
Value copyOf(RewriterBase &rewriter, Location loc, Value value, tw::ConfigAttr config) {
  auto type = cast<RankedTensorType>(value.getType());
  int64_t rank = type.getRank();
  SmallVector<OpFoldResult> sizes{rewriter.getIndexAttr(1)};
  llvm::append_range(sizes, sizesOf(rewriter, loc, value));
  Value buffer = tensor::EmptyOp::create(rewriter, loc, sizes, type.getElementType());
  // The loop along the rows of the buffer stands outside the others: it is
  // one tile long, or ends in a tile that is shorter.
  MLIRContext *context = rewriter.getContext();
  SmallVector<AffineExpr> read;
  for (int64_t i = 0; i + 1 < rank; ++i)
    read.push_back(rewriter.getAffineDimExpr(i + 2));
  read.push_back(rewriter.getAffineDimExpr(1));
  SmallVector<AffineExpr> written{rewriter.getAffineDimExpr(0)};
  llvm::append_range(written, read);
  SmallVector<AffineMap> maps{AffineMap::get(rank + 1, 0, read, context),
                              AffineMap::get(rank + 1, 0, written, context)};
  SmallVector<utils::IteratorType> loops(rank + 1, utils::IteratorType::parallel);
  auto copy = linalg::GenericOp::create(
      rewriter, loc, TypeRange(buffer.getType()), ValueRange(value), ValueRange(buffer), maps, loops,
      [](OpBuilder &b, Location at, ValueRange args) { linalg::YieldOp::create(b, at, args.front()); });
  SmallVector<int64_t> tile(rank + 1, 1);
  if (rank > 1)
    tile.back() = kRowsAtOnce;
  tile[1] = config.getVector() * config.getUnroll();
  copy->setAttr("tw.config", tw::ConfigAttr::get(context, {}, tile, /*lane=*/1, config.getVector(), config.getUnroll(),
                                                 rewriter.getStringAttr("vector")));
  return copy.getResult(0);
}

} // namespace

void tilewright::packOperands(func::FuncOp function) {
  IRRewriter rewriter(function.getContext());
  SmallVector<linalg::GenericOp> ops;
  function.walk([&](linalg::GenericOp op) {
    if (op->hasAttr("tw.config") && op->hasAttr("tw.pack"))
      ops.push_back(op);
  });
  for (linalg::GenericOp op : ops) {
    auto config = op->getAttrOfType<tw::ConfigAttr>("tw.config");
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    auto numbers = cast<DenseI64ArrayAttr>(op->removeAttr("tw.pack"));
    for (int64_t number : numbers.asArrayRef()) {
      if (number < 0 || number >= op.getNumDpsInputs())
        continue;
      OpOperand *input = op.getDpsInputOperand(number);
      auto type = dyn_cast<RankedTensorType>(input->get().getType());
      if (!type || type.getRank() == 0 || !maps[number].isProjectedPermutation())
        continue;
      rewriter.setInsertionPoint(op);
      Value copy = copyOf(rewriter, op.getLoc(), input->get(), config);
      // What the operand was read with, behind the dimension of one.
      SmallVector<AffineExpr> results{rewriter.getAffineConstantExpr(0)};
      llvm::append_range(results, maps[number].getResults());
      maps[number] = AffineMap::get(maps[number].getNumDims(), 0, results, rewriter.getContext());
      rewriter.modifyOpInPlace(op, [&] {
        input->set(copy);
        op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
    }
  }
}
