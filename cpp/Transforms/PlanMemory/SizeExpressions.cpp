//===- SizeExpressions.cpp - Sizes in terms of the arguments' dims ----------===//
#include "Transforms/PlanMemory/PlanMemory.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace {

/// The dim of the source that alone makes the size of a collapsed dim, or nothing.
std::optional<int64_t> soleDim(memref::CollapseShapeOp op, int64_t dim) {
  std::optional<int64_t> found;
  SmallVector<ReassociationIndices> groups = op.getReassociationIndices();
  for (int64_t source : groups[dim]) {
    if (op.getSrcType().getDimSize(source) == 1)
      continue;
    if (found)
      return std::nullopt;
    found = source;
  }
  return found;
}

/// What `memref.dim` measures: an argument and its dim, a number, or another index.
struct Measured {
  BlockArgument argument;
  int64_t dim = 0;
  OpFoldResult size;
};

std::optional<Measured> measure(memref::DimOp op) {
  std::optional<int64_t> dim = op.getConstantIndex();
  if (!dim)
    return std::nullopt;
  Value source = op.getSource(); // `dim` is one of its dims
  while (true) {
    auto type = dyn_cast<MemRefType>(source.getType());
    if (!type || *dim >= type.getRank())
      return std::nullopt;
    if (!type.isDynamicDim(*dim))
      return Measured{{}, 0, Builder(op.getContext()).getIndexAttr(type.getDimSize(*dim))};
    if (auto argument = dyn_cast<BlockArgument>(source)) {
      auto func = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
      // Outputs and the arena are not arguments of the shape function.
      if (!func || func.getArgAttr(argument.getArgNumber(), "tw.output"))
        return std::nullopt;
      return Measured{argument, *dim, {}};
    }
    Operation *def = source.getDefiningOp();
    if (auto cast = dyn_cast<memref::CastOp>(def)) {
      source = cast.getSource();
      continue;
    }
    if (auto collapse = dyn_cast<memref::CollapseShapeOp>(def)) {
      if (!(dim = soleDim(collapse, *dim)))
        return std::nullopt;
      source = collapse.getSrc();
      continue;
    }
    if (auto alloc = dyn_cast<memref::AllocOp>(def))
      return Measured{{}, 0, alloc.getMixedSizes()[*dim]};
    if (auto view = dyn_cast<memref::SubViewOp>(def))
      if (view.getType().getRank() == view.getSourceType().getRank())
        return Measured{{}, 0, view.getMixedSizes()[*dim]};
    if (auto view = dyn_cast<memref::ExpandShapeOp>(def))
      return Measured{{}, 0, view.getMixedOutputShape()[*dim]};
    if (auto view = dyn_cast<memref::ReinterpretCastOp>(def))
      return Measured{{}, 0, view.getMixedSizes()[*dim]};
    return std::nullopt;
  }
}

bool isComputable(Operation *op) { return op->getNumRegions() == 0 && op->getNumResults() == 1 && isPure(op); }

} // namespace

std::optional<std::string> tilewright::memory::describeSize(Value value) {
  std::string text;
  llvm::raw_string_ostream os(text);
  Operation *op = value.getDefiningOp();
  if (!op)
    return std::nullopt;
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    auto measured = measure(dim);
    if (!measured)
      return std::nullopt;
    if (!measured->argument) {
      if (auto inner = dyn_cast<Value>(measured->size))
        return describeSize(inner);
      os << *getConstantIntValue(measured->size);
      return text;
    }
    auto func = cast<func::FuncOp>(measured->argument.getOwner()->getParentOp());
    unsigned number = measured->argument.getArgNumber();
    auto names = func.getArgAttrOfType<ArrayAttr>(number, "tw.dims");
    if (names && measured->dim < static_cast<int64_t>(names.size()))
      if (auto name = dyn_cast<StringAttr>(names[measured->dim]); name && !name.empty())
        return name.getValue().str();
    os << "arg" << number << "." << measured->dim;
    return text;
  }
  if (auto number = getConstantIntValue(value)) {
    os << *number;
    return text;
  }
  if (!isComputable(op))
    return std::nullopt;
  os << op->getName() << op->getAttrDictionary() << "(";
  for (Value operand : op->getOperands()) {
    auto inner = describeSize(operand);
    if (!inner)
      return std::nullopt;
    os << *inner << ",";
  }
  os << ")";
  return text;
}

Value tilewright::memory::cloneSize(OpBuilder &builder, Value value, ValueRange arguments,
                                    DenseMap<Value, Value> &done) {
  if (Value known = done.lookup(value))
    return known;
  Operation *op = value.getDefiningOp();
  Value result;
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    Measured measured = *measure(dim);
    if (measured.argument)
      result = memref::DimOp::create(builder, op->getLoc(), arguments[measured.argument.getArgNumber()], measured.dim);
    else if (auto inner = dyn_cast<Value>(measured.size))
      result = cloneSize(builder, inner, arguments, done);
    else
      result = arith::ConstantIndexOp::create(builder, op->getLoc(), *getConstantIntValue(measured.size));
  } else {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(cloneSize(builder, operand, arguments, done));
    Operation *copy = builder.clone(*op);
    copy->setOperands(operands);
    result = copy->getResult(0);
  }
  done[value] = result;
  return result;
}
