//===- FactorSums.cpp - Sums that all columns share are made once ----------===//
//
// In:  stage linalg, fused: contractions that dequantise in their body.
// Out: the same contractions, whose products all hold a stored integer of the column or do not change inside a group;
//      what they had besides is an operation that the columns share.
// Here, after fusion, which brings dequantisation into the body, and before layouts, which only see operands.
//===----------------------------------------------------------------------===//
#include "Transforms/FactorSums/FactorSums.h"

#include "Analysis/Contraction.h"
#include "Analysis/DotInstructions.h"
#include "Analysis/Products.h"
#include "Analysis/StoredBytes.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tilewright {
#define GEN_PASS_DEF_FACTORSUMSPASS
#include "Transforms/FactorSums/FactorSums.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Rewrites one contraction.
class Factorer {
public:
  Factorer(RewriterBase &rewriter, linalg::GenericOp op, DotInstructions instructions)
      : rewriter(rewriter), op(op), instructions(instructions), loopsOf(op) {}

  bool run() {
    std::optional<unsigned> column = columnLoop(op);
    Value summand = summandOf(op);
    if (!column || !summand || !contracts(op))
      return false;
    if (instructions.i8 && readsRoundedBytes(op)) {
      takeOffsetsApart();
      summand = summandOf(op);
    }
    SmallVector<Product> products = expandProducts(summand);
    std::optional<llvm::SmallBitVector> found = groupLoops(op, products, loopsOf);
    if (!found)
      return false;
    inner = *found;
    ranges = op.getStaticLoopRanges();
    for (unsigned loop : inner.set_bits()) {
      if (ShapedType::isDynamic(ranges[loop]))
        return false;
      group *= ranges[loop];
    }
    flags = cast<arith::AddFOp>(op.getBody()->getTerminator()->getOperand(0).getDefiningOp()).getFastmathAttr();

    // Of each product: what changes inside a group, but not with the column.
    SmallVector<SmallVector<Value>> shared(products.size());
    bool any = false;
    for (auto [product, values] : llvm::zip_equal(products, shared)) {
      bool columnInside = false;
      for (Value factor : product.factors) {
        llvm::SmallBitVector loops = loopsOf(factor);
        columnInside |= loops.test(*column) && loops.anyCommon(inner);
        if (!loops.test(*column))
          values.push_back(factor);
      }
      if (columnInside)
        values.clear();
      else if (!llvm::any_of(values, [&](Value v) { return loopsOf(v).anyCommon(inner); }))
        values.clear();
      any |= !values.empty();
    }
    if (!any || llvm::any_of(shared, [&](ArrayRef<Value> values) { return !values.empty() && !canStandAlone(values); }))
      return false;
    rebuild(products, shared);
    return true;
  }

private:
  /// Integers with a sign become unsigned ones less a constant, since one instruction sums up products of unsigned
  /// bytes with signed ones.
  void takeOffsetsApart() {
    SmallVector<arith::SIToFPOp> conversions(op.getBody()->getOps<arith::SIToFPOp>());
    for (arith::SIToFPOp conversion : conversions) {
      std::optional<Offset> offset = offsetOf(conversion);
      if (!offset)
        continue;
      rewriter.setInsertionPoint(conversion);
      Location loc = conversion.getLoc();
      Value bits = offset->bits;
      if (offset->isSignedByte) {
        Value flip = arith::ConstantOp::create(rewriter, loc, rewriter.getI8IntegerAttr(-128));
        Value flipped = arith::XOrIOp::create(rewriter, loc, bits, flip);
        bits = arith::ExtUIOp::create(rewriter, loc, conversion.getIn().getType(), flipped);
      }
      Value number = arith::UIToFPOp::create(rewriter, loc, conversion.getType(), bits);
      if (offset->middle) {
        auto middle = rewriter.getFloatAttr(conversion.getType(), static_cast<double>(offset->middle));
        Value constant = arith::ConstantOp::create(rewriter, loc, middle);
        number = arith::SubFOp::create(rewriter, loc, number, constant);
      }
      rewriter.replaceOp(conversion, number);
    }
  }

