//===- Views.h - Arrays of any library as a device's program sees them ----===//

#ifndef TILEWRIGHT_RUNTIME_CUDA_VIEWS_H
#define TILEWRIGHT_RUNTIME_CUDA_VIEWS_H

#include "Arrays.h"
#include "Cuda/Memory.h"

namespace tilewright::cuda {

/// One argument of a call.
struct View {
  Pointer data = 0;
  const void *host = nullptr; ///< the elements where they lie on the CPU, dense
  pybind11::object descr;     ///< NumPy dtype
  int rank = 0;
  int64_t dims[32];
  bool dense = true;    ///< row-major, without gaps
  bool writable = true; ///< what the library says
  int device = -1;
  Memory *memory = nullptr; ///< of an array of ours
  bool hasStream = false;
  Stream stream = nullptr; ///< where its elements are being computed, if that is known
  pybind11::object owner;  ///< what keeps the memory alive, if not the argument
  uint32_t kind = kindNone;

  int64_t count() const {
    int64_t count = 1;
    for (int i = 0; i < rank; ++i)
      count *= dims[i];
    return count;
  }
  int64_t bytes() const { return count() * pybind11::reinterpret_borrow<pybind11::dtype>(descr).itemsize(); }
};

/// Fills in `view`. Returns false for what is no array. Throws what the
/// array's own protocol throws, and Failure.
bool readView(PyObject *object, View &view);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_VIEWS_H
