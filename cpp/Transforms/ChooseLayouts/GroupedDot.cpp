//===- GroupedDot.cpp - Products that are summed up in groups -------------===//
//
// In:  a contraction of bfloat16 to float32, or of signed bytes to 32-bit integers, as a loop nest; its columns in
//      panels of words.
// Out: the same loop nest over words. Rows are read as they lie, a group of neighbours at a time.
//===----------------------------------------------------------------------===//
#include "Transforms/ChooseLayouts/GroupedDot.h"

#include "Transforms/ChooseLayouts/Panels.h"
#include "TwRt/TwRtDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tilewright;

namespace {

/// The operands of `value` if a `Kind` makes it.
template <typename Kind> std::optional<std::pair<Value, Value>> operandsOf(Value value) {
  auto op = value.getDefiningOp<Kind>();
  return op ? std::optional(std::pair<Value, Value>(op.getLhs(), op.getRhs())) : std::nullopt;
}

/// True for a body `acc + ext(a) * ext(b)` of the two inputs.
template <typename Add, typename Mul, typename Extend> bool isMultiplyAdd(linalg::GenericOp op) {
  Block *body = op.getBody();
  Value acc = op.getRegionOutputArgs().front();
  auto sum = operandsOf<Add>(body->getTerminator()->getOperand(0));
  if (!sum || (sum->first != acc && sum->second != acc))
    return false;
  auto factors = operandsOf<Mul>(sum->first == acc ? sum->second : sum->first);
  if (!factors)
    return false;
  auto extended = [](Value value) {
    auto extend = value.getDefiningOp<Extend>();
    return extend ? extend.getIn() : Value();
  };
  Value a = extended(factors->first), b = extended(factors->second);
  return a && b && a != b && llvm::is_contained(body->getArguments().take_front(2), a) &&
         llvm::is_contained(body->getArguments().take_front(2), b);
}

/// True for a map of loops, each at most once, among them `loop`.
bool readsPlainly(AffineMap map, unsigned loop) { return map.isProjectedPermutation() && map.isFunctionOfDim(loop); }

/// A loop that the result and both inputs have.
bool hasBatchLoop(linalg::GenericOp op) {
  return llvm::any_of(llvm::seq(op.getNumLoops()), [&](unsigned loop) {
    return llvm::all_of(op.getIndexingMapsArray(), [&](AffineMap map) { return map.isFunctionOfDim(loop); });
  });
}

/// A rank-reduced sum of `rows` along `dim`, in 32 bits: the root of a kernel of its own, so that the product is spread
/// over threads by columns, too.
Value emitRowSums(RewriterBase &rewriter, Location loc, Value rows, unsigned dim) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, rows);
  AffineMap read = rewriter.getMultiDimIdentityMap(sizes.size()), written = read.dropResult(dim);
  SmallVector<utils::IteratorType> kinds(sizes.size(), utils::IteratorType::parallel);
  kinds[dim] = utils::IteratorType::reduction;
  sizes.erase(sizes.begin() + dim);
  Type type = rewriter.getI32Type();
  Value zero = arith::ConstantOp::create(rewriter, loc, rewriter.getZeroAttr(type));
  Value empty = tensor::EmptyOp::create(rewriter, loc, sizes, type);
  Value init = linalg::FillOp::create(rewriter, loc, zero, empty).getResult(0);
  auto sums =
      linalg::GenericOp::create(rewriter, loc, init.getType(), rows, init, ArrayRef<AffineMap>{read, written}, kinds,
                                [](OpBuilder &b, Location l, ValueRange args) {
                                  Value wide = arith::ExtSIOp::create(b, l, args[1].getType(), args[0]);
                                  linalg::YieldOp::create(b, l, arith::AddIOp::create(b, l, args[1], wide).getResult());
                                });
  sums->setAttr("tw.partial", rewriter.getUnitAttr());
  return sums.getResult(0);
}

/// Takes 128 times the sums of rows from products whose columns were offset by 128.
Value emitCorrection(RewriterBase &rewriter, Location loc, Value products, Value sums, AffineMap sumsMap) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, products);
  Value empty = tensor::EmptyOp::create(rewriter, loc, sizes, rewriter.getI32Type());
  AffineMap identity = rewriter.getMultiDimIdentityMap(sizes.size());
  SmallVector<utils::IteratorType> kinds(sizes.size(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(rewriter, loc, empty.getType(), ValueRange{products, sums}, empty,
                                   ArrayRef<AffineMap>{identity, sumsMap, identity}, kinds,
                                   [](OpBuilder &b, Location l, ValueRange args) {
                                     Value offset = arith::ConstantOp::create(b, l, b.getI32IntegerAttr(128));
                                     Value excess = arith::MulIOp::create(b, l, args[1], offset);
                                     Value exact = arith::SubIOp::create(b, l, args[0], excess);
                                     linalg::YieldOp::create(b, l, exact);
                                   })
      .getResult(0);
}

} // namespace

