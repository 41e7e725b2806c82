//===- MaterializeSlices.cpp - Write slices straight to where they go -----===//
//
// In:  stage linalg: tensor.pad, tensor.concat, tensor.insert_slice and strided
// tensor.extract_slice among computations. Out: the same function where every
// moved element is written by a linalg operation into a slice of its
// destination:
//
//   insert_slice %x into %d[o][s]  ->  %w = extract_slice %d[o][s]; %c = copy
//   ins(%x) outs(%w); insert_slice %c into %d[o][s]
//
// Here, before fusion: an elementwise producer of %x then fuses with the copy,
// and the insertion costs nothing after bufferisation because the slice was
// computed in place.
//===----------------------------------------------------------------------===//
#include "Transforms/MaterializeSlices/MaterializeSlices.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_MATERIALIZESLICESPASS
#include "Transforms/MaterializeSlices/MaterializeSlices.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Copies `source` into `dest`: by a generic while fusion is still to come, by
/// name when the copy has to stay.
Value copyInto(RewriterBase &rewriter, Location loc, Value source, Value dest, bool named) {
  if (named)
    return linalg::CopyOp::create(rewriter, loc, source, dest).getResult(0);
  auto type = cast<RankedTensorType>(dest.getType());
  AffineMap identity = rewriter.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> kinds(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             rewriter, loc, type, source, dest, ArrayRef<AffineMap>{identity, identity}, kinds,
             [](OpBuilder &b, Location l, ValueRange args) { linalg::YieldOp::create(b, l, args.front()); })
      .getResult(0);
}

bool isUnitStride(ArrayRef<OpFoldResult> strides) {
  return llvm::all_of(strides, [](OpFoldResult s) { return isConstantIntValue(s, 1); });
}

/// True for an insertion of exactly the slice that was taken from its
/// destination and computed in place.
bool isInPlace(tensor::InsertSliceOp op) {
  auto producer = op.getSource().getDefiningOp<linalg::LinalgOp>();
  if (!producer)
    return false;
  Value init = producer.getDpsInits()[cast<OpResult>(op.getSource()).getResultNumber()];
  if (auto fill = init.getDefiningOp<linalg::FillOp>())
    init = fill.output();
  auto slice = init.getDefiningOp<tensor::ExtractSliceOp>();
  return slice && slice.getSource() == op.getDest() && slice.getMixedOffsets() == op.getMixedOffsets() &&
         slice.getMixedSizes() == op.getMixedSizes() && slice.getMixedStrides() == op.getMixedStrides();
}

void materializeInsertion(IRRewriter &rewriter, tensor::InsertSliceOp op, bool named) {
  rewriter.setInsertionPoint(op);
  auto window = tensor::ExtractSliceOp::create(rewriter, op.getLoc(), op.getSourceType(), op.getDest(),
                                               op.getMixedOffsets(), op.getMixedSizes(), op.getMixedStrides());
  Value copied = copyInto(rewriter, op.getLoc(), op.getSource(), window, named);
  rewriter.modifyOpInPlace(op, [&] { op.getSourceMutable().assign(copied); });
}

/// A slice whose innermost elements are not adjacent is copied: kernels read
/// dense rows.
void materializeStrided(IRRewriter &rewriter, tensor::ExtractSliceOp op, bool named) {
  rewriter.setInsertionPointAfter(op);
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, op.getLoc(), op.getResult());
  Value empty = tensor::EmptyOp::create(rewriter, op.getLoc(), sizes, op.getType().getElementType());
  Value copied = copyInto(rewriter, op.getLoc(), op.getResult(), empty, named);
  // Its reads are not contiguous: scalar loops, and no fusion that would carry
  // the stride further.
  copied.getDefiningOp()->setAttr("tw.lowering", rewriter.getStringAttr("loops"));
  rewriter.replaceUsesWithIf(op.getResult(), copied, [&](OpOperand &use) {
    return use.getOwner() != copied.getDefiningOp() && !isa<tensor::DimOp>(use.getOwner());
  });
}

/// Gives plain copies their name.
void nameCopies(IRRewriter &rewriter, func::FuncOp function) {
  function.walk([&](linalg::GenericOp op) {
    Block &body = op.getRegion().front();
    auto yield = cast<linalg::YieldOp>(body.getTerminator());
    bool isCopy = op.getNumDpsInputs() == 1 && op.getNumDpsInits() == 1 && llvm::hasSingleElement(body) &&
                  yield.getOperand(0) == body.getArgument(0) &&
                  llvm::all_of(op.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); }) &&
                  !op->hasAttr("tw.lowering");
    if (!isCopy)
      return;
    rewriter.setInsertionPoint(op);
    rewriter.replaceOp(op, copyInto(rewriter, op.getLoc(), op.getInputs()[0], op.getOutputs()[0], /*named=*/true));
  });
}

struct MaterializeSlices : tilewright::impl::MaterializeSlicesPassBase<MaterializeSlices> {
  using MaterializeSlicesPassBase::MaterializeSlicesPassBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    RewritePatternSet patterns(&getContext());
    tensor::populateDecomposeTensorConcatPatterns(patterns);
    if (failed(applyPatternsGreedily(function, std::move(patterns))))
      return signalPassFailure();

    IRRewriter rewriter(&getContext());
    SmallVector<tensor::PadOp> pads;
    function.walk([&](tensor::PadOp op) { pads.push_back(op); });
    for (tensor::PadOp pad : pads) {
      rewriter.setInsertionPoint(pad);
      if (failed(linalg::rewriteInDestinationPassingStyle(rewriter, pad))) {
        pad.emitError("cannot be written as a fill and an insertion");
        return signalPassFailure();
      }
    }
    SmallVector<tensor::InsertSliceOp> insertions;
    SmallVector<tensor::ExtractSliceOp> strided;
    function.walk([&](Operation *op) {
      if (auto insertion = dyn_cast<tensor::InsertSliceOp>(op); insertion && !isInPlace(insertion))
        insertions.push_back(insertion);
      if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op); slice && !isUnitStride(slice.getMixedStrides()))
        strided.push_back(slice);
    });
    if (named)
      nameCopies(rewriter, function);
    for (tensor::InsertSliceOp op : insertions)
      materializeInsertion(rewriter, op, named);
    for (tensor::ExtractSliceOp op : strided)
      materializeStrided(rewriter, op, named);
  }
};

} // namespace
