//===- EmitDevice.cpp - From device code to PTX -----------------------------===//
//
// In:  a module at stage llvm whose device code is a gpu.module of its own.
// Out: PTX. No tool of NVIDIA's is run: LLVM generates it, and the functions of libdevice that it calls come from the
// bitcode that MLIR embeds.
//===----------------------------------------------------------------------===//
#include "Capi/EmitDevice.h"

#include "mlir/CAPI/IR.h"
#include "mlir/CAPI/Support.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Target/LLVMIR/Export.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/IPO/Internalize.h"

#include <cstdlib>
#include <cstring>

extern "C" const unsigned char _mlir_embedded_libdevice[];
extern "C" const size_t _mlir_embedded_libdevice_size;

using namespace mlir;

namespace {

char *copyOut(llvm::StringRef bytes) {
  char *memory = static_cast<char *>(std::malloc(bytes.size() + 1));
  std::memcpy(memory, bytes.data(), bytes.size());
  memory[bytes.size()] = '\0';
  return memory;
}

std::unique_ptr<llvm::TargetMachine> makeTargetMachine(llvm::StringRef chip, llvm::StringRef features, int optLevel,
                                                       std::string &message) {
  static const bool once = [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    return true;
  }();
  (void)once;
  llvm::Triple triple("nvptx64-nvidia-cuda");
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return nullptr;
  static const llvm::CodeGenOptLevel levels[] = {llvm::CodeGenOptLevel::None, llvm::CodeGenOptLevel::Less,
                                                 llvm::CodeGenOptLevel::Default, llvm::CodeGenOptLevel::Aggressive};
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, chip, features, llvm::TargetOptions(), std::nullopt, std::nullopt, levels[optLevel]));
}

bool callsLibrary(const llvm::Module &module) {
  return llvm::any_of(module.functions(), [](const llvm::Function &function) {
    return function.isDeclaration() && function.getName().starts_with("__nv_");
  });
}

/// Adds the functions of libdevice that are called; whatever is no kernel is then inlined or dropped.
bool linkLibrary(llvm::Module &module, std::string &message) {
  llvm::StringRef bitcode(reinterpret_cast<const char *>(_mlir_embedded_libdevice), _mlir_embedded_libdevice_size);
  auto library = llvm::getLazyBitcodeModule(llvm::MemoryBufferRef(bitcode, "libdevice"), module.getContext());
  if (!library) {
    message = llvm::toString(library.takeError());
    return false;
  }
  (*library)->setDataLayout(module.getDataLayout());
  (*library)->setTargetTriple(module.getTargetTriple());
  if (llvm::Linker::linkModules(module, std::move(*library), llvm::Linker::Flags::LinkOnlyNeeded)) {
    message = "libdevice could not be linked";
    return false;
  }
  llvm::internalizeModule(module, [](const llvm::GlobalValue &value) {
    auto *function = llvm::dyn_cast<llvm::Function>(&value);
    return function && function->getCallingConv() == llvm::CallingConv::PTX_Kernel;
  });
  return true;
}

void optimise(llvm::Module &module, llvm::TargetMachine &machine, int optLevel) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  static const llvm::OptimizationLevel levels[] = {llvm::OptimizationLevel::O0, llvm::OptimizationLevel::O1,
                                                   llvm::OptimizationLevel::O2, llvm::OptimizationLevel::O3};
  builder.buildPerModuleDefaultPipeline(levels[optLevel]).run(module, modules);
}

} // namespace

char *twEmitPtx(MlirModule module, MlirStringRef chip, MlirStringRef features, int optLevel, size_t *size,
                char **error) {
  *error = nullptr;
  *size = 0;
  optLevel = std::max(0, std::min(optLevel, 3));
  auto devices = unwrap(module).getOps<gpu::GPUModuleOp>();
  if (devices.empty()) {
    *error = copyOut("the module has no device code: it is not at stage llvm of target cuda");
    return nullptr;
  }
  std::string message;
  auto machine = makeTargetMachine(unwrap(chip), unwrap(features), optLevel, message);
  if (!machine) {
    *error = copyOut("no code generator for NVIDIA GPUs: " + message);
    return nullptr;
  }
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> translated = translateModuleToLLVMIR(*devices.begin(), context);
  if (!translated) {
    *error = copyOut("the device module cannot be translated to LLVM IR");
    return nullptr;
  }
  translated->setDataLayout(machine->createDataLayout());
  translated->setTargetTriple(machine->getTargetTriple());
  if (callsLibrary(*translated) && !linkLibrary(*translated, message)) {
    *error = copyOut(message);
    return nullptr;
  }
  optimise(*translated, *machine, optLevel);
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager codegen;
  codegen.add(llvm::createTargetTransformInfoWrapperPass(machine->getTargetIRAnalysis()));
  if (machine->addPassesToEmitFile(codegen, stream, nullptr, llvm::CodeGenFileType::AssemblyFile)) {
    *error = copyOut("the code generator cannot emit PTX");
    return nullptr;
  }
  codegen.run(*translated);
  *size = bytes.size();
  return copyOut(llvm::StringRef(bytes.data(), bytes.size()));
}

void twEmbedDevice(MlirModule module, MlirStringRef text) {
  ModuleOp host = unwrap(module);
  for (auto device : llvm::make_early_inc_range(host.getOps<gpu::GPUModuleOp>()))
    device.erase();
  OpBuilder builder = OpBuilder::atBlockBegin(host.getBody());
  std::string code = unwrap(text).str();
  code.push_back('\0');
  auto type = LLVM::LLVMArrayType::get(builder.getI8Type(), code.size());
  // As a constant it would be in each of the parts that a large module is emitted in.
  LLVM::GlobalOp::create(builder, host.getLoc(), type, /*isConstant=*/false, LLVM::Linkage::External, "tw_device_code",
                         builder.getStringAttr(code));
}
