//===- fake.h - State of a CUDA driver without a GPU ----------------------===//
//
// A library with the entry points of the CUDA driver that the launcher uses.
// Memory of the device is reserved addresses that nobody on the host may touch;
// its bytes lie elsewhere, where the driver and the interpreter reach them.
// Whatever is put on a stream is done as late as the rules allow, so that a
// missing wait shows.
//
//===----------------------------------------------------------------------===//

#ifndef FAKE_CUDA_FAKE_H
#define FAKE_CUDA_FAKE_H

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace fake {

enum Result : int {
  success = 0,
  invalidValue = 1,
  outOfMemory = 2,
  notInitialised = 3,
  deinitialised = 4,
  noDevice = 100,
  invalidContext = 201,
  noBinary = 209,
  invalidPtx = 218,
  invalidHandle = 400,
  notFound = 500,
  notReady = 600,
  launchFailed = 719,
  captureUnsupported = 900,
  captureInvalidated = 901,
  captureIsolation = 905,
  updateFailure = 910,
};

/// What Python does for the driver; each returns a Result or a number.
struct Callbacks {
  /// Reads a module; returns its number, or -1 with a text in `log`.
  int (*load)(const char *text, char *log, size_t logBytes);
  /// The sizes of a kernel's parameters; returns their number, -1 if there is no such kernel.
  int (*parameters)(int module, const char *kernel, int *sizes, int capacity);
  /// Runs a kernel; `bytes` has its parameters one after another. Returns 0, or 1 if it failed.
  int (*launch)(int module, const char *kernel, const unsigned *grid, const unsigned *block, unsigned shared,
                const unsigned *cluster, const unsigned char *bytes, int overlaps);
  /// Makes a tensor map of 128 bytes; returns 0 if the driver would.
  int (*encode)(int dtype, int rank, uint64_t address, const uint64_t *sizes, const uint64_t *strides,
                const uint32_t *box, int swizzle, unsigned char *map);
};

struct Op {
  std::function<Result()> run;
  std::vector<std::shared_ptr<Op>> before;
  bool done = false;
};
using OpPtr = std::shared_ptr<Op>;

struct Module {
  int number;
};

struct Function {
  Module *module;
  std::string name;
  std::vector<int> sizes;
  int maxShared = 48 << 10;
};

struct Launch {
  Function *function;
  unsigned grid[3], block[3], shared, cluster[3] = {1, 1, 1};
  std::vector<unsigned char> parameters;
  void *node = nullptr; ///< its handle, if it is part of a graph
  int overlaps = 0;     ///< it may begin before the kernel ends that comes before it
};

struct Graph {
  std::vector<Launch> nodes;
  bool valid = true;
  Graph *source = nullptr; ///< what an executable graph was made from
};

struct Stream {
  bool blocking = true; ///< waits for, and is waited for by, the default stream
  OpPtr last;
  std::unique_ptr<Graph> recording;
  int number;
};

struct Event {
  OpPtr op;
};

struct Allocation {
  size_t bytes;
  int device = 0;
  bool live = true;
};

/// The context, which is a device's primary one.
struct Context {
  int device;
};

constexpr uint64_t base = 0x700000000;
constexpr size_t space = size_t{2} << 30;
/// Room for variables of modules, which the interpreter lays out.
constexpr size_t variables = size_t{1} << 20;

struct Driver {
  std::recursive_mutex mutex;
  std::condition_variable_any idle; ///< nothing is running
  std::thread::id runner;           ///< the thread that runs something
  Callbacks callbacks{};
  bool initialised = false;
  int devices = 2, major = 8, minor = 0, version = 13000;
  size_t memoryLimit = size_t{256} << 20;
  size_t used = variables, liveBytes = 0;
  std::map<uint64_t, Allocation> allocations;
  std::vector<std::unique_ptr<Context>> contexts;
  std::vector<std::unique_ptr<Module>> modules;
  std::vector<std::unique_ptr<Function>> functions;
  std::vector<std::unique_ptr<Stream>> streams; ///< the first is the default one
  std::vector<std::unique_ptr<Event>> events;
  std::vector<std::unique_ptr<Graph>> graphs, executables;
  bool running = false;    ///< a kernel, or a copy
  Result sticky = success; ///< a kernel failed: the context is of no more use
  bool lastFirst = false;  ///< in which order a wait for everything takes streams

  std::map<std::string, int> calls;
  std::string failName;
  int failIn = 0;
  Result failWith = success;
  std::string log;

  Driver();
  /// Counts a call, and says how it fails before it begins.
  Result enter(const char *name, bool needsContext = true);
  Stream *stream(void *handle);
  Result enqueue(Stream *stream, std::function<Result()> run, const std::vector<OpPtr> &before = {});
  Result complete(const OpPtr &op);
  Result completeAll();
  /// All bytes of device memory.
  unsigned char *contents();
  /// The bytes at a device address, or null if they are not all in one live allocation.
  unsigned char *at(uint64_t address, size_t bytes);
  unsigned char *bytes = nullptr;
  void note(const std::string &line) { log += line + "\n"; }
};

Driver &driver();
extern thread_local Context *current;

template <typename T> T *known(std::vector<std::unique_ptr<T>> &all, void *handle) {
  for (auto &one : all)
    if (one.get() == handle)
      return one.get();
  return nullptr;
}

template <typename T> void forget(std::vector<std::unique_ptr<T>> &all, void *handle) {
  all.erase(std::remove_if(all.begin(), all.end(), [&](auto &one) { return one.get() == handle; }), all.end());
}

/// Checks a launch as the driver does, and runs it on a stream, or records it.
Result launchOn(Driver &d, void *handle, Launch launch, void **parameters);

/// Waiting for, or copying on, a stream that records breaks the recording.
bool isRecording(Stream *stream);

} // namespace fake

#define ENTRY extern "C" __attribute__((visibility("default")))
#define BEGIN(name, needsContext)                                                                                      \
  Driver &d = driver();                                                                                                \
  std::lock_guard<std::recursive_mutex> lock(d.mutex);                                                                 \
  if (Result failed = d.enter(#name, needsContext))                                                                    \
    return failed;

#endif // FAKE_CUDA_FAKE_H