  /// Whether `values` are computed from inputs alone, whose maps are plain loops.
  bool canStandAlone(ArrayRef<Value> values) {
    for (Operation &def : op.getBody()->without_terminator())
      if (isa<linalg::IndexOp>(def) && dependsOn(values, &def))
        return false;
    for (OpOperand *input : op.getDpsInputOperands())
      if (dependsOn(values, input) && !op.getMatchingIndexingMap(input).isProjectedPermutation())
        return false;
    return true;
  }

  /// The operations and block arguments that `values` are made of.
  llvm::SetVector<Value> behind(ArrayRef<Value> values) {
    llvm::SetVector<Value> seen(values.begin(), values.end());
    for (size_t i = 0; i < seen.size(); ++i)
      if (Operation *def = seen[i].getDefiningOp(); def && def->getBlock() == op.getBody())
        seen.insert_range(def->getOperands());
    return seen;
  }
  bool dependsOn(ArrayRef<Value> values, Operation *def) { return behind(values).contains(def->getResult(0)); }
  bool dependsOn(ArrayRef<Value> values, OpOperand *input) {
    return behind(values).contains(op.getMatchingBlockArgument(input));
  }

  Value multiply(ArrayRef<Value> factors) {
    Value product = factors.front();
    for (Value factor : factors.drop_front())
      product = arith::MulFOp::create(rewriter, op.getLoc(), product, factor, flags);
    return product;
  }

  /// The mean of a product over the group, one result for each place in the loops that it changes along otherwise.
  std::pair<Value, AffineMap> emitMean(ArrayRef<Value> factors) {
    Location loc = op.getLoc();
    MLIRContext *context = op.getContext();
    llvm::SetVector<Value> needed = behind(factors);
    SmallVector<OpOperand *> inputs;
    llvm::SmallBitVector used(op.getNumLoops());
    for (OpOperand *input : op.getDpsInputOperands())
      if (needed.contains(op.getMatchingBlockArgument(input))) {
        inputs.push_back(input);
        used |= loopsOf(op.getMatchingBlockArgument(input));
      }
    SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray(), meanKinds;
    SmallVector<AffineExpr> renamed(op.getNumLoops(), getAffineConstantExpr(0, context)), kept, keptHere;
    for (unsigned loop : used.set_bits()) {
      renamed[loop] = getAffineDimExpr(meanKinds.size(), context);
      meanKinds.push_back(inner.test(loop) ? utils::IteratorType::reduction : utils::IteratorType::parallel);
      if (!inner.test(loop)) {
        kept.push_back(getAffineDimExpr(loop, context));
        keptHere.push_back(renamed[loop]);
      }
    }
    unsigned loops = meanKinds.size();
    SmallVector<AffineMap> maps;
    SmallVector<Value> operands;
    SmallVector<OpFoldResult> sizes(kept.size());
    for (OpOperand *input : inputs) {
      AffineMap map = op.getMatchingIndexingMap(input);
      maps.push_back(map.replaceDimsAndSymbols(renamed, {}, loops, 0));
      operands.push_back(input->get());
      for (auto [dim, expr] : llvm::enumerate(map.getResults()))
        if (auto *it = llvm::find(kept, expr); it != kept.end())
          sizes[it - kept.begin()] = tensor::getMixedSize(rewriter, loc, input->get(), dim);
    }
    maps.push_back(AffineMap::get(loops, 0, keptHere, context));
    Type element = factors.front().getType();
    Value zero = arith::ConstantOp::create(rewriter, loc, rewriter.getZeroAttr(element));
    Value scale = arith::ConstantOp::create(rewriter, loc, rewriter.getFloatAttr(element, 1.0 / group));
    Value empty = tensor::EmptyOp::create(rewriter, loc, sizes, element);
    Value init = linalg::FillOp::create(rewriter, loc, zero, empty).getResult(0);
    auto mean = linalg::GenericOp::create(
        rewriter, loc, init.getType(), operands, init, maps, meanKinds,
        [&](OpBuilder &builder, Location, ValueRange args) {
          IRMapping mapping;
          for (auto [input, arg] : llvm::zip_equal(inputs, args.drop_back()))
            mapping.map(op.getMatchingBlockArgument(input), arg);
          for (Operation &def : op.getBody()->without_terminator())
            if (needed.contains(def.getResult(0)))
              builder.clone(def, mapping);
          Value product = scale;
          for (Value factor : factors)
            product = arith::MulFOp::create(builder, loc, product, mapping.lookupOrDefault(factor), flags);
          Value sum = arith::AddFOp::create(builder, loc, args.back(), product, flags);
          linalg::YieldOp::create(builder, loc, sum);
        });
    return {mean.getResult(0), AffineMap::get(op.getNumLoops(), 0, kept, context)};
  }

