//===- Products.cpp - What a loop nest adds up ------------------------------===//
//
// Definitions stand in the header.
//
//===----------------------------------------------------------------------===//
#include "Analysis/Products.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace tilewright;

SmallVector<Product> tilewright::expandProducts(Value value) {
  Operation *def = value.getDefiningOp();
  if (isa_and_nonnull<arith::AddFOp, arith::SubFOp>(def)) {
    SmallVector<Product> sum = expandProducts(def->getOperand(0));
    for (Product &term : expandProducts(def->getOperand(1)))
      sum.push_back({term.factors, term.negative != isa<arith::SubFOp>(def)});
    return sum;
  }
  if (isa_and_nonnull<arith::NegFOp>(def)) {
    SmallVector<Product> sum = expandProducts(def->getOperand(0));
    for (Product &term : sum)
      term.negative = !term.negative;
    return sum;
  }
  if (isa_and_nonnull<arith::MulFOp>(def)) {
    SmallVector<Product> products;
    for (const Product &lhs : expandProducts(def->getOperand(0)))
      for (const Product &rhs : expandProducts(def->getOperand(1))) {
        products.push_back({lhs.factors, lhs.negative != rhs.negative});
        llvm::append_range(products.back().factors, rhs.factors);
      }
    return products;
  }
  return {{{value}, false}};
}

Value tilewright::summandOf(linalg::GenericOp op) {
  if (op.getNumDpsInits() != 1)
    return nullptr;
  BlockArgument sum = op.getRegionOutputArgs().front();
  auto add = op.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!add || !sum.hasOneUse() || !llvm::is_contained(add->getOperands(), sum))
    return nullptr;
  return add.getLhs() == sum ? add.getRhs() : add.getLhs();
}

bool tilewright::isStoredInteger(Value factor) {
  return isa_and_nonnull<arith::SIToFPOp, arith::UIToFPOp>(factor.getDefiningOp());
}

llvm::SmallBitVector LoopsOf::operator()(Value value) {
  if (auto it = known.find(value); it != known.end())
    return it->second;
  llvm::SmallBitVector loops(op.getNumLoops());
  if (auto arg = dyn_cast<BlockArgument>(value); arg && arg.getOwner() == op.getBody()) {
    AffineMap map = op.getMatchingIndexingMap(&op->getOpOperand(arg.getArgNumber()));
    for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
      loops[loop] = map.isFunctionOfDim(loop);
  } else if (Operation *def = value.getDefiningOp(); def && def->getBlock() == op.getBody()) {
    if (auto index = dyn_cast<linalg::IndexOp>(def))
      loops.set(index.getDim());
    for (Value operand : def->getOperands())
      loops |= (*this)(operand);
  }
  return known[value] = loops;
}

std::optional<llvm::SmallBitVector> tilewright::groupLoops(linalg::GenericOp op, ArrayRef<Product> products,
                                                           LoopsOf &loopsOf) {
  llvm::SmallBitVector reductions(op.getNumLoops()), outer(op.getNumLoops());
  for (auto [loop, kind] : llvm::enumerate(op.getIteratorTypesArray()))
    reductions[loop] = kind != utils::IteratorType::parallel;
  bool found = false, stored = false;
  for (const Product &product : products)
    for (Value factor : product.factors) {
      stored |= isStoredInteger(factor);
      llvm::SmallBitVector loops = loopsOf(factor);
      loops &= reductions;
      if (loops != reductions) {
        outer |= loops;
        found = true;
      }
    }
  llvm::SmallBitVector inner = reductions;
  inner.reset(outer);
  return found && stored && inner.any() ? std::optional(inner) : std::nullopt;
}
