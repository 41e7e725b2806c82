//===- Program.cpp - Device code of a program, and the table of one call --===//

#include "Cuda/Program.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// More than this needs a kernel's consent.
constexpr int64_t ordinaryShared = 48 << 10;

int mapDtype(const std::string &dtype) { // CUtensorMapDataType
  static const std::pair<const char *, int> known[] = {
      {"uint8", 0},   {"int8", 0},    {"bool", 0},     {"float8_e4m3fn", 0}, {"float8_e5m2", 0}, {"uint16", 1},
      {"int16", 1},   {"uint32", 2},  {"int32", 3},    {"uint64", 4},        {"int64", 5},       {"float16", 6},
      {"float32", 7}, {"float64", 8}, {"bfloat16", 9}, {"tfloat32", 11}};
  for (const auto &[name, number] : known)
    if (dtype == name)
      return number;
  return -1;
}

/// The place of `bytes` among sizes that double, 0 being 0: swizzles and promotions are numbered so.
int stepOf(int64_t bytes, int64_t first) {
  int step = 0;
  for (int64_t size = first; bytes >= size; size *= 2)
    ++step;
  return step;
}

/// Whether this driver starts a kernel before the one before it ends; older ones cannot record that.
bool mayOverlap(const Driver &driver, bool recording) {
  constexpr int recordsIt = 12030;
  return driver.api.launchEx && (!recording || driver.version >= recordsIt);
}

/// What the driver says of a kernel's parameters: asked for one after another, until there is none.
std::optional<std::vector<size_t>> parametersOf(const Api &api, Function function) {
  if (!api.functionParameter)
    return std::nullopt;
  std::vector<size_t> sizes;
  size_t offset = 0, size = 0;
  Result result;
  while ((result = api.functionParameter(function, sizes.size(), &offset, &size)) == success)
    sizes.push_back(size);
  return result == invalidValue ? std::optional(std::move(sizes)) : std::nullopt;
}

} // namespace

Program::Program(Device &device, const DeviceSpec &spec, const char *text, std::string_view image)
    : device(device), spec(spec) {
  Device::Use use(device);
  // Machine code for another device is no mistake: a program may be saved on one and run on another.
  fromImage = !image.empty() && load(image.data(), false);
  if (!fromImage)
    load(text, true);
  for (const DeviceKernelSpec &kernel : spec.kernels) {
    Function function = nullptr;
    Result result = device.driver.api.moduleFunction(&function, module, kernel.name.c_str());
    if (result == success && kernel.shared > ordinaryShared)
      result = device.driver.api.functionSet(function, functionMaxDynamicShared, static_cast<int>(kernel.shared));
    if (result != success) {
      device.driver.api.moduleUnload(module);
      throw Failure(Failure::Load, "preparing the kernel failed (" + device.driver.describe(result) + ")", kernel.name);
    }
    kernels.push_back({&kernel, function, parametersOf(device.driver.api, function)});
  }
}

Program::~Program() {
  Context before = nullptr;
  const Api &api = device.driver.api;
  if (api.getContext(&before) != success || api.setContext(device.context) != success)
    return; // the driver went first, at the end of the process
  api.moduleUnload(module);
  if (before)
    api.setContext(before);
}

bool Program::load(const void *code, bool isText) {
  char log[8192] = "";
  int options[] = {jitErrorLog, jitErrorLogBytes};
  void *values[] = {log, reinterpret_cast<void *>(sizeof log - 1)};
  Result result = device.driver.api.moduleLoad(&module, code, 2, options, values);
  if (result == success)
    return true;
  module = nullptr;
  if (!isText && result != outOfMemory)
    return false; // the driver may be older than the assembler: it compiles the text
  std::string message = "loading code for " + spec.arch + " on GPU " + std::to_string(device.ordinal) + " (" +
                        device.name + ", capability " + std::to_string(device.capability / 10) + "." +
                        std::to_string(device.capability % 10) + ")";
  if (result == outOfMemory)
    device.driver.fail(result, message);
  message += " failed (" + device.driver.describe(result) + ")";
  if (log[0])
    message += "\n" + std::string(log);
  throw Failure(result == noBinary ? Failure::TooOld : Failure::Load, message);
}

