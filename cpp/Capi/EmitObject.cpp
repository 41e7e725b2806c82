//===- EmitObject.cpp - From the llvm dialect to bytes --------------------===//
//
// In:  a module at stage llvm. Out: a position-independent object (or its
// assembly) for one CPU. The only place that knows LLVM's optimiser and code
// generator.
//===----------------------------------------------------------------------===//
#include "Capi/EmitObject.h"
#include "Capi/JoinObjects.h"

#include "mlir/CAPI/IR.h"
#include "mlir/CAPI/Support.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Target/LLVMIR/Export.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/Threading.h"
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
#include "llvm/Transforms/Scalar/LoopStrengthReduce.h"
#include "llvm/Transforms/Scalar/LoopUnrollPass.h"
#include "llvm/Transforms/Scalar/SROA.h"
#include "llvm/Transforms/Scalar/SimplifyCFG.h"
#include "llvm/Transforms/Vectorize/LoopVectorize.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

using namespace mlir;

namespace {

char *copyOut(llvm::StringRef bytes) {
  char *memory = static_cast<char *>(std::malloc(bytes.size() + 1));
  std::memcpy(memory, bytes.data(), bytes.size());
  memory[bytes.size()] = '\0';
  return memory;
}

/// Seconds since it was made or asked.
class Stopwatch {
public:
  double lap() {
    auto now = std::chrono::steady_clock::now();
    double seconds = std::chrono::duration<double>(now - last).count();
    last = now;
    return seconds;
  }

private:
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

/// What is asked of LLVM.
struct Settings {
  llvm::StringRef cpu, features;
  int optLevel;
  TwEmitKind kind;
};

std::unique_ptr<llvm::TargetMachine> makeTargetMachine(const Settings &settings, std::string &message) {
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
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(triple, settings.cpu, settings.features, llvm::TargetOptions(), llvm::Reloc::PIC_,
                                  llvm::CodeModel::Small, levels[settings.optLevel]));
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

/// Gives addresses in innermost loops counters of their own. Around them the search for the best set of counters takes a
/// quarter of the code generator's time, and what it finds is executed too rarely to matter.
struct ReduceInnermostLoops : llvm::PassInfoMixin<ReduceInnermostLoops> {
  llvm::PreservedAnalyses run(llvm::Loop &loop, llvm::LoopAnalysisManager &loops,
                              llvm::LoopStandardAnalysisResults &results, llvm::LPMUpdater &updater) {
    if (!loop.isInnermost())
      return llvm::PreservedAnalyses::all();
    return llvm::LoopStrengthReducePass().run(loop, loops, results, updater);
  }
};

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
  // What pays to unroll is unrolled: the rest are tails, and the few loops that LLVM vectorises and interleaves itself.
  if (optLevel > 1)
    passes.addPass(LoopVectorizePass());
  passes.addPass(combine());
  passes.addPass(createFunctionToLoopPassAdaptor(LICMPass(LICMOptions()), /*UseMemorySSA=*/true));
  passes.addPass(InstSimplifyPass());
  passes.addPass(DivRemPairsPass());
  passes.addPass(ADCEPass());
  passes.addPass(SimplifyCFGPass());
  passes.addPass(createFunctionToLoopPassAdaptor(ReduceInnermostLoops()));
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

void prepare(llvm::Module &module, llvm::TargetMachine &machine, const Settings &settings) {
  module.setDataLayout(machine.createDataLayout());
  module.setTargetTriple(machine.getTargetTriple());
  module.setPICLevel(llvm::PICLevel::BigPIC);
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", settings.cpu);
    function.addFnAttr("target-features", settings.features);
    // LLVM prefers 256-bit vectors on many CPUs with AVX-512; our loops are
    // written for the width that select chose.
    if (settings.features.contains("+avx512f"))
      function.addFnAttr("prefer-vector-width", "512");
  }
}

/// The code generator's passes, less strength reduction of all loops: it was done where it matters.
class CodegenPasses : public llvm::legacy::PassManagerBase {
public:
  void add(llvm::Pass *pass) override {
    if (llvm::is_contained(kNeedless, pass->getPassName()))
      delete pass;
    else
      passes.add(pass);
  }
  void run(llvm::Module &module) { passes.run(module); }

private:
  static constexpr llvm::StringLiteral kNeedless[] = {"Canonicalize Freeze Instructions in Loops",
                                                      "Loop Strength Reduction"};
  llvm::legacy::PassManager passes;
};

/// The bytes of the file, or none.
llvm::SmallVector<char, 0> generate(llvm::Module &module, llvm::TargetMachine &machine, TwEmitKind kind,
                                    std::string &message) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  if (kind == TwEmitLLVMIR) {
    module.print(stream, nullptr);
    return bytes;
  }
  CodegenPasses codegen;
  codegen.add(llvm::createTargetTransformInfoWrapperPass(machine.getTargetIRAnalysis()));
  auto file = kind == TwEmitObject ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile;
  if (machine.addPassesToEmitFile(codegen, stream, nullptr, file)) {
    message = "the code generator cannot emit this kind of file";
    return {};
  }
  codegen.run(module);
  return bytes;
}

