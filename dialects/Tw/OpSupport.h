//===- OpSupport.h - What the definitions of ops share ------------*- C++ -*-===//
#ifndef TW_OP_SUPPORT_H
#define TW_OP_SUPPORT_H

#include "Tw/Scalar.h"
#include "Tw/TwInterfaces.h"

namespace tilewright::tw::common {

/// Emits "'name' op message" where a location is known; always fails.
mlir::LogicalResult inferError(std::optional<mlir::Location> loc, llvm::StringRef name, const llvm::Twine &message);
/// (c1) `axis` is a dimension of `type`.
mlir::LogicalResult verifyAxis(mlir::Operation *op, mlir::RankedTensorType type, int64_t axis);
/// Whether two sizes can be the same: equal, or one of them is '?'.
bool sizesMayAgree(int64_t a, int64_t b);

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//
mlir::LogicalResult inferReduction(std::optional<mlir::Location> loc, llvm::StringRef name, mlir::Type input,
                                   llvm::ArrayRef<int64_t> dims, llvm::SmallVectorImpl<mlir::Type> &types,
                                   mlir::Type element = {});
mlir::LogicalResult reifyReduction(mlir::Operation *op, mlir::OpBuilder &builder, mlir::Value input,
                                   llvm::ArrayRef<int64_t> dims, mlir::ReifiedRankedShapedTypeDims &shapes);
/// The identity for the input and `outputs` maps that drop `dims`.
llvm::SmallVector<mlir::AffineMap> reductionMaps(mlir::RankedTensorType input, llvm::ArrayRef<int64_t> dims,
                                                 unsigned outputs);
llvm::SmallVector<mlir::utils::IteratorType> reductionIterators(mlir::RankedTensorType input,
                                                                llvm::ArrayRef<int64_t> dims);

/// Values to start a reduction from, in the accumulator of an element type.
class ReductionInit {
public:
  explicit ReductionInit(mlir::Type element) : element(element), type(accumulatorType(element)) {}
  mlir::TypedAttr number(int64_t value) const;
  mlir::TypedAttr lowest() const { return extreme(true); }
  mlir::TypedAttr highest() const { return extreme(false); }

private:
  mlir::TypedAttr extreme(bool low) const;
  mlir::Type element, type;
};

/// The body of a reduction: `scalars` are an element and the accumulator, `body` gets (x, accumulator).
llvm::SmallVector<mlir::Value> combine(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type element,
                                       mlir::ValueRange scalars, BinaryBody body);
/// The body of a running reduction: `scalars` are an element, the old output (unused) and the accumulator.
llvm::SmallVector<mlir::Value> accumulate(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type element,
                                          mlir::ValueRange scalars, BinaryBody body);
/// The body of argmax ("gt") and argmin ("lt"): `scalars` are an element, the best position and the best value.
llvm::SmallVector<mlir::Value> pickBest(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type element,
                                        mlir::ValueRange scalars, int64_t axis, llvm::StringRef order);

//===----------------------------------------------------------------------===//
// Windows
//===----------------------------------------------------------------------===//
/// The sizes of the result of a convolution or pooling.
mlir::LogicalResult reifyWindowed(mlir::Operation *op, mlir::OpBuilder &builder,
                                  mlir::ReifiedRankedShapedTypeDims &shapes);
} // namespace tilewright::tw::common

#endif // TW_OP_SUPPORT_H