DeviceRt::DeviceRt(Program &program, Stream stream, Stack stack, bool recording, bool waiting, bool overlapping,
                   LaunchSink *sink)
    : program(program), api(program.device.driver.api), stream(stream), stack(stack), recording(recording),
      waiting(waiting), overlapping(overlapping && !waiting && mayOverlap(program.device.driver, recording)),
      sink(sink) {
  rt.launch = [](const TwRt *rt, int32_t kernel, int64_t blocks, int32_t threads, void **arguments) {
    of(rt).launch(kernel, blocks, threads, arguments);
  };
  rt.read = [](const TwRt *rt, void *to, const void *from, int64_t bytes) { of(rt).read(to, from, bytes); };
  rt.scratch_push = [](const TwRt *rt, int64_t bytes) { return of(rt).push(bytes); };
  rt.scratch_pop = [](const TwRt *rt, void *memory) { of(rt).pop(reinterpret_cast<Pointer>(memory)); };
}

/// A host function that gave up pops nothing.
DeviceRt::~DeviceRt() {
  while (!pushed.empty())
    pop(pushed.back().first);
}

void *DeviceRt::push(int64_t bytes) {
  if (failed() || bytes < 0)
    return nullptr;
  size_t size = Stack::rounded(static_cast<size_t>(bytes ? bytes : 1)), before = stackTop;
  stackTop += size;
  stackPeak = std::max(stackPeak, stackTop);
  Pointer memory = stack.memory + before;
  if (stackTop > stack.bytes) { // sizes that were never seen; the next call of the same ones has enough
    if (recording) {
      fail(captureUnsupported, "asking for memory while a stream records");
      return nullptr;
    }
    afterLaunch = false;
    if (Result result = api.allocate(&memory, size, stream)) {
      fail(result, "allocating memory for the intermediates of a kernel");
      return nullptr;
    }
  }
  pushed.emplace_back(memory, before);
  return reinterpret_cast<void *>(memory);
}

void DeviceRt::pop(Pointer memory) {
  if (pushed.empty() || pushed.back().first != memory)
    return; // a push that failed
  if (stackTop > stack.bytes) {
    afterLaunch = false;
    if (Result result = api.release(memory, stream))
      fail(result, "releasing memory");
  }
  stackTop = pushed.back().second;
  pushed.pop_back();
}

DeviceRt &DeviceRt::of(const TwRt *table) {
  return *static_cast<DeviceRt *>(reinterpret_cast<CallRt *>(const_cast<TwRt *>(table)));
}

void DeviceRt::fail(Result result, const char *what, int32_t kernel) {
  if (failed())
    return;
  failure = result;
  failedAt = what;
  failedKernel = kernel;
}

void DeviceRt::launch(int32_t number, int64_t blocks, int32_t threads, void **arguments) {
  if (failed() || blocks <= 0)
    return;
  if (number < 0 || static_cast<size_t>(number) >= program.kernels.size() || blocks > INT32_MAX)
    return fail(invalidValue, "starting a kernel", -1);
  const Program::Kernel &kernel = program.kernels[number];
  ++launches;
  if (int64_t together = kernel.spec->persistent) {
    int64_t most = std::max<int64_t>(program.device.processors / together, 1) * together;
    blocks = std::min(blocks, most);
  }
  std::vector<void *> replaced;
  std::vector<TensorMap> maps;
  if (!kernel.spec->maps.empty()) {
    if (Result result = encodeMaps(*kernel.spec, arguments, replaced, maps))
      return fail(result, "describing an array for the kernel", number);
    arguments = replaced.data();
  }
  auto grid = static_cast<unsigned>(blocks), block = static_cast<unsigned>(threads);
  // It waits for the launch before it, and that one for what was there before the call, or began when all of it was done.
  bool overlaps = overlapping && afterLaunch && kernel.spec->overlap;
  if (Result result = sink ? sink->launch(kernel, grid, block, arguments, overlaps)
                           : start(api, kernel, grid, block, stream, arguments, overlaps))
    return fail(result, "starting the kernel", number);
  afterLaunch = true;
  if (waiting && !recording)
    if (Result result = api.streamSynchronise(stream))
      fail(result, "running the kernel", number);
}

