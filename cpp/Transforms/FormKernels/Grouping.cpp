//===- Grouping.cpp - Which computations share a kernel -------------------===//
//
// In:  a block of host code with linalg operations on tensors.
// Out: groups of them. Nothing is rewritten here.
//
// The rule is one sentence: a producer joins its consumers' kernel if, after
// tiling the loops that all members share, every element of it is still
// computed once. What a join costs is that loops which the producer does not
// have can no longer be tiled across threads; for a contraction that is only
// worth it where batch loops remain (attention), and for a prologue of a
// contraction only where it feeds the weights' panel (dequantisation).
//===----------------------------------------------------------------------===//
#include "Transforms/FormKernels/Grouping.h"

#include "Analysis/Contraction.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallBitVector.h"
#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;
using namespace tilewright;

namespace {

constexpr int64_t kUnmapped = -1;

/// True if a loop indexes the output and everything that is summed up: each of its trips is a product of its own. What does
/// not vary along the sum (a bias, a scale of columns) is no factor of it.
bool hasBatchLoop(linalg::LinalgOp op) {
  SmallVector<unsigned> parallel, reductions;
  op.getParallelDims(parallel);
  op.getReductionDims(reductions);
  return llvm::any_of(parallel, [&](unsigned d) {
    return llvm::all_of(op.getDpsInputOperands(), [&](OpOperand *input) {
      AffineMap map = op.getMatchingIndexingMap(input);
      bool summed = llvm::any_of(reductions, [&](unsigned r) { return map.isFunctionOfDim(r); });
      return !summed || map.isFunctionOfDim(d);
    });
  });
}

/// True where `use` reads what the columns of the contraction are made of: every
/// row reads it again.
bool readsColumns(linalg::LinalgOp contraction, OpOperand &use) {
  std::optional<unsigned> column = columnLoop(contraction);
  return column && contraction.getMatchingIndexingMap(&use).isFunctionOfDim(*column);
}

/// A group while it grows.
class GroupBuilder {
public:
  explicit GroupBuilder(linalg::LinalgOp root) {
    group.root = root;
    SmallVector<int64_t> identity(root.getNumLoops(), kUnmapped);
    SmallVector<unsigned> parallel;
    root.getParallelDims(parallel);
    for (unsigned d : parallel) {
      identity[d] = d;
      group.parallel.push_back(d);
    }
    add(root, identity);
  }

  bool contains(Operation *op) const { return loops.contains(op); }

  /// Returns the reason why `producer` cannot join, or nothing after it joined.
  std::optional<StringRef> tryJoin(linalg::LinalgOp producer) {
    SmallVector<int64_t> map(producer.getNumLoops(), kUnmapped);
    bool feedsContraction = false, feedsColumns = false, feedsMatrix = false, first = true;
    for (OpOperand &use : producer->getUses()) {
      auto consumer = cast<linalg::LinalgOp>(use.getOwner());
      if (consumer.isDpsInit(&use))
        return StringRef("its consumer updates it in place");
      SmallVector<int64_t> here = mapThrough(producer, consumer, use);
      // A loop that only some consumers run along is computed whole.
      for (auto [seen, found] : llvm::zip_equal(map, here)) {
        if (!first && seen != found && seen != kUnmapped && found != kUnmapped)
          return StringRef("its consumers read it in different orders");
        seen = first || seen == found ? found : kUnmapped;
      }
      first = false;
      feedsContraction |= contracts(consumer);
      feedsColumns |= contracts(consumer) && readsColumns(consumer, use);
      feedsMatrix |= contracts(consumer) && !hasBatchLoop(consumer);
    }
    SmallVector<int64_t> shared;
    for (int64_t d : group.parallel)
      if (llvm::is_contained(map, d))
        shared.push_back(d);
    if (shared.empty() && !group.parallel.empty())
      return StringRef("no parallel loop is common to it and its consumer");
    bool dropsLoops = shared.size() != group.parallel.size();
    if (contracts(producer)) {
      bool keepsOutput = llvm::all_of(llvm::enumerate(producer.getIteratorTypesArray()), [&](auto it) {
        return it.value() != utils::IteratorType::parallel || llvm::is_contained(shared, map[it.index()]);
      });
      if ((!keepsOutput || dropsLoops) && !hasBatchLoop(producer))
        return StringRef("its columns would no longer be spread over threads");
    } else if (feedsContraction && dropsLoops && (feedsColumns || feedsMatrix) && !producer->hasAttr("tw.panel")) {
      return StringRef("it would be computed again for every column tile of "
                       "the contraction");
    }
    group.parallel = shared;
    add(producer, map);
    return std::nullopt;
  }

