//===- Prefetch.cpp - Ask for stored weights before they are needed -------===//
//
// In:  loops over vector reads of buffers. Out: the same loops, which also ask
// for the bytes that lie `distance` ahead of those they read.
// Narrow integers that are widened at once are quantised weights: read once,
// in order, a few bytes a cycle. That is too slow a stream for a processor to
// run far ahead of it by itself, and the loop waits for memory at every page.
// Here, where reads have addresses and loops are what they will be.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

namespace tilewright {
#define GEN_PASS_DEF_CPUPREFETCHPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

constexpr int64_t kLineBytes = 64;

bool isInnermost(scf::ForOp loop) {
  return loop.getBody()->walk([](scf::ForOp) { return WalkResult::interrupt(); }).wasInterrupted() == false;
}

/// Bytes that a vector of stored integers takes, or 0 for any other read.
int64_t storedBytes(vector::TransferReadOp read) {
  auto buffer = dyn_cast<MemRefType>(read.getBase().getType());
  VectorType type = read.getVectorType();
  if (!buffer || type.getRank() != 1 || type.isScalable() || !read.getPermutationMap().isMinorIdentity())
    return 0;
  // Words of four stored integers, which are taken out by logic.
  if (type.getElementType().isInteger(32) &&
      llvm::all_of(read->getUsers(), llvm::IsaPred<arith::XOrIOp, arith::AndIOp, arith::ShRUIOp, rt::GroupDotOp>))
    return 4 * type.getNumElements();
  if (!type.getElementType().isInteger(8))
    return 0;
  bool widened =
      llvm::any_of(read->getUsers(), [](Operation *user) { return isa<arith::ExtUIOp, arith::ExtSIOp>(user); });
  return widened ? type.getNumElements() : 0;
}

/// Whether the read moves with the loop.
bool movesWith(vector::TransferReadOp read, scf::ForOp loop) {
  llvm::SmallVector<Value> worklist(read.getIndices());
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (value == loop.getInductionVar())
      return true;
    Operation *op = value.getDefiningOp();
    if (op && loop->isProperAncestor(op))
      worklist.append(op->operand_begin(), op->operand_end());
  }
  return false;
}

struct CpuPrefetch : tilewright::impl::CpuPrefetchPassBase<CpuPrefetch> {
  using CpuPrefetchPassBase::CpuPrefetchPassBase;

  void runOnOperation() override {
    getOperation()->walk([&](scf::ForOp loop) {
      if (isInnermost(loop))
        prefetch(loop);
    });
  }

  /// The bytes of a row of a panel that a read of its beginning stands for, or 0 for a read of what follows in a row:
  /// that may stand in another loop.
  static int64_t rowBytes(vector::TransferReadOp read, int64_t bytes) {
    int64_t row = cast<MemRefType>(read.getBase().getType()).getShape().back();
    std::optional<int64_t> first = getConstantIntValue(read.getIndices().back());
    int64_t elements = read.getVectorType().getNumElements();
    if (!first || ShapedType::isDynamic(row) || row % elements != 0 || row * bytes / elements > kLineBytes)
      return bytes;
    return *first == 0 ? row * bytes / elements : 0;
  }

  /// One request per cache line that an iteration reads.
  void prefetch(scf::ForOp loop) {
    llvm::MapVector<Value, int64_t> bytesOf;
    SmallVector<vector::TransferReadOp> reads(loop.getBody()->getOps<vector::TransferReadOp>());
    for (vector::TransferReadOp read : reads) {
      int64_t bytes = storedBytes(read);
      if (bytes == 0 || !movesWith(read, loop))
        continue;
      bytes = rowBytes(read, bytes);
      if (bytes == 0)
        continue;
      int64_t &before = bytesOf[read.getBase()];
      if (before % kLineBytes == 0)
        request(read);
      before += bytes;
    }
  }

  void request(vector::TransferReadOp read) {
    OpBuilder builder(read);
    SmallVector<Value> ahead(read.getIndices());
    int64_t elements = distance * 8 / read.getVectorType().getElementTypeBitWidth();
    Value further = arith::ConstantIndexOp::create(builder, read.getLoc(), elements);
    ahead.back() = arith::AddIOp::create(builder, read.getLoc(), ahead.back(), further);
    memref::PrefetchOp::create(builder, read.getLoc(), read.getBase(), ahead, /*isWrite=*/false,
                               /*localityHint=*/3, /*isDataCache=*/true);
    ++numRequests;
  }
};

} // namespace
