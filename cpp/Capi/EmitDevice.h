//===- EmitDevice.h - From device code to PTX -----------------------*- C -*-===//
#ifndef TILEWRIGHT_CAPI_EMITDEVICE_H
#define TILEWRIGHT_CAPI_EMITDEVICE_H

#include "mlir-c/IR.h"
#include "mlir-c/Support.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Compiles the device module of a module at stage llvm to PTX. Returns text
/// that twFree releases, or null with a message in `error`. `chip` (`sm_80`)
/// and `features` (`+ptx80`) are LLVM's names.
MLIR_CAPI_EXPORTED char *twEmitPtx(MlirModule module, MlirStringRef chip, MlirStringRef features, int optLevel,
                                   size_t *size, char **error);

/// Replaces the device module of a module at stage llvm by a variable with
/// this text (`tw_device_code`), so that the host's object carries it.
MLIR_CAPI_EXPORTED void twEmbedDevice(MlirModule module, MlirStringRef text);

#ifdef __cplusplus
}
#endif

#endif // TILEWRIGHT_CAPI_EMITDEVICE_H
