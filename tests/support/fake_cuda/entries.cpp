//===- entries.cpp - The entry points of the fake driver ------------------===//

#include "fake.h"

#include <algorithm>
#include <cstring>

using namespace fake;

#define ENTRY extern "C" __attribute__((visibility("default")))
#define BEGIN(name, needsContext)                                                                                      \
  Driver &d = driver();                                                                                                \
  std::lock_guard<std::recursive_mutex> lock(d.mutex);                                                                 \
  if (Result failed = d.enter(#name, needsContext))                                                                    \
    return failed;

namespace {

constexpr size_t guard = 512, alignment = 256;

/// Handles of nodes: never followed, never the same.
uintptr_t lastNode = 0x1000;

/// Asks Python: whoever has its lock may want the driver's meanwhile.
template <typename Function> int asking(Driver &d, Function function) {
  d.mutex.unlock();
  int result = function();
  d.mutex.lock();
  return result;
}

template <typename T> T *known(std::vector<std::unique_ptr<T>> &all, void *handle) {
  for (auto &one : all)
    if (one.get() == handle)
      return one.get();
  return nullptr;
}

template <typename T> void forget(std::vector<std::unique_ptr<T>> &all, void *handle) {
  all.erase(std::remove_if(all.begin(), all.end(), [&](auto &one) { return one.get() == handle; }), all.end());
}

Result runLaunch(const Launch &launch) {
  Driver &d = driver();
  int failed = d.callbacks.launch(launch.function->module->number, launch.function->name.c_str(), launch.grid,
                                  launch.block, launch.shared, launch.cluster, launch.parameters.data());
  return failed ? launchFailed : success;
}

/// Checks a launch as the driver does, and takes its parameters.
Result prepare(Driver &d, Launch &launch, void **parameters) {
  if (!known(d.functions, launch.function) || !parameters)
    return invalidHandle;
  Function &function = *launch.function;
  uint64_t threads = uint64_t{launch.block[0]} * launch.block[1] * launch.block[2];
  if (threads < 1 || threads > 1024 || launch.grid[0] < 1 || launch.grid[0] > 0x7fffffff || launch.grid[1] != 1 ||
      launch.grid[2] != 1 || launch.grid[0] % launch.cluster[0])
    return invalidValue;
  if (launch.shared > static_cast<unsigned>(function.maxShared))
    return invalidValue;
  for (size_t i = 0; i < function.sizes.size(); ++i) {
    auto *from = static_cast<unsigned char *>(parameters[i]);
    if (!from)
      return invalidValue;
    launch.parameters.insert(launch.parameters.end(), from, from + function.sizes[i]);
  }
  return success;
}

Result launchOn(Driver &d, void *handle, Launch launch, void **parameters) {
  Stream *stream = d.stream(handle);
  if (!stream)
    return invalidHandle;
  if (Result result = prepare(d, launch, parameters))
    return result;
  d.note("launch " + launch.function->name + " " + std::to_string(launch.grid[0]) + " " +
         std::to_string(launch.block[0] * launch.block[1] * launch.block[2]) +
         (stream->recording ? " recorded" : " stream " + std::to_string(stream->number)));
  if (stream->recording) {
    launch.node = reinterpret_cast<void *>(++lastNode);
    stream->recording->nodes.push_back(std::move(launch));
    return success;
  }
  return d.enqueue(stream, [launch] { return runLaunch(launch); });
}

/// Waiting for, or copying on, a stream that records breaks the recording.
bool isRecording(Stream *stream) {
  if (stream->recording)
    stream->recording->valid = false;
  return stream->recording != nullptr;
}

} // namespace

// ---- the process and its devices ------------------------------------------------------------------------------------
ENTRY int cuInit(unsigned) {
  BEGIN(cuInit, false)
  d.initialised = true;
  return d.devices ? success : noDevice;
}

ENTRY int cuDriverGetVersion(int *version) {
  BEGIN(cuDriverGetVersion, false)
  *version = d.version;
  return success;
}

ENTRY int cuGetErrorName(int result, const char **name) {
  static const std::map<int, const char *> names{
      {invalidValue, "CUDA_ERROR_INVALID_VALUE"},   {outOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
      {noDevice, "CUDA_ERROR_NO_DEVICE"},           {invalidContext, "CUDA_ERROR_INVALID_CONTEXT"},
      {noBinary, "CUDA_ERROR_NO_BINARY_FOR_GPU"},   {invalidPtx, "CUDA_ERROR_INVALID_PTX"},
      {invalidHandle, "CUDA_ERROR_INVALID_HANDLE"}, {notFound, "CUDA_ERROR_NOT_FOUND"},
      {launchFailed, "CUDA_ERROR_LAUNCH_FAILED"},   {captureUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
  auto found = names.find(result);
  *name = found == names.end() ? "CUDA_ERROR_UNKNOWN" : found->second;
  return success;
}

ENTRY int cuGetErrorString(int, const char **text) {
  *text = "as the test wanted";
  return success;
}

ENTRY int cuDeviceGetCount(int *count) {
  BEGIN(cuDeviceGetCount, false)
  *count = d.devices;
  return success;
}

ENTRY int cuDeviceGet(int *device, int ordinal) {
  BEGIN(cuDeviceGet, false)
  *device = 100 + ordinal; // no ordinal, though with today's drivers it is one
  return ordinal < d.devices ? success : invalidValue;
}

ENTRY int cuDeviceGetName(char *name, int bytes, int device) {
  BEGIN(cuDeviceGetName, false)
  std::snprintf(name, static_cast<size_t>(bytes), "Fake GPU %d", device - 100);
  return success;
}

ENTRY int cuDeviceGetAttribute(int *value, int attribute, int device) {
  BEGIN(cuDeviceGetAttribute, false)
  if (device < 100)
    return invalidValue;
  *value = attribute == 75 ? d.major : attribute == 76 ? d.minor : attribute == 16 ? 3 : 1; // three multiprocessors
  return success;
}

ENTRY int cuDevicePrimaryCtxRetain(void **context, int device) {
  BEGIN(cuDevicePrimaryCtxRetain, false)
  for (auto &one : d.contexts)
    if (one->device == device - 100) {
      *context = one.get();
      return success;
    }
  d.contexts.push_back(std::make_unique<Context>(Context{device - 100}));
  *context = d.contexts.back().get();
  return success;
}

ENTRY int cuCtxGetCurrent(void **context) {
  BEGIN(cuCtxGetCurrent, false)
  *context = current;
  return success;
}

ENTRY int cuCtxSetCurrent(void *context) {
  BEGIN(cuCtxSetCurrent, false)
  if (context && !known(d.contexts, context))
    return invalidContext;
  current = static_cast<Context *>(context);
  return success;
}

ENTRY int cuCtxSynchronize() {
  BEGIN(cuCtxSynchronize, true)
  return d.completeAll();
}

// ---- code -------------------------------------------------------------------------------------------------------------
ENTRY int cuModuleLoadDataEx(void **module, const void *image, unsigned count, int *options, void **values) {
  BEGIN(cuModuleLoadDataEx, true)
  char *log = nullptr;
  size_t bytes = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == 5)
      log = static_cast<char *>(values[i]);
    if (options[i] == 6)
      bytes = reinterpret_cast<size_t>(values[i]);
  }
  std::string text = static_cast<const char *>(image);
  // Machine code of this driver is PTX behind a line that says for which device.
  std::string mark = "FAKECUBIN sm_" + std::to_string(d.major) + std::to_string(d.minor);
  if (text.rfind("\x7f"
                 "ELF",
                 0) == 0)
    return noBinary; // for a real GPU
  if (text.rfind("FAKECUBIN", 0) == 0) {
    if (text.rfind(mark, 0) != 0)
      return noBinary;
    text = text.substr(text.find('\n') + 1);
    d.note("load image");
  } else {
    d.note("load text");
    size_t at = text.find(".target sm_");
    int wanted = at == std::string::npos ? 0 : std::atoi(text.c_str() + at + 11);
    if (wanted > 10 * d.major + d.minor)
      return noBinary;
  }
  int number = asking(d, [&] { return d.callbacks.load(text.c_str(), log, bytes); });
  if (number < 0)
    return invalidPtx;
  d.modules.push_back(std::make_unique<Module>(Module{number}));
  *module = d.modules.back().get();
  return success;
}

ENTRY int cuModuleUnload(void *module) {
  BEGIN(cuModuleUnload, true)
  if (!known(d.modules, module))
    return invalidHandle;
  // Kernels that were started keep their code until they have run.
  d.completeAll();
  if (d.running)
    return success; // kept, for what is still to come
  d.functions.erase(std::remove_if(d.functions.begin(), d.functions.end(),
                                   [&](auto &function) { return function->module == module; }),
                    d.functions.end());
  forget(d.modules, module);
  return success;
}

ENTRY int cuModuleGetFunction(void **function, void *module, const char *name) {
  BEGIN(cuModuleGetFunction, true)
  Module *owner = known(d.modules, module);
  if (!owner)
    return invalidHandle;
  int sizes[1024];
  int module_ = owner->number;
  int count = asking(d, [&] { return d.callbacks.parameters(module_, name, sizes, 1024); });
  if (count < 0)
    return notFound;
  d.functions.push_back(std::make_unique<Function>(Function{owner, name, {sizes, sizes + count}}));
  *function = d.functions.back().get();
  return success;
}

ENTRY int cuFuncSetAttribute(void *function, int attribute, int value) {
  BEGIN(cuFuncSetAttribute, true)
  Function *owner = known(d.functions, function);
  if (!owner || attribute != 8 || value > 227 << 10)
    return owner ? invalidValue : invalidHandle;
  owner->maxShared = value;
  return success;
}

ENTRY int cuFuncGetParamInfo(void *function, size_t index, size_t *offset, size_t *size) {
  BEGIN(cuFuncGetParamInfo, true)
  Function *owner = known(d.functions, function);
  if (!owner || index >= owner->sizes.size())
    return owner ? invalidValue : invalidHandle;
  *offset = 0;
  for (size_t i = 0; i < index; ++i)
    *offset += static_cast<size_t>(owner->sizes[i]);
  *size = static_cast<size_t>(owner->sizes[index]);
  return success;
}

ENTRY int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                         unsigned shared, void *stream, void **parameters, void **) {
  BEGIN(cuLaunchKernel, true)
  return launchOn(d, stream,
                  Launch{static_cast<Function *>(function), {gx, gy, gz}, {bx, by, bz}, shared, {1, 1, 1}, {}, nullptr},
                  parameters);
}

struct LaunchConfig {
  unsigned grid[3], block[3], shared;
  void *stream;
  struct Attribute {
    int id, pad;
    unsigned values[16];
  } *attributes;
  unsigned count;
};

ENTRY int cuLaunchKernelEx(const LaunchConfig *config, void *function, void **parameters, void **) {
  BEGIN(cuLaunchKernelEx, true)
  Launch launch{static_cast<Function *>(function), {}, {}, config->shared, {1, 1, 1}, {}, nullptr};
  std::copy(config->grid, config->grid + 3, launch.grid);
  std::copy(config->block, config->block + 3, launch.block);
  for (unsigned i = 0; i < config->count; ++i) {
    const LaunchConfig::Attribute &attribute = config->attributes[i];
    if (attribute.id == 4)
      std::copy(attribute.values, attribute.values + 3, launch.cluster);
    else if (attribute.id != 6 || attribute.values[0] != 1)
      return invalidValue;
    d.note("attribute " + std::to_string(attribute.id));
  }
  return launchOn(d, config->stream, std::move(launch), parameters);
}

ENTRY int cuTensorMapEncodeTiled(unsigned char *map, int dtype, unsigned rank, void *address, const uint64_t *sizes,
                                 const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave,
                                 int swizzle, int, int fill) {
  BEGIN(cuTensorMapEncodeTiled, false)
  bool plain = interleave == 0 && fill == 0 && reinterpret_cast<uintptr_t>(map) % 64 == 0;
  for (unsigned i = 0; i < rank; ++i)
    plain &= steps[i] == 1;
  int failed = asking(d, [&] {
    return d.callbacks.encode(dtype, static_cast<int>(rank), reinterpret_cast<uint64_t>(address), sizes, strides, box,
                              swizzle ? 16 << swizzle : 0, map);
  });
  return plain && !failed ? success : invalidValue;
}

// ---- memory -------------------------------------------------------------------------------------------------------------
ENTRY int cuMemAllocAsync(uint64_t *pointer, size_t bytes, void *handle) {
  BEGIN(cuMemAllocAsync, true)
  Stream *stream = d.stream(handle);
  if (!stream || isRecording(stream) || bytes == 0)
    return stream ? bytes ? captureUnsupported : invalidValue : invalidHandle;
  size_t size = (bytes + alignment - 1) / alignment * alignment + guard;
  if (d.liveBytes + bytes > d.memoryLimit || d.used + size > space)
    return outOfMemory;
  *pointer = base + d.used + guard / 2;
  std::memset(d.contents() + (*pointer - base), 0xff, bytes); // NaN, so that what is never written shows
  d.used += size;
  d.liveBytes += bytes;
  d.allocations[*pointer] = {bytes, current->device};
  return success;
}

ENTRY int cuMemFreeAsync(uint64_t pointer, void *handle) {
  BEGIN(cuMemFreeAsync, true)
  Stream *stream = d.stream(handle);
  auto found = d.allocations.find(pointer);
  if (!stream || found == d.allocations.end() || !found->second.live || isRecording(stream))
    return invalidValue;
  d.liveBytes -= found->second.bytes;
  return d.enqueue(stream, [pointer] {
    driver().allocations[pointer].live = false;
    return success;
  });
}

ENTRY int cuMemGetInfo_v2(size_t *free, size_t *total) {
  BEGIN(cuMemGetInfo_v2, true)
  *total = d.memoryLimit;
  *free = d.memoryLimit - std::min(d.memoryLimit, d.liveBytes);
  return success;
}

ENTRY int cuDeviceGetDefaultMemPool(void **pool, int) {
  BEGIN(cuDeviceGetDefaultMemPool, false)
  *pool = &d;
  return success;
}

ENTRY int cuMemPoolSetAttribute(void *pool, int attribute, void *) {
  BEGIN(cuMemPoolSetAttribute, false)
  return pool == &d && attribute == 4 ? success : invalidValue;
}

ENTRY int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *handle) {
  BEGIN(cuMemcpyHtoDAsync_v2, true)
  Stream *stream = d.stream(handle);
  if (!stream || isRecording(stream) || !d.at(to, bytes))
    return stream ? invalidValue : invalidHandle;
  // Pageable memory is staged before the call returns.
  auto *source = static_cast<const unsigned char *>(from);
  return d.enqueue(stream, [to, staged = std::vector<unsigned char>(source, source + bytes)] {
    unsigned char *at = driver().at(to, staged.size());
    if (at)
      std::copy(staged.begin(), staged.end(), at);
    return at ? success : launchFailed;
  });
}

ENTRY int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *handle) {
  BEGIN(cuMemcpyDtoHAsync_v2, true)
  Stream *stream = d.stream(handle);
  if (!stream || isRecording(stream))
    return stream ? captureUnsupported : invalidHandle;
  if (!d.at(from, bytes))
    return invalidValue;
  return d.enqueue(stream, [to, from, bytes] {
    unsigned char *at = driver().at(from, bytes);
    if (at)
      std::memcpy(to, at, bytes);
    return at ? success : launchFailed;
  });
}

