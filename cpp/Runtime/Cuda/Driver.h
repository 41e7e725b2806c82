//===- Driver.h - The CUDA driver and the devices of this machine ---------===//

#ifndef TILEWRIGHT_RUNTIME_CUDA_DRIVER_H
#define TILEWRIGHT_RUNTIME_CUDA_DRIVER_H

#include "Cuda/Api.h"

#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace tilewright::cuda {

/// What a call of the driver, or the lack of one, comes to. Python makes a
/// DeviceError of it (tilewright.runtime.failures.device_error).
class Failure : public std::exception {
public:
  enum Kind { NoDriver, NoDevice, TooOld, Memory, Load, Launch, Other };

  Failure(Kind kind, std::string message, std::string kernel = {})
      : kind(kind), message(std::move(message)), kernel(std::move(kernel)) {}
  const char *what() const noexcept override { return message.c_str(); }
  const char *kindName() const;

  Kind kind;
  std::string message;
  std::string kernel; ///< the device kernel that it happened in, if known
};

class Driver;

/// A GPU, with its primary context: the one that CuPy and torch use, too.
class Device {
public:
  Device(Driver &driver, int ordinal);

  Driver &driver;
  const int ordinal;
  std::string name;
  int capability = 0; ///< 90 for compute capability 9.0
  int processors = 1; ///< multiprocessors
  Context context = nullptr;
  /// Where launches are recorded for a graph; nothing ever runs on it.
  Stream captureStream();
  /// It did not stop recording: the next graph gets another one.
  void dropCaptureStream();

  /// Makes the device's context the current one of this thread.
  class Use {
  public:
    explicit Use(const Device &device);
    ~Use();
    Use(const Use &) = delete;
    Use &operator=(const Use &) = delete;

  private:
    const Device &device;
    Context before = nullptr;
    bool changed = false;
  };

  /// Memory in the order of a stream; throws Failure.
  Pointer allocate(size_t bytes, Stream stream);
  /// `everywhere`: after what is under way on any stream.
  void release(Pointer memory, Stream stream, bool everywhere = false) noexcept;
  /// Lets `stream` wait for all that was put on `before` so far.
  void order(Stream before, Stream stream);

private:
  int handle = 0;
  std::mutex captureMutex;
  Stream capture = nullptr;
};

class Driver {
public:
  /// The library of the given name from now on; it is opened at first use.
  static void setPath(std::string path);
  /// Throws Failure if there is no driver or it has no device.
  static Driver &current();

  const Api api;
  int deviceCount = 0;
  int version = 0; ///< 13000 for CUDA 13.0

  /// Throws Failure.
  Device &device(int ordinal);
  /// Throws Failure unless `result` is success; `what` says what was tried.
  void check(Result result, const char *what) const {
    if (result != success)
      fail(result, what);
  }
  std::string describe(Result result) const;
  [[noreturn]] void fail(Result result, const std::string &what, Failure::Kind kind = Failure::Other) const;

private:
  explicit Driver(const Api &api) : api(api) {}
  static std::unique_ptr<Driver> open(const std::string &path);

  std::mutex mutex;
  std::map<int, std::unique_ptr<Device>> devices;
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_DRIVER_H
