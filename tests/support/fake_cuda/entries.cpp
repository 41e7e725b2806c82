//===- entries.cpp - Devices, code and memory of the fake driver ------------------===//

#include "fake.h"

#include <algorithm>
#include <cstring>

using namespace fake;

namespace {

constexpr size_t guard = 512, alignment = 256;

/// Asks Python: whoever has its lock may want the driver's meanwhile.
template <typename Function> int asking(Driver &d, Function function) {
  d.mutex.unlock();
  int result = function();
  d.mutex.lock();
  return result;
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
    else if (attribute.id == 6 && attribute.values[0] == 1)
      launch.overlaps = 1;
    else
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