ENTRY int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *handle) {
  BEGIN(cuMemcpyDtoDAsync_v2, true)
  Stream *stream = d.stream(handle);
  if (!stream || isRecording(stream) || !d.at(to, bytes) || !d.at(from, bytes))
    return stream ? invalidValue : invalidHandle;
  return d.enqueue(stream, [to, from, bytes] {
    unsigned char *target = driver().at(to, bytes), *source = driver().at(from, bytes);
    if (target && source)
      std::memmove(target, source, bytes);
    return target && source ? success : launchFailed;
  });
}

ENTRY int cuPointerGetAttribute(void *value, int attribute, uint64_t pointer) {
  BEGIN(cuPointerGetAttribute, false)
  if (attribute != 9 || !d.at(pointer, 1))
    return invalidValue;
  *static_cast<int *>(value) = std::prev(d.allocations.upper_bound(pointer))->second.device;
  return success;
}

// ---- streams, events, graphs --------------------------------------------------------------------------------------------
ENTRY int cuStreamCreate(void **handle, unsigned flags) {
  BEGIN(cuStreamCreate, true)
  d.streams.push_back(std::make_unique<Stream>());
  d.streams.back()->blocking = !(flags & 1);
  d.streams.back()->number = static_cast<int>(d.streams.size()) - 1;
  *handle = d.streams.back().get();
  return success;
}