  KernelGroup take() { return std::move(group); }

private:
  void add(linalg::LinalgOp op, SmallVector<int64_t> map) {
    group.ops.push_back(op);
    loops[op] = std::move(map);
  }

  /// Which of the root's loops each loop of `producer` runs along, seen through
  /// one use.
  SmallVector<int64_t> mapThrough(linalg::LinalgOp producer, linalg::LinalgOp consumer, OpOperand &use) {
    SmallVector<int64_t> map(producer.getNumLoops(), kUnmapped);
    AffineMap written = producer.getIndexingMapMatchingResult(cast<OpResult>(use.get()));
    AffineMap read = consumer.getMatchingIndexingMap(&use);
    ArrayRef<int64_t> consumerLoops = loops[consumer];
    SmallVector<utils::IteratorType> kinds = producer.getIteratorTypesArray();
    for (auto [w, r] : llvm::zip_equal(written.getResults(), read.getResults())) {
      auto wd = dyn_cast<AffineDimExpr>(w);
      // A panel number runs along the loop of the columns it holds.
      auto quotient = dyn_cast<AffineBinaryOpExpr>(r);
      bool isPanel = quotient && quotient.getKind() == AffineExprKind::FloorDiv;
      auto rd = dyn_cast<AffineDimExpr>(isPanel ? quotient.getLHS() : r);
      if (wd && rd && kinds[wd.getPosition()] == utils::IteratorType::parallel)
        map[wd.getPosition()] = consumerLoops[rd.getPosition()];
    }
    return map;
  }

  KernelGroup group;
  DenseMap<Operation *, SmallVector<int64_t>> loops;
};

/// Fills and operations that must keep their sequential order never join.
bool mayJoin(linalg::LinalgOp op) {
  return !isa<linalg::FillOp>(op) && !op->hasAttr("tw.lowering") && op->getNumResults() == 1;
}

} // namespace

SmallVector<KernelGroup> tilewright::formGroups(Block &block) {
  SmallVector<KernelGroup> groups;
  llvm::SmallPtrSet<Operation *, 32> taken;
  for (Operation &op : llvm::reverse(block)) {
    auto root = dyn_cast<linalg::LinalgOp>(op);
    if (!root || taken.contains(root))
      continue;
    // A fill that initialises a computation travels with it; one that is a
    // value of its own is a kernel.
    if (isa<linalg::FillOp>(op) && llvm::all_of(op.getUses(), [](OpOperand &use) {
          auto user = dyn_cast<linalg::LinalgOp>(use.getOwner());
          return user && user.isDpsInit(&use);
        }))
      continue;
    GroupBuilder builder(root);
    taken.insert(root);
    if (mayJoin(root)) {
      for (Operation *above = op.getPrevNode(); above; above = above->getPrevNode()) {
        auto producer = dyn_cast<linalg::LinalgOp>(above);
        // Partial results (chunks of a long reduction, what corrects a product)
        // would take loops from threads that their consumer has, or lack some
        // that threads can share.
        if (!producer || taken.contains(producer) || !mayJoin(producer) || above->use_empty() ||
            above->hasAttr("tw.partial"))
          continue;
        if (!llvm::all_of(above->getUsers(), [&](Operation *user) { return builder.contains(user); }))
          continue;
        if (std::optional<StringRef> reason = builder.tryJoin(producer))
          above->setAttr("tw.unfused", StringAttr::get(above->getContext(), *reason));
        else
          taken.insert(producer);
      }
    }
    groups.push_back(builder.take());
  }
  return groups;
}