std::optional<GroupedDot> tilewright::matchGroupedDot(linalg::GenericOp op, unsigned columnLoop,
                                                      DotInstructions instructions) {
  if (op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 || op.getNumReductionLoops() != 1)
    return std::nullopt;
  auto hasTypes = [&](Type element, Type sum) {
    return getElementTypeOrSelf(op.getDpsInits()[0]) == sum && llvm::all_of(op.getInputs(), [&](Value input) {
             return isa<RankedTensorType>(input.getType()) && getElementTypeOrSelf(input) == element;
           });
  };
  Builder builder(op.getContext());
  bool fits = (instructions.bf16 && hasTypes(builder.getBF16Type(), builder.getF32Type()) &&
               isMultiplyAdd<arith::AddFOp, arith::MulFOp, arith::ExtFOp>(op)) ||
              (instructions.i8 && hasTypes(builder.getI8Type(), builder.getI32Type()) &&
               isMultiplyAdd<arith::AddIOp, arith::MulIOp, arith::ExtSIOp>(op));
  if (!fits)
    return std::nullopt;

  SmallVector<unsigned> reductions;
  op.getReductionDims(reductions);
  GroupedDot dot{op.getDpsInputOperand(0), op.getDpsInputOperand(1), reductions.front()};
  if (op.getMatchingIndexingMap(dot.rows).isFunctionOfDim(columnLoop))
    std::swap(dot.rows, dot.columns);
  AffineMap rows = op.getMatchingIndexingMap(dot.rows), columns = op.getMatchingIndexingMap(dot.columns);
  AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  int64_t depth = op.getStaticLoopRanges()[dot.depthLoop];
  if (rows.isFunctionOfDim(columnLoop) || !readsPlainly(rows, dot.depthLoop) || !readsPlainly(columns, dot.depthLoop) ||
      !readsPlainly(columns, columnLoop) || !written.isProjectedPermutation() ||
      written.getNumResults() != op.getNumParallelLoops() || ShapedType::isDynamic(depth) || depth == 0)
    return std::nullopt;
  // Rows that are computed in the same kernel, tile by tile (the weights of attention), are not there in words.
  if (hasBatchLoop(op) && dot.rows->get().getDefiningOp<linalg::GenericOp>())
    return std::nullopt;
  return dot;
}

void tilewright::emitGroupedDot(RewriterBase &rewriter, linalg::GenericOp op, GroupedDot dot, Value words,
                                AffineMap wordsMap) {
  Location loc = op.getLoc();
  MLIRContext *context = op.getContext();
  AffineMap rowsMap = op.getMatchingIndexingMap(dot.rows);
  Type element = getElementTypeOrSelf(dot.rows->get());
  int64_t group = groupOf(element);
  AffineExpr depthLoop = getAffineDimExpr(dot.depthLoop, context);
  unsigned depth = *rowsMap.getResultPosition(depthLoop);
  Value rows = padToMultiple(rewriter, loc, dot.rows->get(), depth, group);

  SmallVector<Value> inputs{words};
  SmallVector<AffineMap> maps{wordsMap};
  for (int64_t i = 0; i < group; ++i) {
    inputs.push_back(rows);
    maps.push_back(rowsMap.replace(depthLoop, depthLoop * group + i, rowsMap.getNumDims(), 0));
  }
  AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  maps.push_back(written);
  Value init = op.getDpsInits().front();
  Operation *sum = op.getBody()->getTerminator()->getOperand(0).getDefiningOp();
  auto grouped = linalg::GenericOp::create(
      rewriter, loc, init.getType(), inputs, init, maps, op.getIteratorTypesArray(),
      [&](OpBuilder &b, Location l, ValueRange args) {
        Value word = emitWord(b, l, args.slice(1, group), /*isUnsigned=*/false), acc = args.back();
        Value product = rt::GroupDotOp::create(b, l, acc.getType(), args.front(), word);
        OperationState state(l, sum->getName(), {acc, product}, acc.getType(), sum->getAttrs());
        linalg::YieldOp::create(b, l, b.create(state)->getResults());
      });
  grouped->setAttr("tw.group_dot", rewriter.getUnitAttr());
  Value result = grouped.getResult(0);
  if (element.isInteger()) {
    Value sums = emitRowSums(rewriter, loc, dot.rows->get(), depth);
    // The loops of the correction are the dimensions of the result.
    SmallVector<AffineExpr> ofRow = llvm::map_to_vector(rowsMap.dropResult(depth).getResults(), [&](AffineExpr loop) {
      return getAffineDimExpr(*written.getResultPosition(loop), context);
    });
    result = emitCorrection(rewriter, loc, result, sums, AffineMap::get(written.getNumResults(), 0, ofRow, context));
  }
  rewriter.replaceOp(op, result);
}