ENTRY int cuStreamSynchronize(void *handle) {
  BEGIN(cuStreamSynchronize, true)
  Stream *stream = d.stream(handle);
  if (!stream || isRecording(stream))
    return stream ? captureUnsupported : invalidHandle;
  if (stream == d.streams[0].get()) { // the default stream waits for all that are not apart
    d.enqueue(stream, nullptr);
  }
  return d.complete(stream->last);
}

ENTRY int cuStreamIsCapturing(void *handle, int *status) {
  BEGIN(cuStreamIsCapturing, true)
  Stream *stream = d.stream(handle);
  if (!stream)
    return invalidHandle;
  *status = stream->recording ? 1 : 0;
  return success;
}

ENTRY int cuStreamWaitEvent(void *handle, void *event, unsigned) {
  BEGIN(cuStreamWaitEvent, true)
  Stream *stream = d.stream(handle);
  Event *known_ = known(d.events, event);
  if (!stream || !known_)
    return invalidHandle;
  if (isRecording(stream)) // for work outside of the recording
    return captureIsolation;
  return d.enqueue(stream, nullptr, known_->op ? std::vector<OpPtr>{known_->op} : std::vector<OpPtr>{});
}

ENTRY int cuEventCreate(void **event, unsigned) {
  BEGIN(cuEventCreate, true)
  d.events.push_back(std::make_unique<Event>());
  *event = d.events.back().get();
  return success;
}

