//===- TwRtDialect.h - What compiled code asks of the runtime ---------*- C++ -*-===//
#ifndef TWRT_TWRTDIALECT_H
#define TWRT_TWRTDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "TwRt/TwRtDialect.h.inc"

#define GET_OP_CLASSES
#include "TwRt/TwRtOps.h.inc"

#endif // TWRT_TWRTDIALECT_H