/// Below this many instructions a part is not worth a context of its own.
constexpr unsigned kPartInstructions = 1000;
constexpr unsigned kMaxParts = 8;

/// The part of each defined function, in order, so that all parts cost about the same; none if one part is enough. What
/// belongs where depends on the module alone: the same bytes come out on any number of threads.
llvm::SmallVector<unsigned> partition(llvm::Module &module, int optLevel) {
  llvm::SmallVector<std::pair<unsigned, unsigned>> costs; // instructions, number of the function
  unsigned total = 0;
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    unsigned count = function.getInstructionCount();
    costs.push_back({count, costs.size()});
    total += count;
  }
  bool shares = llvm::any_of(module.globals(), [](const llvm::GlobalVariable &global) {
    return !global.isConstant() && !global.isDeclaration(); // has one place, while constants may have several
  });
  unsigned wanted = std::min(kMaxParts, total / kPartInstructions);
  if (wanted < 2 || shares || optLevel == 0)
    return {};
  llvm::sort(costs, [](auto a, auto b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  llvm::SmallVector<unsigned> parts(costs.size()), sums(wanted, 0);
  for (auto [count, function] : costs) {
    unsigned least = std::min_element(sums.begin(), sums.end()) - sums.begin();
    parts[function] = least;
    sums[least] += count;
  }
  return parts;
}

/// Writes the module so that any part of it can be read alone: functions know each other by hidden names.
llvm::SmallVector<char, 0> share(llvm::Module &module) {
  for (llvm::Function &function : module) {
    if (!function.hasLocalLinkage())
      continue;
    function.setLinkage(llvm::GlobalValue::ExternalLinkage);
    function.setVisibility(llvm::GlobalValue::HiddenVisibility);
    function.setDSOLocal(true);
  }
  llvm::SmallVector<char, 0> bitcode;
  llvm::raw_svector_ostream stream(bitcode);
  llvm::WriteBitcodeToFile(module, stream);
  return bitcode;
}

struct Part {
  llvm::SmallVector<char, 0> object;
  std::string message;
  TwEmitTimes seconds{};
};

void emitPart(llvm::StringRef bitcode, llvm::ArrayRef<unsigned> parts, unsigned number, const Settings &settings,
              Part &part) {
  Stopwatch watch;
  llvm::LLVMContext context;
  auto module = llvm::getLazyBitcodeModule(llvm::MemoryBufferRef(bitcode, "module"), context);
  if (!module) {
    part.message = llvm::toString(module.takeError());
    return;
  }
  unsigned position = 0;
  for (llvm::Function &function : **module) {
    if (function.isDeclaration() && !function.isMaterializable())
      continue;
    if (parts[position++] != number) {
      function.deleteBody();
      function.clearMetadata();
    }
  }
  if (llvm::Error failure = (*module)->materializeAll()) {
    part.message = llvm::toString(std::move(failure));
    return;
  }
  auto machine = makeTargetMachine(settings, part.message);
  part.seconds.translate = watch.lap();
  optimise(**module, *machine, settings.optLevel);
  part.seconds.optimise = watch.lap();
  part.object = generate(**module, *machine, settings.kind, part.message);
  part.seconds.codegen = watch.lap();
}

/// Emits the parts on as many threads as this process may use, and joins them. The times are those that passed, in the
/// proportion of what all threads spent on each step.
llvm::SmallVector<char, 0> emitParts(llvm::ArrayRef<char> bitcode, llvm::ArrayRef<unsigned> parts,
                                     const Settings &settings, TwEmitTimes &spent, std::string &message) {
  Stopwatch watch;
  std::vector<Part> results(*std::max_element(parts.begin(), parts.end()) + 1);
  std::atomic<unsigned> next{0};
  auto work = [&] {
    for (unsigned number; (number = next++) < results.size();)
      emitPart(llvm::StringRef(bitcode.data(), bitcode.size()), parts, number, settings, results[number]);
  };
  unsigned threads = std::min<unsigned>(results.size(), llvm::hardware_concurrency().compute_thread_count());
  std::vector<std::thread> others;
  try {
    for (unsigned i = 1; i < threads; ++i)
      others.emplace_back(work);
  } catch (const std::system_error &) {
    // No more threads are to be had: those there are do all parts.
  }
  work();
  for (std::thread &other : others)
    other.join();
  llvm::SmallVector<llvm::StringRef> objects;
  TwEmitTimes sum{};
  for (Part &part : results) {
    if (!part.message.empty()) {
      message = part.message;
      return {};
    }
    objects.push_back(llvm::StringRef(part.object.data(), part.object.size()));
    sum.translate += part.seconds.translate;
    sum.optimise += part.seconds.optimise;
    sum.codegen += part.seconds.codegen;
  }
  llvm::SmallVector<char, 0> joined = tilewright::joinObjects(objects, message);
  double passed = watch.lap() / (sum.translate + sum.optimise + sum.codegen);
  spent.translate += sum.translate * passed;
  spent.optimise = sum.optimise * passed;
  spent.codegen = sum.codegen * passed;
  return joined;
}

} // namespace

