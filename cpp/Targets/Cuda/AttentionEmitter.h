//===- AttentionEmitter.h - What all kernels of attention share -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_ATTENTIONEMITTER_H
#define TILEWRIGHT_TARGETS_CUDA_ATTENTIONEMITTER_H

#include "Targets/Cuda/Attention.h"
#include "Targets/Cuda/ProductEmitter.h"

namespace tilewright::cuda {

/// Bytes of one copy to shared memory.
inline constexpr int64_t kCopyBytes = 16;

/// Blocks that share the keys of a row: how many, how many keys each has, and the memory of what they found. There is a
/// record for each part and row: values, then their maximum and sum.
struct SharedKeys {
  mlir::OpFoldResult count, keys;
  mlir::Value records;
};
/// Elements of a record beyond its values: the maximum, the sum, two for the boundary.
inline constexpr int64_t kRecordExtra = 4;

/// Attention while its kernel is written: rows of queries in blocks, the user's formulas of a score, which keys matter.
/// The product of `ProductEmitter` is the second one, whose depth are the keys.
class AttentionEmitter : public ProductEmitter {
public:
  AttentionEmitter(const Attention &attention, Nest &values, Nest &scores, Nest *epilogue, unsigned epilogueInput)
      : ProductEmitter(values, attention.values, epilogue, epilogueInput), attention(attention), scores(scores) {}

protected:
  using Values = llvm::SmallVector<mlir::Value>;

  /// Decides which rows a block has: so many, of all keys or of a part of them.
  void begin(int64_t rows, mlir::OpFoldResult parts = {});
  /// The loops of the first product.
  Values scorePoint(mlir::Value row, mlir::Value key, mlir::Value depth);
  /// Where the keys end that any row of the block sees.
  mlir::Value keyEnd();
  /// The user's formulas of a score.
  mlir::Value formula(mlir::Value score, mlir::Value row, mlir::Value key);
  /// The input that a factor is, or was widened from.
  mlir::OpOperand &operandOf(mlir::linalg::LinalgOp op, mlir::Value factor);

  mlir::Value constant(double value) {
    return mlir::arith::ConstantOp::create(inside, loc, inside.getF32FloatAttr(value));
  }
  mlir::Value i32(int64_t value) {
    return mlir::arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(value));
  }
  mlir::Value multiplied(mlir::Value a, mlir::Value b) {
    return mlir::arith::MulFOp::create(inside, loc, a, b, contract());
  }
  mlir::Value added(mlir::Value a, mlir::Value b) { return mlir::arith::AddFOp::create(inside, loc, a, b, contract()); }
  mlir::Value larger(mlir::Value a, mlir::Value b) { return mlir::arith::MaximumFOp::create(inside, loc, a, b); }
  /// What a maximum is subtracted as: zero for minus infinity, of rows that have seen no key, since differences of
  /// infinities are no numbers.
  mlir::Value finite(mlir::Value highest);
  /// e to the power of a difference.
  mlir::Value power(mlir::Value value, mlir::Value highest);
  /// Writes neighbours of a row, divided by the sum of its weights.
  void writeResult(llvm::ArrayRef<mlir::Value> values, mlir::Value total, mlir::Value row, mlir::Value column);
  static mlir::arith::FastMathFlags contract() { return mlir::arith::FastMathFlags::contract; }

  const Attention &attention;
  Nest &scores;
  llvm::SmallVector<std::unique_ptr<Nest>> formulas;
  int64_t depth = 0, columns = 0; ///< of queries and keys, and of values
  int64_t blockRows = 0;
  mlir::Value keyCount;
  mlir::Value part; ///< which of those that share keys this block is
};

/// Writes one kernel for all of it, by an emitter that is made of these arguments, too.
template <class Emitter, class... Arguments>
void emitAttentionBy(const Attention &attention, mlir::Operation *anchor, mlir::OpOperand *epilogue,
                     mlir::gpu::GPUModuleOp device, llvm::StringRef name, const Arguments &...arguments) {
  DeviceKernel kernel(anchor, device, name);
  Nest values(kernel, attention.values.op), scores(kernel, attention.scores.op);
  values.startFrom(0, mlir::arith::ConstantOp::create(kernel.host, kernel.loc, kernel.host.getF32FloatAttr(0)));
  std::unique_ptr<Nest> after;
  if (epilogue)
    after = std::make_unique<Nest>(kernel, llvm::cast<mlir::linalg::LinalgOp>(anchor));
  Emitter(attention, values, scores, after.get(), epilogue ? epilogue->getOperandNumber() : 0, arguments...).emit();
}

/// Puts together what blocks found that share the keys of rows.
class SharedKeysEmitter : public AttentionEmitter {
public:
  using AttentionEmitter::AttentionEmitter;
  void emit(const SharedKeys &parts);

private:
  Values take(const View &from, mlir::Value place, int64_t count);
  Values alongParts(mlir::Value count, mlir::ValueRange start,
                    llvm::function_ref<Values(mlir::Value, mlir::ValueRange)> body);
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_ATTENTIONEMITTER_H