  void rebuild(ArrayRef<Product> products, ArrayRef<SmallVector<Value>> shared) {
    rewriter.setInsertionPoint(op);
    SmallVector<Value> inputs(op.getInputs());
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    SmallVector<Type> added;
    for (ArrayRef<Value> values : shared)
      if (!values.empty()) {
        auto [mean, map] = emitMean(values);
        maps.insert(maps.begin() + inputs.size(), map);
        inputs.push_back(mean);
        added.push_back(cast<RankedTensorType>(mean.getType()).getElementType());
      }
    auto rebuilt = linalg::GenericOp::create(rewriter, op.getLoc(), op.getResultTypes(), inputs, op.getOutputs(), maps,
                                             op.getIteratorTypesArray());
    rebuilt->setDiscardableAttrs(op->getDiscardableAttrDictionary());
    rebuilt.getRegion().takeBody(op.getRegion());
    Block *body = rebuilt.getBody();
    unsigned next = body->getNumArguments() - 1;
    for (Type type : added)
      (void)body->insertArgument(body->getNumArguments() - 1, type, op.getLoc());
    auto add = cast<arith::AddFOp>(body->getTerminator()->getOperand(0).getDefiningOp());
    rewriter.setInsertionPoint(add);
    Value sum;
    for (auto [product, values] : llvm::zip_equal(products, shared)) {
      SmallVector<Value> factors;
      for (Value factor : product.factors)
        if (!llvm::is_contained(values, factor))
          factors.push_back(factor);
      if (!values.empty())
        factors.insert(factors.begin(), body->getArgument(next++));
      Value term = multiply(factors);
      if (product.negative)
        term = sum ? arith::SubFOp::create(rewriter, op.getLoc(), sum, term, flags).getResult()
                   : arith::NegFOp::create(rewriter, op.getLoc(), term, flags).getResult();
      else if (sum)
        term = arith::AddFOp::create(rewriter, op.getLoc(), sum, term, flags);
      sum = term;
    }
    unsigned position = add.getLhs() == body->getArguments().back() ? 1 : 0;
    rewriter.modifyOpInPlace(add, [&] { add->setOperand(position, sum); });
    rewriter.replaceOp(op, rebuilt);
    // What the products were made of before has no reader left.
    SmallVector<Operation *> defs =
        llvm::map_to_vector(body->without_terminator(), [](Operation &def) { return &def; });
    for (Operation *def : llvm::reverse(defs))
      if (isOpTriviallyDead(def))
        rewriter.eraseOp(def);
  }

  RewriterBase &rewriter;
  linalg::GenericOp op;
  DotInstructions instructions;
  LoopsOf loopsOf;
  llvm::SmallBitVector inner;
  SmallVector<int64_t> ranges;
  int64_t group = 1;
  arith::FastMathFlagsAttr flags;
};

struct FactorSums : tilewright::impl::FactorSumsPassBase<FactorSums> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    DotInstructions instructions(getOperation()->getParentOfType<ModuleOp>());
    SmallVector<linalg::GenericOp> ops;
    getOperation().walk([&](linalg::GenericOp op) { ops.push_back(op); });
    for (linalg::GenericOp op : ops)
      if (Factorer(rewriter, op, instructions).run())
        ++numFactored;
  }
};

} // namespace
