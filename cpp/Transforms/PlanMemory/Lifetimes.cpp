//===- Lifetimes.cpp - Which buffers live at once, and where they go --------===//
#include "Transforms/PlanMemory/PlanMemory.h"

#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "llvm/ADT/STLExtras.h"

#include <numeric>

using namespace mlir;
using namespace tilewright::memory;

std::optional<int64_t> tilewright::memory::elementBytes(Type element) {
  if (element.isIndex())
    return 8;
  if (element.isIntOrFloat())
    return (element.getIntOrFloatBitWidth() + 7) / 8;
  return std::nullopt;
}

SmallVector<std::pair<memref::AllocOp, Lifetime>> tilewright::memory::lifetimesOf(func::FuncOp func) {
  DenseMap<Operation *, Lifetime> positions;
  int64_t clock = 0;
  SmallVector<memref::AllocOp> allocs;
  std::function<void(Operation *)> number = [&](Operation *op) {
    int64_t begin = clock++;
    for (Region &region : op->getRegions())
      for (Operation &inner : region.getOps())
        number(&inner);
    positions[op] = {begin, clock++};
    if (auto alloc = dyn_cast<memref::AllocOp>(op))
      allocs.push_back(alloc);
  };
  number(func);

  BufferViewFlowAnalysis views(func);
  SmallVector<std::pair<memref::AllocOp, Lifetime>> lifetimes;
  for (memref::AllocOp alloc : allocs) {
    Lifetime life = positions[alloc];
    for (Value alias : views.resolve(alloc)) {
      for (Operation *user : alias.getUsers()) {
        life.end = std::max(life.end, positions[user].end);
        for (Operation *loop = user->getParentOp(); loop && loop != func; loop = loop->getParentOp())
          if (isa<LoopLikeOpInterface>(loop) && !loop->isProperAncestor(alloc))
            life.end = std::max(life.end, positions[loop].end);
      }
    }
    lifetimes.push_back({alloc, life});
  }
  llvm::sort(lifetimes, [](const auto &a, const auto &b) { return a.second.begin < b.second.begin; });
  return lifetimes;
}

int64_t tilewright::memory::placeByBestFit(ArrayRef<int64_t> sizes, ArrayRef<Lifetime> lifetimes,
                                           MutableArrayRef<int64_t> offsets) {
  SmallVector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  // Large ones first: they leave gaps that small ones fill.
  llvm::stable_sort(order, [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  SmallVector<size_t> placed;
  int64_t total = 0;
  for (size_t item : order) {
    SmallVector<std::pair<int64_t, int64_t>> busy;
    for (size_t other : placed)
      if (lifetimes[item].overlaps(lifetimes[other]))
        busy.push_back({offsets[other], offsets[other] + alignUp(sizes[other])});
    llvm::sort(busy);
    int64_t need = alignUp(sizes[item]), best = -1, bestGap = INT64_MAX, cursor = 0;
    for (auto [begin, end] : busy) {
      if (begin - cursor >= need && begin - cursor < bestGap) {
        best = cursor;
        bestGap = begin - cursor;
      }
      cursor = std::max(cursor, end);
    }
    offsets[item] = best >= 0 ? best : cursor;
    total = std::max(total, offsets[item] + need);
    placed.push_back(item);
  }
  return total;
}