Result cuda::start(const Api &api, const Program::Kernel &kernel, unsigned blocks, unsigned threads, Stream stream,
                   void **arguments, bool overlaps) {
  const DeviceKernelSpec &spec = *kernel.spec;
  auto shared = static_cast<unsigned>(spec.shared);
  if (spec.cluster.empty() && !overlaps)
    return api.launch(kernel.function, blocks, 1, 1, threads, 1, 1, shared, stream, arguments, nullptr);
  if (!api.launchEx)
    return unsupportedPtx;
  LaunchAttribute attributes[2];
  LaunchConfig config{blocks, 1, 1, threads, 1, 1, shared, stream, attributes, 0};
  if (!spec.cluster.empty()) {
    LaunchAttribute &attribute = attributes[config.attributeCount++];
    attribute.id = launchCluster;
    attribute.value.cluster = {static_cast<unsigned>(spec.cluster[0]), static_cast<unsigned>(spec.cluster[1]),
                               static_cast<unsigned>(spec.cluster[2])};
  }
  if (overlaps) {
    LaunchAttribute &attribute = attributes[config.attributeCount++];
    attribute.id = launchProgrammaticSerialisation;
    attribute.value.flag = 1;
  }
  return api.launchEx(&config, kernel.function, arguments, nullptr);
}

/// Making a map is a few hundred instructions of the driver on the host; a graph replays the launch with the map in it.
Result DeviceRt::encodeMaps(const DeviceKernelSpec &spec, void **arguments, std::vector<void *> &replaced,
                            std::vector<TensorMap> &maps) {
  if (!api.encodeTiled)
    return unsupportedPtx;
  replaced.assign(arguments, arguments + spec.parameters);
  maps.resize(spec.maps.size());
  for (size_t i = 0; i < maps.size(); ++i) {
    const TensorMapSpec &map = spec.maps[i];
    auto rank = static_cast<uint32_t>(map.box.size());
    uint64_t words[10]; // address, sizes, strides
    std::memcpy(words, arguments[map.parameter], 2 * rank * sizeof(uint64_t));
    for (uint32_t d = 0; d < rank; ++d) // without elements the kernel copies nothing, but a map has some
      words[1 + d] = std::max<uint64_t>(words[1 + d], 1);
    uint32_t box[5], steps[5] = {1, 1, 1, 1, 1};
    for (uint32_t d = 0; d < rank; ++d)
      box[d] = static_cast<uint32_t>(map.box[d]);
    if (Result result = api.encodeTiled(&maps[i], mapDtype(map.dtype), rank, reinterpret_cast<void *>(words[0]),
                                        words + 1, words + 1 + rank, box, steps, /*interleave=*/0,
                                        stepOf(map.swizzle, 32), stepOf(map.promotion, 64), /*fill=*/0))
      return result;
    replaced[map.parameter] = &maps[i];
  }
  return success;
}

void DeviceRt::read(void *to, const void *from, int64_t bytes) {
  onlyLaunches = false;
  afterLaunch = false;
  std::memset(to, 0, static_cast<size_t>(bytes)); // after a failure host code goes on with zeros, which ends loops
  if (failed())
    return;
  if (recording)
    return fail(captureUnsupported, "reading a value that the host decides by");
  Result result = api.copyOut(to, reinterpret_cast<Pointer>(from), static_cast<size_t>(bytes), stream);
  if (result == success)
    result = api.streamSynchronise(stream);
  if (result != success)
    fail(result, "reading a value that the host decides by");
}

void DeviceRt::throwFailure() const {
  if (!failed())
    return;
  std::string name = failedKernel >= 0 ? program.kernels[failedKernel].spec->name : "";
  if (failure == outOfMemory)
    program.device.driver.fail(failure, failedAt);
  throw Failure(failedKernel >= 0 ? Failure::Launch : Failure::Other,
                std::string(failedAt) + " failed (" + program.device.driver.describe(failure) + ")", name);
}
