//===- Launches.cpp - Computations become kernels and launches --------------===//
//
// In:  stage buffers: functions with linalg operations and copies on buffers, marked with `tw.lowering`.
// Out: `rt.launch_kernel` in their place, kernels in the module `@device`; host code touches no element of an array itself.
// Here, first in stage `target`: buffers are final, so it is known what every kernel reads and writes.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Attention.h"
#include "Targets/Cuda/Contraction.h"
#include "Targets/Cuda/Dots.h"
#include "Targets/Cuda/Nest.h"
#include "Targets/Cuda/Rows.h"

#include "mlir/Interfaces/ViewLikeInterface.h"

namespace tilewright {
#define GEN_PASS_DEF_CUDALAUNCHESPASS
#include "Targets/Cuda/Cuda.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

constexpr llvm::StringLiteral kLowering = "tw.lowering";
/// Threads of a row for which nobody chose a number.
constexpr int64_t kRowThreads = 256;

StringRef loweringOf(Operation *op) {
  auto lowering = op->getAttrOfType<StringAttr>(kLowering);
  return lowering ? lowering.getValue() : StringRef(kPoints);
}

bool isProduct(linalg::LinalgOp op) {
  StringRef kind = loweringOf(op);
  return (kind == kTiles || kind == kDots || kind == kMma || kind == kWgmma) && contractionOf(op);
}

/// The next computation of the block.
linalg::LinalgOp nextComputation(Operation *op) {
  for (Operation *next = op->getNextNode(); next; next = next->getNextNode()) {
    if (auto computation = dyn_cast<linalg::LinalgOp>(next))
      return computation;
    if (isa<func::CallOp, memref::CopyOp, memref::StoreOp>(next) || next->getNumRegions() > 0)
      return {};
  }
  return {};
}

/// All arrays that a computation looks at or writes, whole.
void addArrays(linalg::LinalgOp op, llvm::DenseSet<Value> &arrays) {
  for (Value operand : op->getOperands())
    arrays.insert(wholeOf(operand));
  op->walk([&](memref::LoadOp load) { arrays.insert(wholeOf(load.getMemRef())); });
}

/// The fill that an array holds when `op` runs, or null: upwards past other fills, up to what might look at the array.
linalg::FillOp fillBefore(Operation *op, Value array) {
  for (Operation *above = op->getPrevNode(); above; above = above->getPrevNode()) {
    if (auto candidate = dyn_cast<linalg::FillOp>(above)) {
      if (candidate.output() == array)
        return candidate;
    } else if (isa<linalg::LinalgOp, memref::CopyOp, memref::StoreOp, memref::LoadOp, func::CallOp>(above) ||
               above->getNumRegions() > 0) {
      break;
    }
  }
  return {};
}

/// The fills that a computation starts from, by destination, if nothing else needs them.
SmallVector<std::pair<unsigned, linalg::FillOp>> fillsOf(linalg::LinalgOp op) {
  SmallVector<std::pair<unsigned, linalg::FillOp>> found;
  for (auto [number, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    if (llvm::count(op->getOperands(), init.get()) != 1)
      continue;
    AffineMap map = op.getMatchingIndexingMap(&init);
    SmallVector<unsigned> reductions;
    op.getReductionDims(reductions);
    bool once = map.isProjectedPermutation() &&
                llvm::none_of(reductions, [&](unsigned loop) { return map.isFunctionOfDim(loop); });
    if (linalg::FillOp fill = once ? fillBefore(op, init.get()) : linalg::FillOp())
      found.push_back({number, fill});
  }
  return found;
}

/// The elementwise operation that alone reads what `op` computes into temporary memory, and the operand that does. What
/// `others` had there before is none of its business. Blocks that are done write while other blocks still read: nothing
/// between, and nothing that the operation writes, may be an array of theirs.
OpOperand *epilogueOf(linalg::LinalgOp op, ArrayRef<linalg::LinalgOp> others = {}) {
  Value buffer = op.getDpsInits().front();
  auto view = buffer.getDefiningOp<memref::ViewOp>();
  if (!view || !view.getSource().getDefiningOp<rt::ScratchPushOp>())
    return nullptr;
  llvm::DenseSet<Value> arrays;
  addArrays(op, arrays);
  for (linalg::LinalgOp other : others)
    addArrays(other, arrays);
  auto writesThem = [&](linalg::LinalgOp later) {
    return llvm::any_of(later.getDpsInits(), [&](Value written) { return arrays.contains(wholeOf(written)); });
  };
  linalg::LinalgOp next = nextComputation(op);
  while (next && isa<linalg::FillOp>(next.getOperation()) && !writesThem(next))
    next = nextComputation(next);
  if (!next || next.getNumParallelLoops() != next.getNumLoops() || writesThem(next))
    return nullptr;
  OpOperand *input = nullptr;
  for (OpOperand &use : buffer.getUses()) {
    if (use.getOwner() == op || isa<linalg::FillOp>(use.getOwner()) || isa<memref::DimOp>(use.getOwner()) ||
        llvm::is_contained(others, dyn_cast<linalg::LinalgOp>(use.getOwner())))
      continue;
    if (input || use.getOwner() != next || !next.isDpsInput(&use))
      return nullptr;
    input = &use;
  }
  return input && next.getMatchingIndexingMap(input).isPermutation() ? input : nullptr;
}

/// Temporary memory that no operation uses any more.
void dropUnusedMemory(func::FuncOp function) {
  SmallVector<memref::ViewOp> views;
  SmallVector<rt::ScratchPushOp> pushes;
  function.walk([&](memref::ViewOp view) { views.push_back(view); });
  function.walk([&](rt::ScratchPushOp push) { pushes.push_back(push); });
  for (memref::ViewOp view : views) {
    SmallVector<Operation *> users(view->getUsers());
    // A size of it is known without it.
    if (!llvm::all_of(users, [](Operation *user) { return isa<memref::DimOp>(user) && user->use_empty(); }))
      continue;
    for (Operation *user : users)
      user->erase();
    view.erase();
  }
  for (rt::ScratchPushOp push : pushes) {
    SmallVector<Operation *> users(push->getUsers());
    if (!llvm::all_of(users, llvm::IsaPred<rt::ScratchPopOp>))
      continue;
    for (Operation *user : users)
      user->erase();
    push.erase();
  }
}

struct CudaLaunchesPass : tilewright::impl::CudaLaunchesPassBase<CudaLaunchesPass> {
  gpu::GPUModuleOp device;
  unsigned count = 0;

  std::string nextName(func::FuncOp function) { return (function.getName() + "_" + Twine(count++)).str(); }

  LogicalResult convert(linalg::LinalgOp op, ArrayRef<std::pair<unsigned, linalg::FillOp>> fills,
                        func::FuncOp function) {
    StringRef kind = loweringOf(op);
    OpOperand *epilogue = isProduct(op) ? epilogueOf(op) : nullptr;
    Operation *anchor = epilogue ? epilogue->getOwner() : op.getOperation();

    DeviceKernel kernel(anchor, device, nextName(function));
    Nest nest(kernel, op);
    if (llvm::any_of(nest.ranges, [](OpFoldResult range) { return !range; }))
      return op->emitOpError("has a loop whose size no operand shows: no device kernel can be made of it");
    for (auto [init, fill] : fills)
      nest.startFrom(init, fill.value());
    if (isProduct(op)) {
      std::optional<Dots> dots = kind == kDots ? dotsOf(op, dotShapeOf(op)->lanes) : std::nullopt;
      std::unique_ptr<Nest> after;
      if (epilogue)
        after = std::make_unique<Nest>(kernel, cast<linalg::LinalgOp>(anchor));
      unsigned input = epilogue ? epilogue->getOperandNumber() : 0;
      if (kind == kDots)
        emitDots(*dots, *dotShapeOf(op), nest, after.get(), input);
      else
        emitProduct(nest, after.get(), input, kind);
    } else if (SmallVector<int64_t> tile = tileOf(op); kind != kRuns || tile.size() != 1 || !emitRuns(nest, tile[0])) {
      emitPoints(nest);
    }
    if (epilogue)
      anchor->erase();
    op->erase();
    for (auto [init, fill] : fills)
      fill->erase();
    return success();
  }

  /// The computations from number `first` on that `rows` was chosen for, as many of them as share their rows, become one
  /// kernel.
  std::optional<RowGroup> rowsFrom(ArrayRef<linalg::LinalgOp> computations, unsigned first,
                                   const llvm::SmallPtrSetImpl<Operation *> &gone) {
    unsigned begin = first, end = first + 1;
    auto isLeft = [&](unsigned number) { return !gone.contains(computations[number]); };
    while (begin > 0 && isLeft(begin - 1) && isFill(computations[begin - 1]) &&
           follows(computations[begin - 1], computations[begin]))
      --begin;
    while (end < computations.size() && isLeft(end) && follows(computations[end - 1], computations[end]) &&
           (isFill(computations[end]) || loweringOf(computations[end]) == kRows))
      ++end;
    for (; end > first; --end) {
      if (isFill(computations[end - 1]))
        continue;
      llvm::DenseSet<Value> arrays;
      for (linalg::LinalgOp op : computations.slice(first, end - first))
        if (!isa<linalg::FillOp>(op.getOperation()))
          arrays.insert(op->operand_begin(), op->operand_end());
      SmallVector<linalg::LinalgOp> taken;
      for (linalg::LinalgOp op : computations.slice(begin, end - begin))
        if (auto fill = dyn_cast<linalg::FillOp>(op.getOperation()); !fill || arrays.contains(fill.output()))
          taken.push_back(op);
      if (std::optional<RowGroup> group = rowGroupOf(taken))
        return group;
    }
    return std::nullopt;
  }

  /// What a computation is where attention was chosen for something else: the numbers that go with that mean nothing now.
  static void forgetAttention(linalg::LinalgOp op) {
    std::optional<Contraction> product = contractionOf(op);
    op->removeAttr("tw.tile");
    bool onTensorCores = product && (product->narrow || product->isTf32);
    op->setAttr(kLowering, StringAttr::get(op->getContext(), !product ? kRows : onTensorCores ? kMma : kTiles));
  }

  /// The computations from number `first` on that attention was chosen for become one kernel; where they are no such thing
  /// after all, what each would have been without.
  bool convertAttention(ArrayRef<linalg::LinalgOp> computations, unsigned first, func::FuncOp function,
                        llvm::SmallPtrSetImpl<Operation *> &gone) {
    StringRef lowering = loweringOf(computations[first]);
    SmallVector<int64_t> numbers = tileOf(computations[first]);
    unsigned begin = first, end = first + 1;
    while (begin > 0 && !gone.contains(computations[begin - 1]) && isFill(computations[begin - 1]) &&
           follows(computations[begin - 1], computations[begin]))
      --begin;
    while (end < computations.size() && !gone.contains(computations[end]) &&
           follows(computations[end - 1], computations[end]) &&
           (isFill(computations[end]) || loweringOf(computations[end]) == lowering))
      ++end;
    std::optional<Attention> attention =
        attentionOf(computations.slice(begin, end - begin), /*onTensorCores=*/lowering != kPlainAttention);
    bool hasNumbers = (lowering != kPlainAttention || numbers.size() == 5) &&
                      (lowering != kWarpgroupAttention || numbers.size() == 2);
    if (!attention || !hasNumbers) {
      for (linalg::LinalgOp op : computations.slice(first, end - first))
        if (!isFill(op))
          forgetAttention(op);
      return false;
    }
    linalg::LinalgOp last = attention->values.op;
    OpOperand *epilogue = epilogueOf(last, attention->ops);
    Operation *anchor = epilogue ? epilogue->getOwner() : last.getOperation();
    std::string name = nextName(function);
    if (lowering == kPlainAttention)
      emitPlainAttention(*attention, anchor, epilogue, device, name,
                         {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]});
    else if (lowering != kWarpgroupAttention ||
             !emitWarpgroupAttention(*attention, anchor, epilogue, device, name, {numbers[0], numbers[1]}))
      emitTensorAttention(*attention, anchor, epilogue, device, name);
    gone.insert(anchor);
    gone.insert(attention->ops.begin(), attention->ops.end());
    if (epilogue)
      anchor->erase();
    for (linalg::LinalgOp op : attention->ops)
      op->erase();
    return true;
  }

  static bool isFill(linalg::LinalgOp op) { return isa<linalg::FillOp>(op.getOperation()); }

  /// Whether `next` is the computation after `op`, with nothing between them that touches memory.
  static bool follows(linalg::LinalgOp op, linalg::LinalgOp next) {
    if (op->getBlock() != next->getBlock())
      return false;
    for (Operation *between = op->getNextNode(); between != next; between = between->getNextNode())
      if (!between || isa<memref::LoadOp, memref::StoreOp, func::CallOp, linalg::LinalgOp>(between) ||
          between->getNumRegions() > 0)
        return false;
    return true;
  }

  void convertStore(memref::StoreOp store, func::FuncOp function) {
    DeviceKernel kernel(store, device, nextName(function));
    SmallVector<Value> indices = llvm::map_to_vector(store.getIndices(), [&](Value i) { return kernel.pass(i); });
    Value value = kernel.pass(store.getValue());
    kernel.store(value, kernel.view(store.getMemRef()), indices);
    kernel.launch(kernel.host.getIndexAttr(1), 1);
    store.erase();
  }

  void convertLoad(memref::LoadOp load) {
    OpBuilder builder(load);
    Value source = load.getMemRef();
    auto type = cast<MemRefType>(source.getType());
    if (type.getRank() > 0) {
      SmallVector<OpFoldResult> offsets = getAsOpFoldResult(load.getIndices());
      SmallVector<OpFoldResult> ones(type.getRank(), builder.getIndexAttr(1));
      auto element = memref::SubViewOp::inferRankReducedResultType({}, type, offsets, ones, ones);
      source =
          memref::SubViewOp::create(builder, load.getLoc(), cast<MemRefType>(element), source, offsets, ones, ones);
    }
    load.replaceAllUsesWith(rt::ReadOp::create(builder, load.getLoc(), type.getElementType(), source).getValue());
    load.erase();
  }

  LogicalResult convertFunction(func::FuncOp function) {
    SmallVector<memref::CopyOp> copies;
    function.walk([&](memref::CopyOp copy) { copies.push_back(copy); });
    for (memref::CopyOp copy : copies) {
      OpBuilder builder(copy);
      if (linalg::FillOp fill = fillBefore(copy, copy.getSource()))
        linalg::FillOp::create(builder, copy.getLoc(), fill.value(), copy.getTarget());
      else
        linalg::CopyOp::create(builder, copy.getLoc(), copy.getSource(), copy.getTarget());
      copy.erase();
    }
    // Fills come last among their neighbours: most of them are part of the computation that follows.
    SmallVector<linalg::LinalgOp> computations;
    SmallVector<Operation *> accesses;
    function.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (isa<linalg::LinalgOp>(op)) {
        computations.push_back(cast<linalg::LinalgOp>(op));
        return WalkResult::skip();
      }
      if (isa<memref::LoadOp, memref::StoreOp>(op))
        accesses.push_back(op);
      return WalkResult::advance();
    });
    // Before anything is converted: launches no longer show which buffers they look at.
    llvm::DenseMap<Operation *, SmallVector<std::pair<unsigned, linalg::FillOp>>> fills;
    for (linalg::LinalgOp op : computations)
      if (!isa<linalg::FillOp>(op.getOperation()))
        fills[op.getOperation()] = fillsOf(op);
    llvm::SmallPtrSet<Operation *, 16> gone;
    for (auto [number, op] : llvm::enumerate(computations)) {
      if (gone.contains(op) || isa<linalg::FillOp>(op.getOperation()))
        continue;
      StringRef lowering = loweringOf(op);
      bool isAttention = lowering == kAttention || lowering == kWarpgroupAttention || lowering == kPlainAttention;
      if (isAttention && convertAttention(computations, number, function, gone))
        continue;
      // Weights that lie otherwise than their subscripts told select.
      if (loweringOf(op) == kDots && (!dotShapeOf(op) || !dotsOf(op, dotShapeOf(op)->lanes))) {
        op->setAttr(kLowering, StringAttr::get(op->getContext(), kRows));
        op->removeAttr("tw.tile");
      }
      if (loweringOf(op) == kRows) {
        if (std::optional<RowGroup> group = rowsFrom(computations, number, gone)) {
          SmallVector<int64_t> tile = tileOf(op);
          tile.resize(2);
          emitRows(*group, device, nextName(function), tile[0] ? tile[0] : kRowThreads, tile[1]);
          gone.insert(group->ops.begin(), group->ops.end());
          for (linalg::LinalgOp member : group->ops)
            member->erase();
          continue;
        }
      }
      for (auto [init, fill] : fills[op.getOperation()])
        gone.insert(fill);
      if (OpOperand *epilogue = isProduct(op) ? epilogueOf(op) : nullptr)
        gone.insert(epilogue->getOwner());
      gone.insert(op);
      if (failed(convert(op, fills[op.getOperation()], function)))
        return failure();
    }
    for (linalg::LinalgOp op : computations)
      if (!gone.contains(op) && isa<linalg::FillOp>(op.getOperation()) && failed(convert(op, {}, function)))
        return failure();
    for (Operation *op : accesses) {
      if (auto store = dyn_cast<memref::StoreOp>(op))
        convertStore(store, function);
      else if (auto load = cast<memref::LoadOp>(op); !constantArray(load.getMemRef()))
        convertLoad(load);
    }
    dropUnusedMemory(function);
    return success();
  }

  /// Constants of host code that reach the device in a way which gives them no memory there.
  LogicalResult checkConstants(Operation *op) {
    for (Value operand : op->getOperands()) {
      while (auto view = operand.getDefiningOp<ViewLikeOpInterface>())
        operand = view.getViewSource();
      if (operand.getDefiningOp<memref::GetGlobalOp>())
        return op->emitOpError(
            "passes a part of a constant array, which lies in the memory of the host: target cuda has no "
            "device memory for it; pass the array as an argument instead");
    }
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    device = gpu::GPUModuleOp::create(builder, module.getLoc(), "device");
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (function.isExternal() || function->hasAttr("tw.shapes"))
        continue;
      if (failed(convertFunction(function)))
        return signalPassFailure();
    }
    WalkResult walk = module.walk([&](Operation *op) {
      bool passes = isa<rt::LaunchKernelOp, rt::ReadOp, func::CallOp>(op);
      return passes && failed(checkConstants(op)) ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (walk.wasInterrupted())
      signalPassFailure();
  }
};

} // namespace
