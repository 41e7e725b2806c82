//===- TwToLinalg.h - Lower the tensor dialect to linalg -----------*- C++ -*-===//
#ifndef TILEWRIGHT_CONVERSION_TWTOLINALG_H
#define TILEWRIGHT_CONVERSION_TWTOLINALG_H

#include "mlir/Pass/Pass.h"

namespace mlir {
class RewritePatternSet;
class RewriterBase;
class TypeConverter;
} // namespace mlir

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Conversion/TwToLinalg/TwToLinalg.h.inc"

/// Refuses `op` and says why to the user: an operation has one pattern, so its refusal ends the conversion.
mlir::LogicalResult refuse(mlir::RewriterBase &rewriter, mlir::Operation *op, const char *reason);

/// The one pattern for all structured operations.
void populateStructuredToLinalgPatterns(const mlir::TypeConverter &converter, mlir::RewritePatternSet &patterns);
/// Operations that move elements, and the bridge between tensors and indices.
void populateShapesToTensorPatterns(const mlir::TypeConverter &converter, mlir::RewritePatternSet &patterns);
void populateReshapeToTensorPatterns(const mlir::TypeConverter &converter, mlir::RewritePatternSet &patterns);
/// `cond`, `while`, `scan` and their regions.
void populateControlFlowToScfPatterns(const mlir::TypeConverter &converter, mlir::RewritePatternSet &patterns);
} // namespace tilewright

#endif // TILEWRIGHT_CONVERSION_TWTOLINALG_H
