//===- EmitObject.cpp - From the llvm dialect to bytes --------------------===//
//
// In:  a module at stage llvm. Out: a position-independent object (or its
// assembly) for one CPU. The only place that knows LLVM's optimiser and code
// generator.
//===----------------------------------------------------------------------===//
#include "Capi/EmitObject.h"

#include "mlir/CAPI/IR.h"
#include "mlir/CAPI/Support.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Target/LLVMIR/Export.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/Transforms/IPO/GlobalDCE.h"
#include "llvm/Transforms/InstCombine/InstCombine.h"
#include "llvm/Transforms/Scalar/ADCE.h"
#include "llvm/Transforms/Scalar/BDCE.h"
#include "llvm/Transforms/Scalar/DivRemPairs.h"
#include "llvm/Transforms/Scalar/EarlyCSE.h"
#include "llvm/Transforms/Scalar/GVN.h"
#include "llvm/Transforms/Scalar/IndVarSimplify.h"
#include "llvm/Transforms/Scalar/InstSimplifyPass.h"
#include "llvm/Transforms/Scalar/LICM.h"
#include "llvm/Transforms/Scalar/LoopDeletion.h"
#include "llvm/Transforms/Scalar/LoopIdiomRecognize.h"
#include "llvm/Transforms/Scalar/LoopPassManager.h"
#include "llvm/Transforms/Scalar/LoopRotation.h"
#include "llvm/Transforms/Scalar/LoopUnrollPass.h"
#include "llvm/Transforms/Scalar/SROA.h"
#include "llvm/Transforms/Scalar/SimplifyCFG.h"
#include "llvm/Transforms/Vectorize/LoopVectorize.h"

#include <cstdlib>
#include <cstring>

using namespace mlir;

namespace {

char *copyOut(llvm::StringRef bytes) {
  char *memory = static_cast<char *>(std::malloc(bytes.size() + 1));
  std::memcpy(memory, bytes.data(), bytes.size());
  memory[bytes.size()] = '\0';
  return memory;
}

std::unique_ptr<llvm::TargetMachine> makeTargetMachine(llvm::StringRef cpu, llvm::StringRef features, int optLevel,
                                                       std::string &message) {
  static const bool once = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    return true;
  }();
  (void)once;
  llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return nullptr;
  static const llvm::CodeGenOptLevel levels[] = {llvm::CodeGenOptLevel::None, llvm::CodeGenOptLevel::Less,
                                                 llvm::CodeGenOptLevel::Default, llvm::CodeGenOptLevel::Aggressive};
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, cpu, features, llvm::TargetOptions(), llvm::Reloc::PIC_, llvm::CodeModel::Small, levels[optLevel]));
}

/// The library functions that the optimiser may call for others (pow(10, x) would become exp10(x)): those that the loader
/// provides.
llvm::TargetLibraryInfoImpl hostLibrary(const llvm::Triple &triple) {
  llvm::TargetLibraryInfoImpl library(triple);
  llvm::StringSet<> provided;
#define TW_SYMBOL(name) provided.insert(#name);
#include "Runtime/Symbols.def"
  for (unsigned i = 0; i < llvm::NumLibFuncs; ++i) {
    auto function = static_cast<llvm::LibFunc>(i);
    if (!provided.contains(llvm::TargetLibraryInfo(library).getName(function)))
      library.setUnavailable(function);
  }
  return library;
}

/// Above this many instructions a host function is glue between kernels: a model's calls, one after the other.
constexpr unsigned kGlueInstructions = 512;

bool isGlue(const llvm::Function &function) {
  return function.hasFnAttribute("tilewright-host") && function.getInstructionCount() > kGlueInstructions;
}

/// What glue needs: descriptors that were taken apart vanish. Anything that looks for redundant memory accesses between
/// hundreds of calls costs seconds and saves nanoseconds.
llvm::FunctionPassManager gluePasses() {
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::InstSimplifyPass());
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::ADCEPass());
  return passes;
}

