//===- FormKernels.cpp - Grouping and outlining ---------------------------===//
//
// In:  stage linalg: host functions whose computations are linalg operations on
// tensors. Out: stage kernels: the host functions call kernels, hold views,
// sizes and control flow, and compute nothing else. Here, because select
// (Python) decides per kernel, and everything below works on one kernel at a
// time.
//
//   %0 = linalg.generic ... ins(%a) outs(%e)      func.call @kernel_0(%a, %e)
//   %1 = linalg.generic ... ins(%0) outs(%f)  ->  func.func private
//   @kernel_0(%a, %dest) { both, %1 into %dest }
//===----------------------------------------------------------------------===//
#include "Transforms/FormKernels/FormKernels.h"
#include "Transforms/FormKernels/Grouping.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/TypeSwitch.h"

namespace tilewright {
#define GEN_PASS_DEF_FORMKERNELSPASS
#include "Transforms/FormKernels/FormKernels.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

bool areUnit(ArrayRef<int64_t> sizes) {
  return llvm::all_of(sizes, [](int64_t size) { return size == 1; });
}

/// The dimension of `op`'s source that dimension `dim` of its result walks along, or nothing where one step there is more
/// than one step in the source.
std::optional<int64_t> sourceDim(tensor::ExtractSliceOp op, int64_t dim) {
  llvm::SmallBitVector dropped = op.getDroppedDims();
  int64_t source = 0;
  for (int64_t kept = -1; source < int64_t(dropped.size()); ++source)
    if (!dropped.test(source) && ++kept == dim)
      break;
  if (!isConstantIntValue(op.getMixedStrides()[source], 1))
    return std::nullopt;
  return source;
}

std::optional<int64_t> sourceDim(tensor::CollapseShapeOp op, int64_t dim) {
  ReassociationIndices group = op.getReassociationIndices()[dim];
  while (group.size() > 1 && op.getSrcType().getDimSize(group.back()) == 1)
    group.pop_back();
  // A dynamic size may turn out to be 1; then the step is that of the dimension before it.
  if (group.size() > 1 && op.getSrcType().isDynamicDim(group.back()))
    return std::nullopt;
  return group.back();
}

std::optional<int64_t> sourceDim(tensor::ExpandShapeOp op, int64_t dim) {
  for (auto [source, group] : llvm::enumerate(op.getReassociationIndices()))
    if (dim <= group.back())
      return areUnit(op.getResultType().getShape().slice(dim + 1, group.back() - dim)) ? std::optional<int64_t>(source)
                                                                                       : std::nullopt;
  return std::nullopt;
}

/// The layout of a value that is a window of a larger tensor (any row pitch; the innermost dimension dense where that is
/// certain, which a column of a matrix is not), or nothing for a dense value.
Attribute windowLayout(Value value) {
  int64_t rank = cast<RankedTensorType>(value.getType()).getRank();
  bool isWindow = false;
  std::optional<int64_t> innermost = rank - 1; // of the value, followed to the tensor that it is a window of
  Value whole = value;
  while (Operation *def = whole.getDefiningOp()) {
    if (isa<tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp>(def)) {
      isWindow |= isa<tensor::ExtractSliceOp>(def);
      if (innermost && rank > 0)
        innermost = TypeSwitch<Operation *, std::optional<int64_t>>(def)
                        .Case<tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp>(
                            [&](auto view) { return sourceDim(view, *innermost); });
    } else if (!isa<tensor::CastOp>(def)) {
      break;
    }
    whole = def->getOperand(0);
  }
  if (!isWindow || rank == 0)
    return {};
  SmallVector<int64_t> strides(rank, ShapedType::kDynamic);
  if (innermost && areUnit(cast<RankedTensorType>(whole.getType()).getShape().drop_front(*innermost + 1)))
    strides.back() = 1;
  return StridedLayoutAttr::get(value.getContext(), ShapedType::kDynamic, strides);
}

/// Reads a row or column directly: `collapse_shape(extract_slice)` that only drops unit dimensions becomes one
/// rank-reducing `extract_slice`, whose step from element to element is known also where its length is not.
void foldUnitDims(tensor::CollapseShapeOp collapse) {
  auto slice = collapse.getSrc().getDefiningOp<tensor::ExtractSliceOp>();
  auto onlyRead = [&](OpOperand &use) {
    auto reader = dyn_cast<linalg::LinalgOp>(use.getOwner());
    return reader && reader.isDpsInput(&use);
  };
  auto dropsUnits = [&](const ReassociationIndices &group) {
    return llvm::count_if(group, [&](int64_t dim) { return collapse.getSrcType().getDimSize(dim) != 1; }) <= 1;
  };
  if (!slice || !llvm::all_of(collapse->getUses(), onlyRead) ||
      !llvm::all_of(collapse.getReassociationIndices(), dropsUnits))
    return;
  OpBuilder builder(collapse);
  Value direct =
      tensor::ExtractSliceOp::create(builder, collapse.getLoc(), collapse.getResultType(), slice.getSource(),
                                     slice.getMixedOffsets(), slice.getMixedSizes(), slice.getMixedStrides());
  collapse.replaceAllUsesWith(direct);
  collapse.erase();
  if (slice.use_empty())
    slice.erase();
}

/// Gives every result of `op` a destination of its own. Two results may start from one value (equal fills are one fill
/// after cse), but a kernel cannot end both of them in one buffer.
void separateDestinations(linalg::LinalgOp op) {
  llvm::SmallPtrSet<Value, 4> taken;
  OpBuilder builder(op);
  Location loc = op.getLoc();
  for (OpOperand &init : op.getDpsInitsMutable()) {
    auto fill = init.get().getDefiningOp<linalg::FillOp>();
    Value dest = fill ? fill.output() : init.get();
    if (taken.insert(dest).second)
      continue;
    auto type = cast<RankedTensorType>(dest.getType());
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, dest);
    Value own = tensor::EmptyOp::create(builder, loc, sizes, type.getElementType());
    if (fill)
      own = linalg::FillOp::create(builder, loc, fill.value(), own).getResult(0);
    else if (!dest.getDefiningOp<tensor::EmptyOp>() && op.payloadUsesValueFromOperand(&init))
      own = linalg::CopyOp::create(builder, loc, dest, own).getResult(0);
    init.set(own);
  }
}

