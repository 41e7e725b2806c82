//===- TwInterfaces.h - The doors by which an op is lowered -------*- C++ -*-===//
#ifndef TW_TWINTERFACES_H
#define TW_TWINTERFACES_H

#include "mlir/Dialect/Utils/StructuredOpsUtils.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"

namespace tilewright::tw {
class StructuredOpInterface;

namespace common {
/// The operands of ranked tensor type, in order.
llvm::SmallVector<mlir::Value> tensorOperands(mlir::ValueRange operands);
/// One identity map per tensor operand and result, of the first result's rank.
llvm::SmallVector<mlir::AffineMap> identityMaps(mlir::Operation *op);
llvm::SmallVector<mlir::utils::IteratorType> parallelIterators(llvm::ArrayRef<mlir::AffineMap> maps);

/// `type` with `ui` integers replaced by signless ones; tensors keep their shape.
mlir::Type signless(mlir::Type type);
mlir::Type signlessElementType(mlir::Type type);

/// The size of dimension `dim` of `tensor`: an attribute where it is static, else a `tw.dim`.
mlir::OpFoldResult dimSize(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value tensor, int64_t dim);
/// All sizes of `tensor`.
llvm::SmallVector<mlir::OpFoldResult> dimSizes(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value tensor);
/// The shape and the sizes of the '?' dimensions that `sizes` stand for.
std::pair<llvm::SmallVector<int64_t>, llvm::SmallVector<mlir::Value>>
splitSizes(llvm::ArrayRef<mlir::OpFoldResult> sizes);

/// The sizes of each output of the loop nest, from the maps and the inputs.
mlir::FailureOr<llvm::SmallVector<llvm::SmallVector<mlir::OpFoldResult>>>
loopOutputSizes(StructuredOpInterface op, mlir::OpBuilder &builder, mlir::ValueRange operands, mlir::ValueRange inputs);

/// `reifyResultShapes` of structured operations whose results are the outputs of the loop nest themselves.
mlir::LogicalResult reifyStructured(mlir::Operation *op, mlir::OpBuilder &builder,
                                    mlir::ReifiedRankedShapedTypeDims &shapes);
/// `reifyResultShapes` of operations whose results all have the shape of operand `index`.
mlir::LogicalResult reifyLikeOperand(mlir::Operation *op, mlir::OpBuilder &builder, unsigned index,
                                     mlir::ReifiedRankedShapedTypeDims &shapes);
/// Replaces sizes by constants where the type of the result is static, as the interface demands.
void preferStaticSizes(mlir::Type type, mlir::Builder &builder, llvm::SmallVectorImpl<mlir::OpFoldResult> &sizes);
/// Mixes the static sizes of `type` with one value per '?' dimension.
llvm::SmallVector<mlir::OpFoldResult> mixSizes(mlir::OpBuilder &builder, mlir::Type type, mlir::ValueRange dynamic);
} // namespace common
} // namespace tilewright::tw

#include "Tw/TwInterfaces.h.inc"

#endif // TW_TWINTERFACES_H
