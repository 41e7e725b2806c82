//===- Rows.cpp - Computations that share their rows ------------------------===//
//
// Finds out whether computations on buffers can be done row by row: which of their loops run along each other, what each
// operand finds in its array, and which arrays somebody else reads. Nothing is rewritten here.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Rows.h"

#include "Targets/Cuda/Combine.h"

#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/ADT/IntEqClasses.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

bool isFill(linalg::LinalgOp op) { return isa<linalg::FillOp>(op.getOperation()); }

class Finder {
public:
  explicit Finder(ArrayRef<linalg::LinalgOp> ops) { group.ops.assign(ops.begin(), ops.end()); }

  bool find() { return mayAll() && classify() && order() && follow() && isSafe(); }
  RowGroup group;

private:
  bool mayAll();
  bool classify();
  bool order();
  bool follow();
  bool isSafe();
  bool isOutside(Value array);

  llvm::DenseSet<unsigned> columnClasses, rowClasses;
};

/// Each operation for itself: a reduction whose order is free, or a value per element.
bool Finder::mayAll() {
  bool reduces = false;
  for (linalg::LinalgOp op : group.ops) {
    if (isFill(op))
      continue;
    if (!op.getNumDpsInits() || op.getNumDpsInits() + op.getNumDpsInputs() != int64_t(op->getNumOperands()))
      return false;
    for (Value init : op.getDpsInits())
      if (!isa<MemRefType>(init.getType()) ||
          !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isProjectedPermutation(/*allowZeroInResults=*/true))
        return false;
    if (op.getNumReductionLoops() == 0)
      continue;
    AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    SmallVector<unsigned> reductions;
    op.getReductionDims(reductions);
    bool isFree = combinerOf(op) || choiceOf(op);
    if (!isFree || llvm::any_of(reductions, [&](unsigned loop) { return written.isFunctionOfDim(loop); }))
      return false;
    for (OpOperand &init : op.getDpsInitsMutable())
      if (op.getMatchingIndexingMap(&init) != written)
        return false;
    reduces = true;
  }
  return reduces;
}

/// Loops that index the same dimension of an array run along each other; those of them that are reduced are columns.
bool Finder::classify() {
  llvm::DenseMap<Operation *, unsigned> loopsOf;
  llvm::DenseMap<Value, unsigned> dimsOf;
  unsigned count = 0;
  for (linalg::LinalgOp op : group.ops) {
    loopsOf[op] = count;
    count += op.getNumLoops();
    for (Value operand : op->getOperands())
      if (auto type = dyn_cast<MemRefType>(operand.getType()))
        if (dimsOf.try_emplace(operand, count).second)
          count += type.getRank();
  }
  llvm::IntEqClasses united(count);
  for (linalg::LinalgOp op : group.ops)
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<MemRefType>(operand.get().getType()))
        continue;
      for (auto [dim, result] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
        if (auto loop = dyn_cast<AffineDimExpr>(result))
          united.join(loopsOf[op] + loop.getPosition(), dimsOf[operand.get()] + dim);
    }
  united.compress();
  for (linalg::LinalgOp op : group.ops) {
    SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
    for (unsigned loop = 0; loop < op.getNumLoops(); ++loop) {
      group.classes[op].push_back(united[loopsOf[op] + loop]);
      if (!isFill(op) && kinds[loop] != utils::IteratorType::parallel)
        columnClasses.insert(group.classes[op].back());
    }
  }
  for (linalg::LinalgOp op : group.ops)
    if (!isFill(op))
      for (unsigned each : group.classes[op])
        if (!columnClasses.contains(each))
          rowClasses.insert(each);
  // Every operation has all rows, and either all columns or none.
  for (linalg::LinalgOp op : group.ops) {
    if (isFill(op))
      continue;
    llvm::DenseSet<unsigned> seen;
    for (unsigned each : group.classes[op])
      if (!seen.insert(each).second)
        return false;
    unsigned columns = llvm::count_if(seen, [&](unsigned each) { return columnClasses.contains(each); });
    if (seen.size() - columns != rowClasses.size() || (columns != 0 && columns != columnClasses.size()))
      return false;
    SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
    bool reduces = op.getNumReductionLoops() != 0;
    for (auto [loop, each] : llvm::enumerate(group.classes[op]))
      if (reduces && columnClasses.contains(each) != (kinds[loop] != utils::IteratorType::parallel))
        return false;
    AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
      if (kinds[loop] == utils::IteratorType::parallel && !written.isFunctionOfDim(loop))
        return false;
  }
  return true;
}