/// Outlines groups and shares equal kernels.
class Outliner {
public:
  explicit Outliner(ModuleOp module) : module(module), builder(module.getContext()) {}

  void outline(KernelGroup &group);
  unsigned count() const { return names.size(); }
  unsigned calls = 0;

private:
  /// Moves what a kernel can compute for itself (constants, fills, empty
  /// tensors, sizes of arguments) inside.
  Value localise(Value outer, OpBuilder &inside, IRMapping &mapping);

  ModuleOp module;
  Builder builder;
  llvm::StringMap<StringAttr> names;
};

/// Values that a kernel receives: everything from outside but what `localise`
/// rebuilds.
void collectArguments(KernelGroup &group, llvm::SetVector<Value> &inputs, SmallVectorImpl<Value> &dests) {
  llvm::SmallPtrSet<Operation *, 16> members;
  for (linalg::LinalgOp op : group.ops)
    members.insert(op);
  SmallVector<Value> worklist;
  auto visit = [&](Value value, auto &&self) -> void {
    Operation *def = value.getDefiningOp();
    if (def && members.contains(def))
      return;
    if (def && def->hasTrait<OpTrait::ConstantLike>())
      return;
    if (auto fill = dyn_cast_or_null<linalg::FillOp>(def)) {
      self(fill.value(), self);
      self(fill.output(), self);
      return;
    }
    if (auto empty = dyn_cast_or_null<tensor::EmptyOp>(def)) {
      for (Value size : empty.getDynamicSizes())
        self(size, self);
      return;
    }
    inputs.insert(value);
  };
  for (linalg::LinalgOp op : llvm::reverse(group.ops)) {
    for (OpOperand &operand : op->getOpOperands())
      if (op != group.root || !op.isDpsInit(&operand))
        visit(operand.get(), visit);
    // Values that the body captures (a scalar computed by the host).
    op->walk([&](Operation *inner) {
      for (Value value : inner->getOperands())
        if (inner != op && value.getParentRegion()->isProperAncestor(&op->getRegion(0)))
          visit(value, visit);
    });
  }
  for (Value init : group.root.getDpsInits()) {
    if (auto fill = init.getDefiningOp<linalg::FillOp>()) {
      visit(fill.value(), visit);
      init = fill.output();
    }
    dests.push_back(init);
  }
}

