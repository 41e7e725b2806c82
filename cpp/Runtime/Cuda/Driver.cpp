//===- Driver.cpp - The CUDA driver and the devices of this machine -------===//

#include "Cuda/Driver.h"

#include <dlfcn.h>

using namespace tilewright::cuda;

namespace {

std::mutex pathMutex;
std::string path = "libcuda.so.1";

constexpr int oldestCapability = 80;

} // namespace

const char *Failure::kindName() const {
  switch (kind) {
  case NoDriver:
    return "driver";
  case NoDevice:
    return "device";
  case TooOld:
    return "old";
  case Memory:
    return "memory";
  case Load:
    return "load";
  case Launch:
    return "launch";
  case Other:
    break;
  }
  return "other";
}

void Driver::setPath(std::string name) {
  std::lock_guard<std::mutex> lock(pathMutex);
  path = std::move(name);
}

/// Drivers are never closed: code of the driver may still run in other threads
/// while the process ends. One that could not be opened is tried again.
Driver &Driver::current() {
  static auto *drivers = new std::map<std::string, std::unique_ptr<Driver>>;
  std::lock_guard<std::mutex> lock(pathMutex);
  std::unique_ptr<Driver> &driver = (*drivers)[path];
  if (!driver)
    driver = open(path);
  return *driver;
}

std::unique_ptr<Driver> Driver::open(const std::string &path) {
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = dlerror();
    throw Failure(Failure::NoDriver, std::string("there is no NVIDIA driver here (") + (reason ? reason : path) + ")");
  }
  Api api;
  std::string missing;
#define TW_FIND(field, symbol, required, parameters)                                                                   \
  api.field = reinterpret_cast<decltype(api.field)>(dlsym(library, #symbol));                                          \
  if (!api.field && (required) && missing.empty())                                                                     \
    missing = #symbol;
  TW_CUDA_FUNCTIONS(TW_FIND)
#undef TW_FIND
  if (!missing.empty())
    throw Failure(Failure::NoDriver, "the NVIDIA driver is too old: " + path + " has no " + missing);
  std::unique_ptr<Driver> driver(new Driver(api));
  if (Result result = api.init(0))
    driver->fail(result, "starting the NVIDIA driver", result == noDevice ? Failure::NoDevice : Failure::NoDriver);
  driver->check(api.driverVersion(&driver->version), "asking for the driver's version");
  driver->check(api.deviceCount(&driver->deviceCount), "counting devices");
  if (driver->deviceCount == 0)
    throw Failure(Failure::NoDevice, "the NVIDIA driver finds no GPU");
  return driver;
}

Device &Driver::device(int ordinal) {
  std::lock_guard<std::mutex> lock(mutex);
  if (ordinal < 0 || ordinal >= deviceCount)
    throw Failure(Failure::NoDevice,
                  "there is no GPU " + std::to_string(ordinal) + "; the driver finds " + std::to_string(deviceCount));
  std::unique_ptr<Device> &device = devices[ordinal];
  if (!device)
    device = std::make_unique<Device>(*this, ordinal);
  return *device;
}

std::string Driver::describe(Result result) const {
  const char *name = nullptr, *text = nullptr;
  if (api.errorName(result, &name) != success || !name)
    return "CUDA error " + std::to_string(result);
  if (api.errorString(result, &text) != success || !text)
    return name;
  return std::string(name) + ": " + text;
}

void Driver::fail(Result result, const std::string &what, Failure::Kind kind) const {
  if (result == outOfMemory)
    kind = Failure::Memory;
  throw Failure(kind, what + " failed (" + describe(result) + ")");
}

Device::Device(Driver &driver, int ordinal) : driver(driver), ordinal(ordinal) {
  const Api &api = driver.api;
  driver.check(api.deviceGet(&handle, ordinal), "opening a device");
  char text[256] = "";
  driver.check(api.deviceName(text, sizeof text - 1, handle), "asking for a device's name");
  name = text;
  int major = 0, minor = 0, pools = 0;
  driver.check(api.deviceAttribute(&major, attributeCapabilityMajor, handle), "asking for a device's capability");
  driver.check(api.deviceAttribute(&minor, attributeCapabilityMinor, handle), "asking for a device's capability");
  driver.check(api.deviceAttribute(&processors, attributeMultiprocessors, handle), "asking for a device's size");
  driver.check(api.deviceAttribute(&pools, attributeMemoryPools, handle), "asking for a device's memory pools");
  capability = 10 * major + minor;
  if (capability < oldestCapability)
    throw Failure(Failure::TooOld, "GPU " + std::to_string(ordinal) + " (" + name + ") has compute capability " +
                                       std::to_string(major) + "." + std::to_string(minor) + "; 8.0 is the least");
  if (!pools)
    throw Failure(Failure::TooOld, "GPU " + std::to_string(ordinal) + " (" + name + ") has no memory pools");
  driver.check(api.primaryContext(&context, handle), "making a context");
  // Memory that is given back stays with the process: otherwise each wait for the device would return it to the system.
  Pool pool = nullptr;
  uint64_t all = UINT64_MAX;
  driver.check(api.defaultPool(&pool, handle), "asking for a device's memory pool");
  driver.check(api.poolSet(pool, poolReleaseThreshold, &all), "setting up a device's memory pool");
}

Stream Device::captureStream() {
  std::lock_guard<std::mutex> lock(captureMutex);
  if (!capture)
    driver.check(driver.api.streamCreate(&capture, streamNonBlocking), "making a stream");
  return capture;
}

void Device::dropCaptureStream() {
  std::lock_guard<std::mutex> lock(captureMutex);
  capture = nullptr;
}

Device::Use::Use(const Device &device) : device(device) {
  const Api &api = device.driver.api;
  device.driver.check(api.getContext(&before), "asking for the current context");
  if (before == device.context)
    return;
  device.driver.check(api.setContext(device.context), "entering a device's context");
  changed = true;
}

Device::Use::~Use() {
  if (changed && before)
    device.driver.api.setContext(before);
}

Pointer Device::allocate(size_t bytes, Stream stream) {
  Pointer memory = 0;
  Result result = driver.api.allocate(&memory, bytes ? bytes : 1, stream);
  if (result != success) {
    std::string what = "allocating " + std::to_string(bytes) + " bytes on GPU " + std::to_string(ordinal);
    size_t free = 0, total = 0;
    if (result == outOfMemory && driver.api.memoryInfo(&free, &total) == success)
      what += ", of which " + std::to_string(free >> 20) + " of " + std::to_string(total >> 20) + " MiB are free,";
    driver.fail(result, what);
  }
  return memory;
}

void Device::release(Pointer memory, Stream stream, bool everywhere) noexcept {
  // Whoever lets go of memory may be in any context, and nobody is left to tell.
  Context before = nullptr;
  const Api &api = driver.api;
  if (api.getContext(&before) != success)
    return;
  if (before != context)
    api.setContext(context);
  if (everywhere)
    api.synchronise();
  api.release(memory, stream);
  if (before && before != context)
    api.setContext(before);
}

void Device::order(Stream before, Stream stream) {
  if (before == stream)
    return;
  Event event = nullptr;
  driver.check(driver.api.eventCreate(&event, eventNoTiming), "making an event");
  Result result = driver.api.eventRecord(event, before);
  if (result == success)
    result = driver.api.streamWait(stream, event, 0);
  driver.api.eventDestroy(event); // takes effect when the event has come
  driver.check(result, "ordering streams");
}