ENTRY int cuEventRecord(void *event, void *handle) {
  BEGIN(cuEventRecord, true)
  Stream *stream = d.stream(handle);
  Event *known_ = known(d.events, event);
  if (!stream || !known_)
    return invalidHandle;
  d.enqueue(stream, nullptr);
  known_->op = stream->last;
  return success;
}

ENTRY int cuEventQuery(void *event) {
  BEGIN(cuEventQuery, true)
  Event *known_ = known(d.events, event);
  if (!known_)
    return invalidHandle;
  return !known_->op || known_->op->done ? success : notReady;
}

ENTRY int cuEventDestroy_v2(void *event) {
  BEGIN(cuEventDestroy_v2, true)
  forget(d.events, event);
  return success;
}

ENTRY int cuStreamBeginCapture_v2(void *handle, int) {
  BEGIN(cuStreamBeginCapture_v2, true)
  Stream *stream = d.stream(handle);
  if (!stream || stream == d.streams[0].get() || stream->recording)
    return captureUnsupported;
  stream->recording = std::make_unique<Graph>();
  return success;
}

ENTRY int cuStreamEndCapture(void *handle, void **graph) {
  BEGIN(cuStreamEndCapture, true)
  Stream *stream = d.stream(handle);
  if (!stream || !stream->recording)
    return captureUnsupported;
  std::unique_ptr<Graph> recorded = std::move(stream->recording);
  if (!recorded->valid) {
    *graph = nullptr;
    return captureInvalidated;
  }
  d.graphs.push_back(std::move(recorded));
  *graph = d.graphs.back().get();
  return success;
}

