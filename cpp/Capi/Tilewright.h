//===- Tilewright.h - What crosses the border to Python and the ---*- C -*-===//
#ifndef TILEWRIGHT_CAPI_TILEWRIGHT_H
#define TILEWRIGHT_CAPI_TILEWRIGHT_H

#include "mlir-c/IR.h"
#include "mlir-c/Support.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Adds every dialect, extension and external model that the pipelines use.
MLIR_CAPI_EXPORTED void twRegisterDialects(MlirDialectRegistry registry);

/// Registers our passes and the upstream ones under their command line names.
/// Idempotent.
MLIR_CAPI_EXPORTED void twRegisterPasses(void);

/// Registers the translations from MLIR to LLVM IR in a context.
MLIR_CAPI_EXPORTED void twRegisterTranslations(MlirContext context);

/// The whole of tw-opt.
MLIR_CAPI_EXPORTED int twOptMain(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif // TILEWRIGHT_CAPI_TILEWRIGHT_H
