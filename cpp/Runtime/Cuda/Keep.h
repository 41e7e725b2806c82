//===- Keep.h - Arrays that kernels may still be reading ------------------===//
//
// A call returns before its kernels have run. Memory of ours, and of a library
// whose stream the call uses, is given back in the order of that stream. What
// any other library owns may be free as soon as the caller lets go of it, so
// that the call keeps it until the stream has come so far.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_CUDA_KEEP_H
#define TILEWRIGHT_RUNTIME_CUDA_KEEP_H

#include "Cuda/Driver.h"

#include <pybind11/pybind11.h>
#include <vector>

namespace tilewright::cuda {

/// Holds `objects` until what is on the stream now is done. Throws Failure. This and the next want the interpreter's lock.
void keep(Device &device, Stream stream, std::vector<pybind11::object> objects);

/// Lets go of what is no longer needed.
void letGo();

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_KEEP_H
