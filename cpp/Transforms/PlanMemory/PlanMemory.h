//===- PlanMemory.h - One arena for all intermediates -*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_PLANMEMORY_H
#define TILEWRIGHT_TRANSFORMS_PLANMEMORY_H

#include "TwRt/TwRtDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Pass/Pass.h"

#include <optional>
#include <string>

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/PlanMemory/PlanMemory.h.inc"

namespace memory {

constexpr int64_t kAlignment = 64;
inline int64_t alignUp(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Bytes of one element in memory; nullopt for types without a fixed size.
std::optional<int64_t> elementBytes(mlir::Type element);

/// When a buffer is live: positions in a walk of its function, both ends included.
struct Lifetime {
  int64_t begin, end;
  bool overlaps(const Lifetime &other) const { return begin <= other.end && other.begin <= end; }
};

/// The lifetime of each allocation of a function, in the order of the walk. What is used in a loop that does not contain
/// the allocation stays live until the loop ends.
llvm::SmallVector<std::pair<mlir::memref::AllocOp, Lifetime>> lifetimesOf(mlir::func::FuncOp func);

/// Places static sizes at offsets so that no two live at once overlap; returns the bytes used.
int64_t placeByBestFit(llvm::ArrayRef<int64_t> sizes, llvm::ArrayRef<Lifetime> lifetimes,
                       llvm::MutableArrayRef<int64_t> offsets);

/// Writes `value`, an index, in terms of the dims of the function's arguments; nullopt if it depends on anything else.
/// Equal texts mean equal numbers.
std::optional<std::string> describeSize(mlir::Value value);

/// Computes a describable `value` again at `builder`, where `arguments` stand for the arguments of its function.
mlir::Value cloneSize(mlir::OpBuilder &builder, mlir::Value value, mlir::ValueRange arguments,
                      llvm::DenseMap<mlir::Value, mlir::Value> &done);

struct KernelMemoryCounts {
  int64_t stacked = 0, pushed = 0;
};
/// Puts the allocations of one kernel on the stack or on the runtime's scratch stack.
llvm::LogicalResult planKernel(mlir::func::FuncOp func, int64_t stackBytes, int64_t stackTotal,
                               KernelMemoryCounts &counts);
/// Replaces one allocation by a push, popped at the end of its block.
llvm::LogicalResult pushAllocation(mlir::memref::AllocOp alloc);

} // namespace memory
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_PLANMEMORY_H
