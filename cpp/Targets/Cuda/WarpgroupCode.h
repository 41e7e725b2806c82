//===- WarpgroupCode.h - What kernels of warpgroups share -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_WARPGROUPCODE_H
#define TILEWRIGHT_TARGETS_CUDA_WARPGROUPCODE_H

#include "Targets/Cuda/DeviceKernel.h"

namespace tilewright::cuda {

/// Threads of a warpgroup. Two of them multiply, after them comes the one that copies.
inline constexpr int64_t kGroupThreads = 128, kConsumers = 2, kThreadsInAll = (kConsumers + 1) * kGroupThreads;
/// Warps that read a stage of a ring.
inline constexpr int64_t kReaders = kConsumers * kGroupThreads / 32;
/// Rows that one instruction multiplies, and bytes of the depth; bytes of a permuted row.
inline constexpr int64_t kGroupRows = 64, kInstructionBytes = 32, kSpanBytes = 128;

/// Code of a block with three warpgroups: barriers in shared memory (`mbarrier`), copies of tiles (TMA), products (`wgmma`).
/// Addresses in shared memory are 32-bit numbers.
class WarpgroupCode {
protected:
  using Value = mlir::Value;
  using Values = llvm::SmallVector<mlir::Value>;

  explicit WarpgroupCode(DeviceKernel &kernel) : code(kernel.inside), place(kernel.loc) {}

  /// Which stage of a ring comes next, and the parity of its phase.
  struct Turn {
    Value stage, parity;
  };
  /// Tiles in shared memory that copies fill and warps read. Two barriers per stage: `full` completes when all bytes of the
  /// stage have arrived, `empty` when each warp that reads it is done. How often the ring went round is the parity that they
  /// wait for.
  struct BarrierRing {
    Value barriers;
    int64_t stages;
    int64_t barrierBytes() const { return 16 * stages; }
  };
  /// Products along the depth, one instruction after the other: 64 rows of the left factor by `columns` of the right one.
  struct Chain {
    struct Step {
      int64_t left, right; ///< bytes from where the descriptors point; nothing for a left factor in registers
    };
    int64_t columns;
    std::string types;                            ///< of both factors, as the instruction names them
    int64_t depth;                                ///< elements of one step
    bool leftTurned = false, rightTurned = false; ///< whether rows or columns are neighbours, not the depth
    llvm::SmallVector<Step> steps;
  };

  void assembly(const llvm::Twine &text, llvm::StringRef constraints, mlir::ValueRange operands);
  Value i32(int64_t value);
  Value plus(Value a, Value b) { return mlir::arith::AddIOp::create(code, place, a, b); }
  Value minus(Value a, Value b) { return mlir::arith::SubIOp::create(code, place, a, b); }
  Value scaled(Value a, int64_t by) { return mlir::arith::MulIOp::create(code, place, a, i32(by)); }
  Value smaller(Value a, Value b) { return mlir::arith::MinUIOp::create(code, place, a, b); }
  Value isEqual(Value a, Value b);
  Value asI32(Value index) { return mlir::arith::IndexCastOp::create(code, place, code.getI32Type(), index); }

  Value full(const BarrierRing &ring, Value stage) { return plus(ring.barriers, scaled(stage, 8)); }
  Value empty(const BarrierRing &ring, Value stage) { return plus(full(ring, stage), i32(8 * ring.stages)); }
  /// The next stage.
  Turn after(const Turn &turn, const BarrierRing &ring);
  /// For one thread: a barrier, or those of a ring, before anybody knows of them.
  void prepare(Value barrier, int64_t arrivals);
  void prepare(const BarrierRing &ring, int64_t readers);
  /// For that thread: what it prepared is seen by copies, and by other blocks of the cluster.
  void publishBarriers() { assembly("fence.mbarrier_init.release.cluster;", "~{memory}", {}); }
  /// Until the barrier's phase of this parity is over.
  void wait(Value barrier, Value parity);
  /// For one thread: so many bytes will come.
  void expect(Value barrier, int64_t bytes);
  /// The thread that copies waits until a stage is empty. The first time round nobody has read anything: the phase before
  /// the first one counts as over.
  void waitUntilEmpty(const BarrierRing &ring, const Turn &turn);
  /// Says that this warp, by its first lane, has read a stage.
  void release(const BarrierRing &ring, Value stage, Value lane);

  /// For one thread: copies the box at these subscripts to shared memory, to so many blocks of the cluster.
  void copyBox(Value to, Value map, Value barrier, mlir::ValueRange subscripts, int64_t sharers = 1);
  /// Appends coordinates to a copy's operands, the innermost first; returns their places in its text.
  std::string coordinates(mlir::ValueRange subscripts, Values &operands, std::string &constraints);

  /// How `wgmma` finds a tile of permuted rows that begins there: `leading` is how far apart blocks of 64 rows or columns are
  /// where those are neighbours; it means nothing where the depth is.
  Value descriptor(Value start, int64_t leading = 16);
  /// Adds products to `sums`, or to nothing where there are none, and waits for them. The left factor is one descriptor, or
  /// four words per step.
  Values multiply(const Chain &chain, mlir::ValueRange sums, mlir::ValueRange left, Value right);

  /// Divides the threads of the block: two warpgroups multiply, one thread of the third copies. They have so many registers,
  /// of 65536 and 168 each at entry.
  void shareRoles(DeviceKernel &kernel, int64_t sumRegisters, int64_t copyRegisters, llvm::function_ref<void()> consume,
                  llvm::function_ref<void()> produce);

private:
  mlir::OpBuilder &code;
  mlir::Location place;
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_WARPGROUPCODE_H
