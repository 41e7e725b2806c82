//===- Program.h - Device code of a program, and the table of one call ----===//

#ifndef TILEWRIGHT_RUNTIME_CUDA_PROGRAM_H
#define TILEWRIGHT_RUNTIME_CUDA_PROGRAM_H

#include "Cuda/Driver.h"
#include "Manifest.h"
#include "Rt.h"

#include <optional>
#include <string_view>
#include <vector>

namespace tilewright::cuda {

/// The kernels of a program, loaded on one device.
class Program {
public:
  struct Kernel {
    const DeviceKernelSpec *spec = nullptr;
    Function function = nullptr;
    /// Bytes of each parameter; older drivers do not tell.
    std::optional<std::vector<size_t>> parameters;
  };

  /// Loads `image`, machine code, if it is for this device, else lets the
  /// driver compile `text`. `spec` outlives this. Throws Failure.
  Program(Device &device, const DeviceSpec &spec, const char *text, std::string_view image);
  ~Program();
  Program(const Program &) = delete;
  Program &operator=(const Program &) = delete;

  Device &device;
  const DeviceSpec &spec;
  std::vector<Kernel> kernels;
  bool fromImage = false; ///< no compiler ran in the driver

private:
  bool load(const void *code, bool isText);

  Module module = nullptr;
};

/// Starts a kernel with all that its entry of the manifest wants; `overlaps`: before the kernel ends that comes before it.
Result start(const Api &api, const Program::Kernel &kernel, unsigned blocks, unsigned threads, Stream stream,
             void **arguments, bool overlaps);

/// Where launches go while a graph is made or changed.
class LaunchSink {
public:
  virtual ~LaunchSink() = default;
  virtual Result launch(const Program::Kernel &kernel, unsigned blocks, unsigned threads, void **arguments,
                        bool overlaps) = 0;
};

/// Memory for the intermediates of kernels: pops mirror pushes, and launches follow one another, so that what was popped
/// is free for the next.
struct Stack {
  Pointer memory = 0;
  size_t bytes = 0;

  static constexpr size_t alignment = 256;
  static size_t rounded(size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }
};

/// The table that one call hands to the host function of a device program.
class DeviceRt : public CallRt {
public:
  /// Launches go to the stream, or to `sink`. Neither reads nor allocates where `recording`. Kernels begin before those end
  /// that come before them where they are made for it and `overlapping`.
  DeviceRt(Program &program, Stream stream, Stack stack, bool recording, bool waiting, bool overlapping,
           LaunchSink *sink = nullptr);

  ~DeviceRt();

  /// Throws what went wrong first in the driver, if anything did.
  void throwFailure() const;
  bool failed() const { return failure != success; }

  unsigned launches = 0;
  /// Host code waited for no value: its launches depend on sizes and addresses alone.
  bool onlyLaunches = true;
  /// Bytes of stack that the call would have liked to have.
  size_t stackPeak = 0;

private:
  static DeviceRt &of(const TwRt *rt);
  void launch(int32_t number, int64_t blocks, int32_t threads, void **arguments);
  Result encodeMaps(const DeviceKernelSpec &spec, void **arguments, std::vector<void *> &replaced,
                    std::vector<TensorMap> &maps);
  void read(void *to, const void *from, int64_t bytes);
  void *push(int64_t bytes);
  void pop(Pointer memory);
  void fail(Result result, const char *what, int32_t kernel = -1);

  Program &program;
  const Api &api;
  Stream stream;
  const Stack stack;
  size_t stackTop = 0;
  std::vector<std::pair<Pointer, size_t>> pushed; ///< with the top before
  bool recording;                                 ///< the stream is being captured
  bool waiting;                                   ///< after each launch, so that what fails is known by name
  bool overlapping;
  bool afterLaunch = false; ///< what is last on the stream is a launch of this call
  LaunchSink *sink;
  Result failure = success;
  const char *failedAt = nullptr;
  int32_t failedKernel = -1;
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_PROGRAM_H