/// Neighbouring rows, and neighbouring columns, are neighbours in memory.
bool Finder::order() {
  auto along = [&](const llvm::DenseSet<unsigned> &wanted, SmallVector<unsigned> &found) {
    for (linalg::LinalgOp op : llvm::reverse(group.ops))
      for (OpOperand &operand : op->getOpOperands()) {
        if (isFill(op) || !isa<MemRefType>(operand.get().getType()))
          continue;
        found.clear();
        for (AffineExpr result : op.getMatchingIndexingMap(&operand).getResults())
          if (auto loop = dyn_cast<AffineDimExpr>(result))
            if (unsigned each = group.classes[op][loop.getPosition()]; wanted.contains(each))
              found.push_back(each);
        if (found.size() == wanted.size())
          return true;
      }
    return false;
  };
  return along(rowClasses, group.rows) && along(columnClasses, group.columns);
}

/// Whether anything but the group looks at an array.
bool Finder::isOutside(Value array) {
  auto view = array.getDefiningOp<memref::ViewOp>();
  if (!view || !view.getSource().getDefiningOp<rt::ScratchPushOp>())
    return true;
  return llvm::any_of(array.getUsers(), [&](Operation *user) {
    return !isa<memref::DimOp>(user) && !llvm::is_contained(group.ops, dyn_cast<linalg::LinalgOp>(user));
  });
}

/// What every operand finds in its array.
bool Finder::follow() {
  llvm::MapVector<Value, unsigned> now;
  auto stateOf = [&](Value array) {
    auto [known, isNew] = now.try_emplace(array, group.states.size());
    if (isNew)
      group.states.push_back({array, {}, 0});
    return known->second;
  };
  for (linalg::LinalgOp op : group.ops) {
    for (OpOperand &operand : op->getOpOperands())
      if (isa<MemRefType>(operand.get().getType()))
        group.before[&operand] = stateOf(operand.get());
    for (auto [init, array] : llvm::enumerate(op.getDpsInits())) {
      now[array] = group.states.size();
      group.after[op].push_back(group.states.size());
      group.states.push_back({array, op, static_cast<unsigned>(init)});
    }
  }
  for (auto [array, state] : now)
    if (linalg::LinalgOp op = group.states[state].op; op && isOutside(array)) {
      // What nothing but a fill wrote has no loops here.
      if (isFill(op))
        return false;
      group.outputs.push_back(state);
    }
  return true;
}

/// Every thread reads only what it wrote itself, or what nobody here writes.
bool Finder::isSafe() {
  llvm::DenseMap<Value, AffineMap> written;
  llvm::DenseSet<Value> wholes;
  for (linalg::LinalgOp op : group.ops)
    for (OpOperand &init : op.getDpsInitsMutable()) {
      wholes.insert(wholeOf(init.get()));
      if (isFill(op))
        continue;
      AffineMap map = group.mapOf(init);
      if (!written.try_emplace(init.get(), map).second && written[init.get()] != map)
        return false;
    }
  for (linalg::LinalgOp op : group.ops) {
    if (isFill(op))
      continue;
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<MemRefType>(operand.get().getType()))
        continue;
      auto known = written.find(operand.get());
      if (known != written.end() ? known->second != group.mapOf(operand) : wholes.contains(wholeOf(operand.get())))
        return false;
    }
    WalkResult walk = op->walk([&](memref::LoadOp load) {
      return wholes.contains(wholeOf(load.getMemRef())) ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (walk.wasInterrupted())
      return false;
  }
  return true;
}

} // namespace

Value cuda::wholeOf(Value array) {
  while (auto view = array.getDefiningOp<ViewLikeOpInterface>()) {
    if (isa<memref::ViewOp>(view.getOperation()))
      break;
    array = view.getViewSource();
  }
  return array;
}

bool RowGroup::isWide(linalg::LinalgOp op) const {
  return op.getNumReductionLoops() == 0 &&
         llvm::any_of(classes.lookup(op), [&](unsigned each) { return llvm::is_contained(columns, each); });
}

AffineMap RowGroup::mapOf(OpOperand &operand) const {
  auto op = cast<linalg::LinalgOp>(operand.getOwner());
  unsigned count = 0;
  for (const auto &[each, numbers] : classes)
    for (unsigned number : numbers)
      count = std::max(count, number + 1);
  SmallVector<AffineExpr> dims;
  for (unsigned each : classes.lookup(op))
    dims.push_back(getAffineDimExpr(each, op->getContext()));
  return op.getMatchingIndexingMap(&operand).replaceDimsAndSymbols(dims, {}, count, 0);
}

std::optional<RowGroup> cuda::rowGroupOf(ArrayRef<linalg::LinalgOp> ops) {
  Finder finder(ops);
  if (!finder.find())
    return std::nullopt;
  return std::move(finder.group);
}
