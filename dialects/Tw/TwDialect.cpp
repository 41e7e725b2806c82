//===- TwDialect.cpp - The tensor dialect of Tilewright ---------------------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tilewright::tw;

#include "Tw/TwDialect.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "Tw/TwAttrs.cpp.inc"

#define GET_OP_CLASSES
#include "Tw/TwOps.cpp.inc"

void TwDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "Tw/TwAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "Tw/TwOps.cpp.inc"
      >();
}

Operation *TwDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  return arith::ConstantOp::materialize(builder, value, type, loc);
}