/// What kernels need. They are tiled, unrolled, vectorised and fused already, and no function is inlined: what is left to
/// do is address arithmetic, invariant code, and the loops of computations that select marked `loops`.
llvm::FunctionPassManager kernelPasses(int optLevel) {
  using namespace llvm;
  auto combine = [] { return InstCombinePass(InstCombineOptions().setMaxIterations(1)); };
  FunctionPassManager passes;
  passes.addPass(SROAPass(SROAOptions::ModifyCFG));
  passes.addPass(EarlyCSEPass(/*UseMemorySSA=*/true));
  passes.addPass(SimplifyCFGPass());
  passes.addPass(combine());
  LoopPassManager invariant;
  invariant.addPass(LICMPass(LICMOptions()));
  invariant.addPass(LoopRotatePass());
  invariant.addPass(LICMPass(LICMOptions()));
  passes.addPass(createFunctionToLoopPassAdaptor(std::move(invariant), /*UseMemorySSA=*/true));
  passes.addPass(SimplifyCFGPass());
  passes.addPass(combine());
  LoopPassManager counting;
  counting.addPass(LoopIdiomRecognizePass());
  counting.addPass(IndVarSimplifyPass());
  counting.addPass(LoopDeletionPass());
  if (optLevel > 1)
    counting.addPass(LoopFullUnrollPass(optLevel));
  passes.addPass(createFunctionToLoopPassAdaptor(std::move(counting)));
  passes.addPass(SROAPass(SROAOptions::ModifyCFG));
  passes.addPass(GVNPass());
  passes.addPass(BDCEPass());
  if (optLevel > 1) {
    passes.addPass(LoopVectorizePass());
    passes.addPass(combine());
    passes.addPass(LoopUnrollPass(LoopUnrollOptions(optLevel)));
  }
  passes.addPass(combine());
  passes.addPass(createFunctionToLoopPassAdaptor(LICMPass(LICMOptions()), /*UseMemorySSA=*/true));
  passes.addPass(InstSimplifyPass());
  passes.addPass(DivRemPairsPass());
  passes.addPass(ADCEPass());
  passes.addPass(SimplifyCFGPass());
  return passes;
}

void optimise(llvm::Module &module, llvm::TargetMachine &machine, int optLevel) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  functions.registerPass([&] { return llvm::TargetLibraryAnalysis(hostLibrary(machine.getTargetTriple())); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  if (optLevel == 0) {
    builder.buildO0DefaultPipeline(llvm::OptimizationLevel::O0).run(module, modules);
    return;
  }
  llvm::GlobalDCEPass().run(module, modules);
  llvm::FunctionPassManager kernel = kernelPasses(optLevel), glue = gluePasses();
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    if (!isGlue(function)) {
      kernel.run(function, functions);
      continue;
    }
    glue.run(function, functions);
    // The code generator, too, takes its short way.
    function.addFnAttr(llvm::Attribute::OptimizeNone);
    function.addFnAttr(llvm::Attribute::NoInline);
  }
}

} // namespace

char *twEmit(MlirModule module, MlirStringRef cpu, MlirStringRef features, int optLevel, TwEmitKind kind, size_t *size,
             char **error) {
  *error = nullptr;
  *size = 0;
  optLevel = std::max(0, std::min(optLevel, 3));
  std::string message;
  auto machine = makeTargetMachine(unwrap(cpu), unwrap(features), optLevel, message);
  if (!machine) {
    *error = copyOut("no code generator for this machine: " + message);
    return nullptr;
  }
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> translated = translateModuleToLLVMIR(unwrap(module).getOperation(), context);
  if (!translated) {
    *error = copyOut("the module is not at stage llvm: it cannot be translated to LLVM IR");
    return nullptr;
  }
  translated->setDataLayout(machine->createDataLayout());
  translated->setTargetTriple(machine->getTargetTriple());
  translated->setPICLevel(llvm::PICLevel::BigPIC);
  for (llvm::Function &function : *translated) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", unwrap(cpu));
    function.addFnAttr("target-features", unwrap(features));
    // LLVM prefers 256-bit vectors on many CPUs with AVX-512; our loops are
    // written for the width that select chose.
    if (unwrap(features).contains("+avx512f"))
      function.addFnAttr("prefer-vector-width", "512");
  }
  optimise(*translated, *machine, optLevel);

  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  if (kind == TwEmitLLVMIR) {
    translated->print(stream, nullptr);
  } else {
    llvm::legacy::PassManager codegen;
    codegen.add(llvm::createTargetTransformInfoWrapperPass(machine->getTargetIRAnalysis()));
    auto file = kind == TwEmitObject ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile;
    if (machine->addPassesToEmitFile(codegen, stream, nullptr, file)) {
      *error = copyOut("the code generator cannot emit this kind of file");
      return nullptr;
    }
    codegen.run(*translated);
  }
  *size = bytes.size();
  return copyOut(llvm::StringRef(bytes.data(), bytes.size()));
}

void twFree(char *bytes) { std::free(bytes); }

char *twHostCpu(void) {
  std::string features;
  llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
  llvm::SmallVector<llvm::StringRef> names;
  for (auto &entry : host)
    if (entry.second)
      names.push_back(entry.first());
  llvm::sort(names);
  for (llvm::StringRef name : names)
    features += (features.empty() ? "+" : ",+") + name.str();
  return copyOut((llvm::sys::getHostCPUName() + "\n" + features).str());
}

const char *twToolchainBuild(void) {
  return "mlir-" LLVM_VERSION_STRING "+"
#include "BuildId.inc"
      ;
}
