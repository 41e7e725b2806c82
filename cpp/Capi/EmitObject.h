//===- EmitObject.h - From the llvm dialect to bytes --------------*- C -*-===//
#ifndef TILEWRIGHT_CAPI_EMITOBJECT_H
#define TILEWRIGHT_CAPI_EMITOBJECT_H

#include "mlir-c/IR.h"
#include "mlir-c/Support.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What to emit.
typedef enum { TwEmitObject = 0, TwEmitAssembly = 1, TwEmitLLVMIR = 2 } TwEmitKind;

/// Seconds of the three steps of an emission.
typedef struct {
  double translate, optimise, codegen;
} TwEmitTimes;

/// Compiles a module of the llvm dialect. Returns bytes that twFree releases,
/// or null with a message in `error`. `optLevel` is 0 to 3; `cpu` and
/// `features` are LLVM's names. `times` may be null.
MLIR_CAPI_EXPORTED char *twEmit(MlirModule module, MlirStringRef cpu, MlirStringRef features, int optLevel,
                                TwEmitKind kind, size_t *size, char **error, TwEmitTimes *times);

/// Releases what twEmit or twHostCpu returned.
MLIR_CAPI_EXPORTED void twFree(char *bytes);

/// The host's CPU and features as LLVM names them, separated by a newline.
MLIR_CAPI_EXPORTED char *twHostCpu(void);

/// Identifies this build of the compiler: version and the hash of its sources.
MLIR_CAPI_EXPORTED const char *twToolchainBuild(void);

#ifdef __cplusplus
}
#endif

#endif // TILEWRIGHT_CAPI_EMITOBJECT_H