char *twEmit(MlirModule module, MlirStringRef cpu, MlirStringRef features, int optLevel, TwEmitKind kind, size_t *size,
             char **error, TwEmitTimes *times) {
  *error = nullptr;
  *size = 0;
  TwEmitTimes unasked;
  TwEmitTimes &spent = times ? *times : unasked;
  Settings settings{unwrap(cpu), unwrap(features), std::max(0, std::min(optLevel, 3)), kind};
  std::string message;
  auto machine = makeTargetMachine(settings, message);
  if (!machine) {
    *error = copyOut("no code generator for this machine: " + message);
    return nullptr;
  }
  Stopwatch watch;
  auto context = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> translated = translateModuleToLLVMIR(unwrap(module).getOperation(), *context,
                                                                     "LLVMDialectModule", /*disableVerification=*/true);
  if (!translated) {
    *error = copyOut("the module is not at stage llvm: it cannot be translated to LLVM IR");
    return nullptr;
  }
  prepare(*translated, *machine, settings);

  llvm::SmallVector<char, 0> bytes;
  llvm::SmallVector<unsigned> parts =
      kind == TwEmitObject ? partition(*translated, settings.optLevel) : llvm::SmallVector<unsigned>();
  if (parts.empty()) {
    spent.translate = watch.lap();
    optimise(*translated, *machine, settings.optLevel);
    spent.optimise = watch.lap();
    bytes = generate(*translated, *machine, kind, message);
    spent.codegen = watch.lap();
  } else {
    llvm::SmallVector<char, 0> bitcode = share(*translated);
    translated.reset();
    context.reset(); // the parts have contexts of their own: what they were made of need not wait for them
    spent.translate = watch.lap();
    bytes = emitParts(bitcode, parts, settings, spent, message);
  }
  if (bytes.empty()) {
    *error = copyOut(message.empty() ? "the code generator cannot emit this kind of file" : message);
    return nullptr;
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
