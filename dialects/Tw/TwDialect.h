//===- TwDialect.h - The tensor dialect of Tilewright -------------*- C++ -*-===//
#ifndef TW_TWDIALECT_H
#define TW_TWDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Attributes.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

#include "Tw/TwInterfaces.h"

#include "Tw/TwDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "Tw/TwAttrs.h.inc"

#define GET_OP_CLASSES
#include "Tw/TwOps.h.inc"

namespace tilewright::tw {
/// Marks the multiplication in the body of a contraction: what its factors may be rounded to (`precision`).
inline constexpr llvm::StringLiteral kPrecision = "tw.precision";
inline constexpr llvm::StringLiteral kTf32 = "tf32";
} // namespace tilewright::tw

#endif // TW_TWDIALECT_H
