//===- DeviceKernel.h - One kernel while it is written -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_DEVICEKERNEL_H
#define TILEWRIGHT_TARGETS_CUDA_DEVICEKERNEL_H

#include "Targets/Cuda/Cuda.h"

namespace tilewright::cuda {

/// An array as device code sees it: the address of its first element, and how far apart elements are.
struct View {
  mlir::Value pointer;
  mlir::Type element;
  llvm::SmallVector<mlir::Value> strides;
  /// Whether its first element lies on a boundary of 16 bytes, rows follow each other densely.
  bool dense = false;
  explicit operator bool() const { return bool(pointer); }
};

/// The constant that an array is, if it is one.
mlir::memref::GetGlobalOp constantArray(mlir::Value array);

/// A function in the device module, the launch that host code gets in place of a computation, and what passes between
/// them: whatever the device code asks for becomes an argument once.
class DeviceKernel {
public:
  /// Host code is written before `anchor`.
  DeviceKernel(mlir::Operation *anchor, mlir::gpu::GPUModuleOp device, llvm::StringRef name);

  /// A host value inside the kernel; constants are repeated there.
  mlir::Value pass(mlir::Value value);
  mlir::Value index(int64_t value) { return mlir::arith::ConstantIndexOp::create(inside, loc, value); }
  /// A host size inside the kernel.
  mlir::Value index(mlir::OpFoldResult value);
  View view(mlir::Value array);
  /// A size of a host array, in host code.
  mlir::OpFoldResult size(mlir::Value array, int64_t dim);

  mlir::Value threadId();
  mlir::Value blockId();

  /// Address of the element at `indices`.
  mlir::Value address(const View &view, mlir::ValueRange indices);
  mlir::Value load(const View &view, mlir::ValueRange indices, int64_t lanes = 1);
  void store(mlir::Value value, const View &view, mlir::ValueRange indices);

  /// Memory that the threads of a block share, with `elements` elements.
  mlir::Value shared(mlir::Type element, int64_t elements, int64_t alignment = 16);
  /// The memory of a block whose size the launch says (`tw.shared`), beyond what a kernel may declare; once per kernel.
  mlir::Value dynamicShared(int64_t bytes);
  /// A parameter that says how boxes are cut out of a dense array: `CUtensorMap`, passed by value. Sizes of the box begin with
  /// the innermost dimension; rows of a box lie in shared memory permuted within so many bytes.
  mlir::Value tensorMap(mlir::Value array, llvm::ArrayRef<int64_t> box, int64_t swizzle, mlir::Type type = {});
  mlir::Value sharedAddress(mlir::Value base, mlir::Type element, mlir::Value position);
  void barrier();

  /// The parts of a linear index in a space of these sizes; the last varies fastest.
  llvm::SmallVector<mlir::Value> delinearise(mlir::Value linear, llvm::ArrayRef<mlir::OpFoldResult> sizes);
  /// Host code: the product of sizes, and a quotient rounded up.
  mlir::OpFoldResult product(llvm::ArrayRef<mlir::OpFoldResult> sizes);
  mlir::OpFoldResult ceilDiv(mlir::OpFoldResult value, int64_t by);

  /// A block that is done goes on with the work of the block as many numbers away as the grid has blocks: the launch
  /// starts no more of them than run at once, one per multiprocessor, and a multiple of `together`.
  void makePersistent(int64_t together) { function->setAttr("tw.persistent", host.getI64IntegerAttr(together)); }
  /// So many blocks that follow each other run together and reach each other's shared memory.
  void makeClusters(int64_t blocks) { function->setAttr("tw.cluster", host.getI64IntegerAttr(blocks)); }
  /// Ends the kernel and launches it.
  void launch(mlir::OpFoldResult blocks, int64_t threads);

  mlir::OpBuilder host, inside;
  mlir::Location loc;

private:
  mlir::Value addArgument(mlir::Value operand, mlir::Type type, mlir::DictionaryAttr attributes = {});
  mlir::Value repeatConstant(mlir::memref::GetGlobalOp constant);

  mlir::gpu::GPUModuleOp device;
  mlir::func::FuncOp function;
  mlir::Value thread, block;
  llvm::SmallVector<mlir::Value> operands;
  llvm::DenseMap<mlir::Value, mlir::Value> passed;
  llvm::DenseMap<mlir::Value, View> views;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, mlir::Value> sizes;
  unsigned sharedCount = 0;
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_DEVICEKERNEL_H