Value Outliner::localise(Value outer, OpBuilder &inside, IRMapping &mapping) {
  if (Value known = mapping.lookupOrNull(outer))
    return known;
  Operation *def = outer.getDefiningOp();
  for (Value operand : def->getOperands())
    localise(operand, inside, mapping);
  inside.clone(*def, mapping);
  return mapping.lookup(outer);
}

void Outliner::outline(KernelGroup &group) {
  linalg::LinalgOp root = group.root;
  MLIRContext *context = root->getContext();
  llvm::SetVector<Value> inputs;
  SmallVector<Value> dests;
  collectArguments(group, inputs, dests);

  // A size of an argument is read inside, so that kernels do not differ by how
  // their caller names a size.
  llvm::SetVector<Value> arguments;
  SmallVector<Value> sizes;
  for (Value input : inputs) {
    auto dim = input.getDefiningOp<tensor::DimOp>();
    bool local = dim && (inputs.contains(dim.getSource()) || llvm::is_contained(dests, dim.getSource()));
    if (local)
      sizes.push_back(input);
    else
      arguments.insert(input);
  }

  SmallVector<Value> operands(arguments.begin(), arguments.end());
  operands.append(dests.begin(), dests.end());
  SmallVector<Type> types = llvm::map_to_vector(operands, [](Value v) { return v.getType(); });
  FunctionType type = FunctionType::get(context, types, root->getResultTypes());

  SmallVector<Location> locations = llvm::map_to_vector(group.ops, [](linalg::LinalgOp op) { return op->getLoc(); });
  Location location = FusedLoc::get(context, locations);
  OpBuilder atEnd = OpBuilder::atBlockEnd(module.getBody());
  auto kernel = func::FuncOp::create(atEnd, location, "kernel", type);
  kernel.setPrivate();
  kernel->setAttr("tw.kernel", builder.getUnitAttr());
  Block *body = kernel.addEntryBlock();
  OpBuilder inside = OpBuilder::atBlockBegin(body);
  IRMapping mapping;
  unsigned firstDest = arguments.size();
  for (auto [i, value] : llvm::enumerate(operands)) {
    if (i < firstDest)
      mapping.map(value, body->getArgument(i));
    if (isa<RankedTensorType>(value.getType()))
      if (Attribute layout = windowLayout(value))
        kernel.setArgAttr(i, "bufferization.buffer_layout", layout);
  }
  for (Value size : sizes) {
    auto dim = size.getDefiningOp<tensor::DimOp>();
    if (!mapping.contains(dim.getSource()))
      mapping.map(dim.getSource(), body->getArgument(firstDest + llvm::find(dests, dim.getSource()) - dests.begin()));
    localise(dim.getIndex(), inside, mapping);
    inside.clone(*dim, mapping);
  }
  for (linalg::LinalgOp op : llvm::reverse(group.ops)) {
    if (op == root)
      break;
    for (Value operand : op->getOperands())
      localise(operand, inside, mapping);
    op->walk([&](Operation *inner) {
      for (Value value : inner->getOperands())
        if (inner != op && value.getParentRegion()->isProperAncestor(&op->getRegion(0)))
          localise(value, inside, mapping);
    });
    inside.clone(*op, mapping)->removeAttr("tw.unfused");
  }
  // The root writes to the destinations, whatever they were outside.
  for (OpOperand *input : root.getDpsInputOperands())
    localise(input->get(), inside, mapping);
  root->walk([&](Operation *inner) {
    for (Value value : inner->getOperands())
      if (inner != root && value.getParentRegion()->isProperAncestor(&root->getRegion(0)))
        localise(value, inside, mapping);
  });
  IRMapping rootMapping = mapping;
  for (auto [i, init] : llvm::enumerate(root.getDpsInits())) {
    Value dest = body->getArgument(firstDest + i);
    if (auto fill = init.getDefiningOp<linalg::FillOp>()) {
      Value value = localise(fill.value(), inside, mapping);
      dest = linalg::FillOp::create(inside, fill.getLoc(), ValueRange{value}, ValueRange{dest}).getResult(0);
    }
    // An operand that is both read and updated keeps its two roles apart.
    rootMapping.map(init, dest);
  }
  Operation *newRoot = inside.clone(*root, rootMapping);
  for (OpOperand *input : root.getDpsInputOperands())
    newRoot->setOperand(input->getOperandNumber(), mapping.lookup(input->get()));
  newRoot->removeAttr("tw.unfused");
  newRoot->setAttr("tw.parallel", builder.getDenseI64ArrayAttr(group.parallel));
  func::ReturnOp::create(inside, root->getLoc(), newRoot->getResults());

  // Equal text, locations aside, is an equal kernel.
  std::string text;
  llvm::raw_string_ostream stream(text);
  kernel->print(stream, OpPrintingFlags().useLocalScope());
  auto [entry, isNew] = names.try_emplace(text);
  if (isNew) {
    entry->second = builder.getStringAttr("kernel_" + Twine(names.size() - 1));
    kernel.setSymNameAttr(entry->second);
  } else {
    kernel.erase();
  }

  OpBuilder outside(root);
  // Every call gets a buffer of its own: one empty tensor written twice would
  // have to be copied apart later.
  for (Value &operand : operands)
    if (auto empty = operand.getDefiningOp<tensor::EmptyOp>())
      operand = outside.clone(*empty)->getResult(0);
  auto call = func::CallOp::create(outside, location, entry->second, root->getResultTypes(), operands);
  SmallVector<Attribute> reasons;
  for (linalg::LinalgOp op : group.ops)
    if (auto reason = op->getAttr("tw.unfused"))
      reasons.push_back(reason);
  if (!reasons.empty())
    call->setAttr("tw.unfused", builder.getArrayAttr(reasons));
  root->replaceAllUsesWith(call.getResults());
  for (linalg::LinalgOp op : group.ops)
    op->erase();
  ++calls;
}

