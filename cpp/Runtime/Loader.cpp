//===- Loader.cpp - Object bytes to callable functions --------------------===//

#include "Loader.h"

#include "PerfMap.h"
#include "Symbols.h"

#include "llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/Core.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"
#include "llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <atomic>
#include <mutex>

using namespace llvm;
using namespace llvm::orc;

namespace {

/// Tells `perf` where functions ended up, once their addresses are final.
class PerfMapPlugin : public ObjectLinkingLayer::Plugin {
public:
  void modifyPassConfig(MaterializationResponsibility &, jitlink::LinkGraph &,
                        jitlink::PassConfiguration &config) override {
    if (!tilewright::perfMapEnabled())
      return;
    config.PrePrunePasses.push_back(keepFunctions);
    config.PostFixupPasses.push_back(report);
  }
  Error notifyFailed(MaterializationResponsibility &) override { return Error::success(); }
  Error notifyRemovingResources(JITDylib &, ResourceKey) override { return Error::success(); }
  void notifyTransferringResources(JITDylib &, ResourceKey, ResourceKey) override {}

private:
  /// Kernels are local: nothing refers to them by name, and the linker would
  /// forget it.
  static Error keepFunctions(jitlink::LinkGraph &graph) {
    for (jitlink::Symbol *symbol : graph.defined_symbols())
      if (symbol->isCallable())
        symbol->setLive(true);
    return Error::success();
  }

  static Error report(jitlink::LinkGraph &graph) {
    std::string lines;
    for (jitlink::Symbol *symbol : graph.defined_symbols())
      if (symbol->isCallable() && symbol->hasName() && symbol->getSize() > 0)
        lines += formatv("{0:x-} {1:x-} {2}:{3}\n", symbol->getAddress().getValue(), symbol->getSize(), graph.getName(),
                         *symbol->getName());
    tilewright::appendToPerfMap(lines);
    return Error::success();
  }
};

/// The linker of the process. Never destroyed: code may still run in other
/// threads while the interpreter exits.
struct Session {
  std::unique_ptr<ExecutionSession> session;
  std::unique_ptr<ObjectLinkingLayer> layer;
  JITDylib *runtime = nullptr;
  std::atomic<uint64_t> nextLibrary{0};
  /// What ORC reports besides the errors that it returns; it prints to stderr
  /// by default.
  std::mutex reportsMutex;
  std::string reports;
};

Expected<std::unique_ptr<Session>> createSession() {
  auto control = SelfExecutorProcessControl::Create(nullptr, std::make_unique<InPlaceTaskDispatcher>());
  if (!control)
    return control.takeError();
  auto result = std::make_unique<Session>();
  Session *raw = result.get();
  result->session = std::make_unique<ExecutionSession>(std::move(*control));
  result->session->setErrorReporter([raw](Error error) {
    std::lock_guard<std::mutex> lock(raw->reportsMutex);
    raw->reports += toString(std::move(error)) + "; ";
  });
  result->layer = std::make_unique<ObjectLinkingLayer>(*result->session);
  result->layer->addPlugin(std::make_shared<PerfMapPlugin>());

  result->runtime = &result->session->createBareJITDylib("tilewright.runtime");
  SymbolMap symbols;
  size_t count;
  const tilewright::RuntimeSymbol *table = tilewright::runtimeSymbols(count);
  for (size_t i = 0; i < count; ++i)
    symbols[result->session->intern(table[i].name)] = {ExecutorAddr::fromPtr(table[i].address),
                                                       JITSymbolFlags::Exported | JITSymbolFlags::Callable};
  if (Error error = result->runtime->define(absoluteSymbols(std::move(symbols))))
    return error;
  return result;
}

/// The session, or null and `error`.
Session *theSession(std::string &error) {
  static std::mutex mutex;
  static Session *session = nullptr;
  std::lock_guard<std::mutex> lock(mutex);
  if (session)
    return session;
  auto created = createSession();
  if (!created) {
    error = "cannot start the loader: " + toString(created.takeError());
    return nullptr;
  }
  return session = created->release();
}

/// Checks what can be checked before linking, for the sake of clear messages.
bool checkObject(MemoryBufferRef buffer, std::string &error) {
  auto file = object::ObjectFile::createObjectFile(buffer);
  if (!file) {
    error = "not an object file: " + toString(file.takeError());
    return false;
  }
  Triple host(sys::getProcessTriple());
  if (!(*file)->isELF() || (*file)->getArch() != host.getArch() || !(*file)->isRelocatableObject()) {
    error = "not a relocatable object for this machine (" + host.getArchName().str() + ")";
    return false;
  }
  std::string unknown;
  for (const object::SymbolRef &symbol : (*file)->symbols()) {
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    if (!flags || !name) {
      if (!flags)
        consumeError(flags.takeError());
      if (!name)
        consumeError(name.takeError());
      error = "damaged symbol table";
      return false;
    }
    if (!(*flags & object::SymbolRef::SF_Undefined) || name->empty() || *name == "_GLOBAL_OFFSET_TABLE_" ||
        tilewright::isRuntimeSymbol(name->data(), name->size()))
      continue;
    unknown += (unknown.empty() ? "" : ", ") + name->str();
  }
  if (unknown.empty())
    return true;
  error = "undefined symbols that the runtime does not offer: " + unknown;
  return false;
}

} // namespace

namespace tilewright {

std::unique_ptr<LoadedObject> LoadedObject::load(std::string_view object, const std::string &name,
                                                 const std::vector<std::string> &entries, std::string &error) {
  Session *session = theSession(error);
  if (!session)
    return nullptr;
  MemoryBufferRef bytes(StringRef(object.data(), object.size()), name);
  if (!checkObject(bytes, error))
    return nullptr;

  // JITLink reads the bytes while it links and keeps none of them, so they are
  // only borrowed.
  auto buffer = MemoryBuffer::getMemBuffer(bytes, /*RequiresNullTerminator=*/false);
  JITDylib &library =
      session->session->createBareJITDylib("tilewright.object." + std::to_string(session->nextLibrary++));
  library.addToLinkOrder(*session->runtime);
  std::unique_ptr<LoadedObject> result(new LoadedObject);
  result->library = &library;
  if (Error failure = session->layer->add(library, std::move(buffer))) {
    error = toString(std::move(failure));
    return nullptr;
  }
  SymbolLookupSet wanted;
  for (const std::string &entry : entries)
    wanted.add(session->session->intern(entry));
  auto found = session->session->lookup(makeJITDylibSearchOrder(&library, JITDylibLookupFlags::MatchAllSymbols),
                                        std::move(wanted));
  if (!found) {
    error = toString(found.takeError());
    std::lock_guard<std::mutex> lock(session->reportsMutex);
    if (!session->reports.empty())
      error += " (" + session->reports + ")";
    session->reports.clear();
    return nullptr;
  }
  for (const std::string &entry : entries)
    result->addresses.push_back((*found)[session->session->intern(entry)].getAddress().toPtr<void *>());
  return result;
}

LoadedObject::~LoadedObject() {
  if (!library)
    return;
  std::string ignored;
  if (Session *session = theSession(ignored))
    if (Error error = session->session->removeJITDylib(*static_cast<JITDylib *>(library)))
      consumeError(std::move(error));
}

} // namespace tilewright
