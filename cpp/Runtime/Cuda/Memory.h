//===- Memory.h - Memory of a device that Python objects hold -------------===//
//
// What a `tilewright.Array` on a device stands on, where neither CuPy nor torch
// gives the memory. It is allocated and released in the order of streams: the
// memory goes from stream to stream with its use, each waiting for the one
// before.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_CUDA_MEMORY_H
#define TILEWRIGHT_RUNTIME_CUDA_MEMORY_H

#include "Cuda/Driver.h"

#include <pybind11/pybind11.h>

namespace tilewright::cuda {

class Memory {
public:
  /// Throws Failure.
  Memory(Device &device, size_t bytes, Stream stream)
      : device(device), bytes(bytes), pointer(device.allocate(bytes, stream)), stream(stream) {}
  ~Memory() { device.release(pointer, stream, lent); }
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;

  /// What is put on `next` from now on may use the memory. Throws Failure.
  void moveTo(Stream next) {
    if (needsWait(next))
      device.order(stream, next);
    stream = next;
    settled = false;
  }

  /// What is put on `reader` from now on reads the memory, in which nobody writes any more: a weight. Throws Failure.
  void readOn(Stream reader) {
    if (reader == stream)
      return;
    if (needsWait(reader))
      device.order(stream, reader);
    lent = true; // `stream` does not say when the last one has read
  }

  /// Whether there may be work on a stream that `next` has to wait for.
  bool needsWait(Stream next) const { return !settled && next != stream; }

  /// The host has waited: nothing that uses the memory is under way.
  void settle() { settled = true; }

  /// Another library got the address, and uses it on streams that we don't know.
  void lend() { lent = true; }

  Device &device;
  const size_t bytes;
  const Pointer pointer;

  Stream lastStream() const { return stream; }

private:
  Stream stream;
  bool lent = false;
  bool settled = false;
};

/// Adds the class and the functions on devices to `_runtime`.
void addDevices(pybind11::module_ &module);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_MEMORY_H
