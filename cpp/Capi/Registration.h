//===- Registration.h - The dialects, models and passes that ----*- C++ -*-===//
#ifndef TILEWRIGHT_CAPI_REGISTRATION_H
#define TILEWRIGHT_CAPI_REGISTRATION_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace tilewright {

/// Adds every dialect, extension and external model that the pipelines use.
void registerDialects(mlir::DialectRegistry &registry);

/// Registers our passes and the upstream ones under their command line names.
/// Idempotent.
void registerPasses();

/// Registers our own passes only; defined in Passes.cpp, one line per pass
/// folder.
void registerTilewrightPasses();

} // namespace tilewright

#endif // TILEWRIGHT_CAPI_REGISTRATION_H