ENTRY int cuStreamGetCaptureInfo_v2(void *handle, int *status, uint64_t *, void **, void *const **nodes,
                                    size_t *count) {
  BEGIN(cuStreamGetCaptureInfo_v2, true)
  Stream *stream = d.stream(handle);
  if (!stream)
    return invalidHandle;
  static void *last;
  *status = stream->recording ? 1 : 0;
  *count = stream->recording && !stream->recording->nodes.empty() ? 1 : 0;
  last = *count ? stream->recording->nodes.back().node : nullptr;
  *nodes = &last;
  return success;
}

ENTRY int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
  BEGIN(cuGraphInstantiateWithFlags, true)
  Graph *source = known(d.graphs, graph);
  if (!source)
    return invalidHandle;
  d.executables.push_back(std::make_unique<Graph>(*source));
  d.executables.back()->source = source;
  *executable = d.executables.back().get();
  d.note("instantiate");
  return success;
}

ENTRY int cuGraphExecUpdate_v2(void *executable, void *graph, void *) {
  BEGIN(cuGraphExecUpdate_v2, true)
  Graph *target = known(d.executables, executable), *source = known(d.graphs, graph);
  if (!target || !source)
    return invalidHandle;
  if (target->nodes.size() != source->nodes.size())
    return updateFailure;
  for (size_t i = 0; i < target->nodes.size(); ++i)
    if (target->nodes[i].function->module != source->nodes[i].function->module)
      return updateFailure;
  for (size_t i = 0; i < target->nodes.size(); ++i) {
    void *node = target->nodes[i].node;
    target->nodes[i] = source->nodes[i];
    target->nodes[i].node = node;
  }
  d.note("update");
  return success;
}

