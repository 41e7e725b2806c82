//===- Threads.cpp - Parallel loops become bodies for the thread pool -------===//
//
// In:  bufferised functions with `scf.forall` in kernels.
// Out: no `scf.forall`; `rt.launch` of outlined bodies; the runtime table is the first argument everywhere.
// Here, first in stage `target`: the outlined body is what code generation should see as one function.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "mlir/Transforms/RegionUtils.h"

namespace tilewright {
#define GEN_PASS_DEF_CPUTHREADSPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

Value asValue(OpBuilder &builder, Location loc, OpFoldResult value) {
  return getValueOrCreateConstantIndexOp(builder, loc, value);
}

/// Number of iterations of each dim.
SmallVector<OpFoldResult> tripCounts(OpBuilder &builder, scf::ForallOp loop) {
  SmallVector<OpFoldResult> counts;
  Location loc = loop.getLoc();
  for (auto [lower, upper, step] :
       llvm::zip(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep())) {
    auto l = getConstantIntValue(lower), u = getConstantIntValue(upper), s = getConstantIntValue(step);
    if (l && u && s) {
      counts.push_back(builder.getIndexAttr(*u > *l ? (*u - *l + *s - 1) / *s : 0));
      continue;
    }
    Value extent = asValue(builder, loc, upper);
    if (!l || *l != 0)
      extent = arith::SubIOp::create(builder, loc, extent, asValue(builder, loc, lower));
    if (!s || *s != 1)
      extent = arith::CeilDivSIOp::create(builder, loc, extent, asValue(builder, loc, step));
    counts.push_back(extent);
  }
  return counts;
}

/// Turns a parallel loop into serial loops around the same body.
void makeSerial(scf::ForallOp loop) {
  OpBuilder builder(loop);
  Location loc = loop.getLoc();
  SmallVector<Value> indices;
  for (auto [lower, upper, step] :
       llvm::zip(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep())) {
    auto serial = scf::ForOp::create(builder, loc, asValue(builder, loc, lower), asValue(builder, loc, upper),
                                     asValue(builder, loc, step));
    indices.push_back(serial.getInductionVar());
    builder.setInsertionPointToStart(serial.getBody());
  }
  loop.getTerminator()->erase();
  Block *target = builder.getInsertionBlock();
  for (auto [from, to] : llvm::zip(loop.getInductionVars(), indices))
    from.replaceAllUsesWith(to);
  target->getOperations().splice(builder.getInsertionPoint(), loop.getBody()->getOperations());
  loop.erase();
}

/// What the body needs from outside. Constants and descriptions of buffers are computed again inside, so that captures are
/// whole buffers: of those it is known that they do not overlap.
void findCaptures(scf::ForallOp loop, SetVector<Value> &captures, SetVector<Operation *> &repeated) {
  SetVector<Value> used;
  getUsedValuesDefinedAbove(loop.getRegion(), used);
  for (auto values : {loop.getDynamicLowerBound(), loop.getDynamicUpperBound(), loop.getDynamicStep()})
    used.insert(values.begin(), values.end());
  std::function<void(Value)> visit = [&](Value value) {
    Operation *op = value.getDefiningOp();
    bool repeat = op && op->getNumRegions() == 0 &&
                  (op->hasTrait<OpTrait::ConstantLike>() ||
                   isa<memref::SubViewOp, memref::CastOp, memref::ExpandShapeOp, memref::CollapseShapeOp,
                       memref::ReinterpretCastOp, memref::ViewOp, memref::DimOp, memref::GetGlobalOp>(op));
    if (!repeat) {
      captures.insert(value);
      return;
    }
    for (Value operand : op->getOperands())
      visit(operand);
    repeated.insert(op);
  };
  for (Value value : used)
    visit(value);
}

void outline(scf::ForallOp loop, func::FuncOp kernel, unsigned number) {
  OpBuilder builder(loop);
  Location loc = loop.getLoc();
  SmallVector<OpFoldResult> counts = tripCounts(builder, loop);
  SetVector<Value> captures;
  SetVector<Operation *> repeated;
  findCaptures(loop, captures, repeated);

  SmallVector<Type> types = llvm::map_to_vector(captures, [](Value value) { return value.getType(); });
  types.append(2, builder.getIndexType());
  OpBuilder moduleBuilder(kernel->getContext());
  moduleBuilder.setInsertionPoint(kernel);
  auto body = func::FuncOp::create(moduleBuilder, loc, (kernel.getName() + "_body_" + Twine(number)).str(),
                                   builder.getFunctionType(types, {}));
  body.setPrivate();
  body->setAttr("tw.body", builder.getUnitAttr());
  for (StringRef name : {"tw.target", "tw.stream"})
    if (Attribute fact = kernel->getAttr(name))
      body->setAttr(name, fact);
  Block *entry = body.addEntryBlock();
  OpBuilder inner = OpBuilder::atBlockBegin(entry);
  IRMapping map;
  for (auto [capture, argument] : llvm::zip(captures, entry->getArguments()))
    map.map(capture, argument);
  for (Operation *op : repeated)
    inner.clone(*op, map);

  Value begin = entry->getArgument(types.size() - 2), end = entry->getArgument(types.size() - 1);
  auto within = [&](OpFoldResult value) -> OpFoldResult {
    if (auto dynamic = dyn_cast<Value>(value))
      return map.lookup(dynamic);
    return value;
  };
  // The counts of the inner dims again, inside: the linear index is taken apart with them.
  SmallVector<Value> innerCounts;
  for (auto [lower, upper, step] :
       llvm::zip(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep())) {
    Value extent =
        arith::SubIOp::create(inner, loc, asValue(inner, loc, within(upper)), asValue(inner, loc, within(lower)));
    innerCounts.push_back(arith::CeilDivSIOp::create(inner, loc, extent, asValue(inner, loc, within(step))));
  }
  Value one = arith::ConstantIndexOp::create(inner, loc, 1);
  auto range = scf::ForOp::create(inner, loc, begin, end, one);
  func::ReturnOp::create(inner, loc);
  inner.setInsertionPointToStart(range.getBody());
  Value rest = range.getInductionVar();
  SmallVector<OpFoldResult> lowers = loop.getMixedLowerBound(), steps = loop.getMixedStep();
  for (int64_t dim = loop.getRank() - 1; dim >= 0; --dim) {
    Value index = rest;
    if (dim > 0) {
      index = arith::RemSIOp::create(inner, loc, rest, innerCounts[dim]);
      rest = arith::DivSIOp::create(inner, loc, rest, innerCounts[dim]);
    }
    index = arith::MulIOp::create(inner, loc, index, asValue(inner, loc, within(steps[dim])));
    index = arith::AddIOp::create(inner, loc, index, asValue(inner, loc, within(lowers[dim])));
    map.map(loop.getInductionVars()[dim], index);
  }
  for (Operation &op : loop.getBody()->without_terminator())
    inner.clone(op, map);

  Value total = asValue(builder, loc, counts.front());
  for (OpFoldResult count : llvm::drop_begin(counts))
    total = arith::MulIOp::create(builder, loc, total, asValue(builder, loc, count));
  rt::LaunchOp::create(builder, loc, body.getName(), total, captures.getArrayRef());
  loop.erase();
}

bool runsOnce(scf::ForallOp loop) {
  return llvm::all_of(
      llvm::zip(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep()), [](auto bounds) {
        auto [lower, upper, step] = bounds;
        auto l = getConstantIntValue(lower), u = getConstantIntValue(upper), s = getConstantIntValue(step);
        return l && u && s && *u - *l <= *s;
      });
}

struct CpuThreadsPass : tilewright::impl::CpuThreadsPassBase<CpuThreadsPass> {
  LogicalResult convertLoops(func::FuncOp func) {
    SmallVector<scf::ForallOp> inner, outer;
    WalkResult walk = func.walk([&](scf::ForallOp loop) {
      if (loop.getNumResults() != 0) {
        loop.emitOpError("still has results: it was not bufferised");
        return WalkResult::interrupt();
      }
      bool nested = loop->getParentOfType<scf::ForallOp>() || runsOnce(loop);
      (nested ? inner : outer).push_back(loop);
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      return failure();
    for (scf::ForallOp loop : inner)
      makeSerial(loop);
    for (auto [number, loop] : llvm::enumerate(outer))
      outline(loop, func, number);
    return success();
  }

  /// A fixed amount of stack is taken once per call when it stands in the entry block.
  void hoistStack(func::FuncOp func) {
    Block *entry = &func.front();
    func.walk([&](memref::AllocaOp op) {
      if (op.getDynamicSizes().empty())
        op->moveBefore(entry, entry->begin());
    });
  }

  void addTable(ModuleOp module) {
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    Builder builder(&getContext());
    auto mark = builder.getDictionaryAttr(builder.getNamedAttr("tw.rt", builder.getUnitAttr()));
    for (auto func : module.getOps<func::FuncOp>()) {
      if (func->hasAttr("tw.shapes") || func.isExternal())
        continue;
      (void)func.insertArgument(0, pointer, mark, func.getLoc());
    }
    module.walk([&](func::CallOp call) {
      auto caller = call->getParentOfType<func::FuncOp>();
      auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee());
      if (callee && callee.getNumArguments() && callee.getArgAttr(0, "tw.rt"))
        call->insertOperands(0, caller.getArgument(0));
    });
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (func.isExternal())
        continue;
      if (failed(convertLoops(func)))
        return signalPassFailure();
    }
    for (auto func : module.getOps<func::FuncOp>())
      if (!func.isExternal())
        hoistStack(func);
    addTable(module);
  }
};

} // namespace
