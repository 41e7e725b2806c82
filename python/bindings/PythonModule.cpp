//===- PythonModule.cpp - The module `_tilewright` beside the MLIR --------===//
#include "Capi/EmitDevice.h"
#include "Capi/EmitObject.h"
#include "Capi/Tilewright.h"

#include "mlir-c/Diagnostics.h"
#include "mlir-c/Pass.h"
#include "mlir/Bindings/Python/Nanobind.h"
#include "mlir/Bindings/Python/NanobindAdaptors.h"

#include "nanobind/stl/pair.h"
#include "nanobind/stl/string.h"

namespace nb = nanobind;

namespace {

nb::bytes emit(MlirModule module, const std::string &cpu, const std::string &features, int optLevel, TwEmitKind kind,
               TwEmitTimes *times = nullptr) {
  size_t size = 0;
  char *error = nullptr, *bytes = nullptr;
  {
    nb::gil_scoped_release release;
    bytes = twEmit(module, mlirStringRefCreate(cpu.data(), cpu.size()),
                   mlirStringRefCreate(features.data(), features.size()), optLevel, kind, &size, &error, times);
  }
  if (!bytes) {
    std::string message = error ? error : "unknown failure";
    twFree(error);
    throw std::runtime_error(message);
  }
  nb::bytes result(bytes, size);
  twFree(bytes);
  return result;
}

void append(MlirStringRef text, void *to) { static_cast<std::string *>(to)->append(text.data, text.length); }

MlirLogicalResult collect(MlirDiagnostic diagnostic, void *to) {
  std::string &text = *static_cast<std::string *>(to);
  text += text.empty() ? "error: " : "\n note: ";
  mlirLocationPrint(mlirDiagnosticGetLocation(diagnostic), append, to);
  text += ": ";
  mlirDiagnosticPrint(diagnostic, append, to);
  return mlirLogicalResultSuccess();
}

/// As PassManager.run, but other Python threads go on meanwhile. That is why
/// the context must be of no use to them.
void runPasses(MlirModule module, const std::string &pipeline, bool verify) {
  std::string problems;
  bool good = false;
  {
    nb::gil_scoped_release release;
    MlirContext context = mlirModuleGetContext(module);
    MlirDiagnosticHandlerID handler = mlirContextAttachDiagnosticHandler(context, collect, &problems, nullptr);
    MlirPassManager manager = mlirPassManagerCreate(context);
    mlirPassManagerEnableVerifier(manager, verify);
    MlirStringRef text = mlirStringRefCreate(pipeline.data(), pipeline.size());
    good = mlirLogicalResultIsSuccess(
               mlirParsePassPipeline(mlirPassManagerGetAsOpPassManager(manager), text, append, &problems)) &&
           mlirLogicalResultIsSuccess(mlirPassManagerRunOnOp(manager, mlirModuleGetOperation(module)));
    mlirPassManagerDestroy(manager);
    mlirContextDetachDiagnosticHandler(context, handler);
  }
  if (!good)
    throw std::runtime_error(problems.empty() ? "a pass failed" : problems);
}

} // namespace

NB_MODULE(_tilewright, m) {
  m.doc() = "Registration of the tw dialect and the passes, and emission of objects.";
  m.def(
      "register_dialects", [](MlirDialectRegistry registry) { twRegisterDialects(registry); }, nb::arg("registry"),
      "Add every dialect, extension and external model that the pipelines use "
      "to a registry.");
  m.def(
      "clone_module",
      [](MlirModule module) { return mlirModuleFromOperation(mlirOperationClone(mlirModuleGetOperation(module))); },
      nb::arg("module"), "Copy a module within its context.");
  m.def("run_passes", &runPasses, nb::arg("module"), nb::arg("pipeline"), nb::arg("verify") = true,
        "Run a pipeline without the interpreter's lock; no other thread may use the module's context.");
  m.def(
      "emit_object",
      [](MlirModule module, const std::string &cpu, const std::string &features, int optLevel) {
        return emit(module, cpu, features, optLevel, TwEmitObject);
      },
      nb::arg("module"), nb::arg("cpu"), nb::arg("features"), nb::arg("opt_level") = 2,
      "Compile a module at stage llvm to an object.");
  m.def(
      "emit_object_timed",
      [](MlirModule module, const std::string &cpu, const std::string &features, int optLevel) {
        TwEmitTimes times{};
        nb::bytes object = emit(module, cpu, features, optLevel, TwEmitObject, &times);
        nb::dict seconds;
        seconds["translate"] = times.translate;
        seconds["optimise"] = times.optimise;
        seconds["codegen"] = times.codegen;
        return nb::make_tuple(object, seconds);
      },
      nb::arg("module"), nb::arg("cpu"), nb::arg("features"), nb::arg("opt_level") = 2,
      "As emit_object; returns the object and the seconds of LLVM's steps.");
  m.def(
      "emit_assembly",
      [](MlirModule module, const std::string &cpu, const std::string &features, int optLevel) {
        return emit(module, cpu, features, optLevel, TwEmitAssembly);
      },
      nb::arg("module"), nb::arg("cpu"), nb::arg("features"), nb::arg("opt_level") = 2,
      "Compile a module at stage llvm to assembly text.");
  m.def(
      "emit_ptx",
      [](MlirModule module, const std::string &chip, const std::string &features, int optLevel) {
        size_t size = 0;
        char *error = nullptr, *text = nullptr;
        {
          nb::gil_scoped_release release;
          text = twEmitPtx(module, mlirStringRefCreate(chip.data(), chip.size()),
                           mlirStringRefCreate(features.data(), features.size()), optLevel, &size, &error);
        }
        if (!text) {
          std::string message = error ? error : "unknown failure";
          twFree(error);
          throw std::runtime_error(message);
        }
        std::string result(text, size);
        twFree(text);
        return result;
      },
      nb::arg("module"), nb::arg("chip"), nb::arg("features"), nb::arg("opt_level") = 2,
      "Compile the device code of a module at stage llvm to PTX.");
  m.def(
      "embed_device",
      [](MlirModule module, const std::string &text) {
        twEmbedDevice(module, mlirStringRefCreate(text.data(), text.size()));
      },
      nb::arg("module"), nb::arg("text"),
      "Replace the device code of a module at stage llvm by a constant that carries its PTX.");
  m.def(
      "host_cpu",
      [] {
        char *text = twHostCpu();
        std::string both = text;
        twFree(text);
        size_t end = both.find('\n');
        return std::make_pair(both.substr(0, end), both.substr(end + 1));
      },
      "The host's CPU and feature string, as LLVM names them.");
  m.def("toolchain_build", &twToolchainBuild, "Version of LLVM and a hash of our own sources.");
  m.def("register_passes", &twRegisterPasses, "Register all passes under their command line names.");
}