struct FormKernels : tilewright::impl::FormKernelsPassBase<FormKernels> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Outliner outliner(module);
    SmallVector<func::FuncOp> hosts;
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isExternal() && !function->hasAttr("tw.kernel") && !function->hasAttr("tw.shapes"))
        hosts.push_back(function);
    for (func::FuncOp host : hosts) {
      SmallVector<Block *> blocks;
      SmallVector<tensor::CollapseShapeOp> collapses;
      host->walk([&](tensor::CollapseShapeOp op) { collapses.push_back(op); });
      llvm::for_each(collapses, foldUnitDims);
      host->walk([&](Operation *op) {
        if (auto computation = dyn_cast<linalg::LinalgOp>(op))
          return separateDestinations(computation);
        for (Region &region : op->getRegions())
          for (Block &block : region)
            if (!isa<linalg::LinalgOp>(block.getParentOp()))
              blocks.push_back(&block);
      });
      for (Block *block : blocks)
        for (KernelGroup &group : formGroups(*block))
          outliner.outline(group);
      // Fills and empty tensors whose users took them along.
      bool changed = true;
      while (changed) {
        changed = false;
        host->walk([&](Operation *op) {
          if (isa<linalg::FillOp, tensor::EmptyOp, tensor::DimOp>(op) && op->use_empty()) {
            op->erase();
            changed = true;
          }
        });
      }
      if (host->hasAttr("tw.load") || host.getSymName().starts_with("load_"))
        host->setAttr("tw.load", UnitAttr::get(&getContext()));
      else
        host->setAttr("tw.host", UnitAttr::get(&getContext()));
    }
    kernels = outliner.count();
    calls = outliner.calls;
  }
};

} // namespace
