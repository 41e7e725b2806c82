//===- PythonModule.cpp - The module `_tilewright` beside the MLIR bindings ---===//
#include "Capi/Tilewright.h"

#include "mlir/Bindings/Python/Nanobind.h"
#include "mlir/Bindings/Python/NanobindAdaptors.h"

namespace nb = nanobind;

NB_MODULE(_tilewright, m) {
  m.doc() = "Registration of the tw dialect and the passes, and emission of objects.";
  m.def(
      "register_dialects", [](MlirDialectRegistry registry) { twRegisterDialects(registry); }, nb::arg("registry"),
      "Add every dialect, extension and external model that the pipelines use to a registry.");
  m.def("register_passes", &twRegisterPasses, "Register all passes under their command line names.");
}