struct KernelNode {
  void *function;
  unsigned grid[3], block[3], shared;
  void **parameters, **extra;
  void *kernel, *context;
};

ENTRY int cuGraphExecKernelNodeSetParams_v2(void *executable, void *node, const KernelNode *changed) {
  BEGIN(cuGraphExecKernelNodeSetParams_v2, true)
  Graph *target = known(d.executables, executable);
  // The node is one of the graph that it was made from, which must still be there.
  if (!target || !known(d.graphs, target->source) || changed->extra)
    return invalidHandle;
  for (Launch &launch : target->nodes) {
    if (launch.node != node)
      continue;
    Launch next{static_cast<Function *>(changed->function), {}, {}, changed->shared, {}, {}, node};
    std::copy(changed->grid, changed->grid + 3, next.grid);
    std::copy(changed->block, changed->block + 3, next.block);
    std::copy(launch.cluster, launch.cluster + 3, next.cluster);
    if (Result result = prepare(d, next, changed->parameters))
      return result;
    launch = std::move(next);
    d.note("change " + launch.function->name);
    return success;
  }
  return invalidValue;
}

ENTRY int cuGraphLaunch(void *executable, void *handle) {
  BEGIN(cuGraphLaunch, true)
  Graph *graph = known(d.executables, executable);
  Stream *stream = d.stream(handle);
  if (!graph || !stream)
    return invalidHandle;
  d.note("replay " + std::to_string(graph->nodes.size()));
  for (const Launch &node : graph->nodes)
    d.enqueue(stream, [node] { return runLaunch(node); });
  return success;
}

ENTRY int cuGraphDestroy(void *graph) {
  BEGIN(cuGraphDestroy, true)
  forget(d.graphs, graph);
  return success;
}

ENTRY int cuGraphExecDestroy(void *executable) {
  BEGIN(cuGraphExecDestroy, true)
  forget(d.executables, executable);
  return success;
}

// ---- for tests ----------------------------------------------------------------------------------------------------------
ENTRY void fake_callbacks(const Callbacks *callbacks) { driver().callbacks = *callbacks; }

ENTRY unsigned char *fake_bytes() { return driver().contents(); }

ENTRY void fake_configure(int devices, int major, int minor, size_t memory) {
  Driver &d = driver();
  d.devices = devices, d.major = major, d.minor = minor, d.memoryLimit = memory;
}

ENTRY void fake_fail(const char *name, int call, int result) {
  driver().failName = name, driver().failIn = call, driver().failWith = static_cast<Result>(result);
}

ENTRY void fake_recover() { driver().sticky = success; }

/// As at the end of a process: whatever is asked comes too late.
ENTRY void fake_end() { driver().sticky = deinitialised; }

ENTRY void fake_last_first(int on) { driver().lastFirst = on; }

/// Writes up to `capacity` live allocations as pairs of address and size; returns their number.
ENTRY size_t fake_live(uint64_t *pairs, size_t capacity) {
  size_t count = 0;
  for (const auto &[address, allocation] : driver().allocations)
    if (allocation.live) {
      if (count < capacity)
        pairs[2 * count] = address, pairs[2 * count + 1] = allocation.bytes;
      ++count;
    }
  return count;
}

ENTRY int fake_stream_number(void *handle) { return driver().stream(handle)->number; }

ENTRY int fake_calls(const char *name) { return driver().calls[name]; }

/// Takes the log, which lives until the next time.
ENTRY const char *fake_log() {
  static std::string taken;
  taken = std::move(driver().log);
  driver().log.clear();
  return taken.c_str();
}
