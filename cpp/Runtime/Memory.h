//===- Memory.h - Memory of outputs
//----------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_MEMORY_H
#define TILEWRIGHT_RUNTIME_MEMORY_H

#include <cstdint>

#include <pybind11/pybind11.h>

namespace tilewright {

/// Outputs of at least this size get memory of ours; NumPy's own allocation is
/// quicker for small ones.
constexpr int64_t ownMemoryBytes = 2048;

/// A new Python object that owns `bytes` of uninitialised memory at `data`, on
/// a cache line's boundary. Null and MemoryError if there is none. What is
/// `lasting` (packed weights) lies beside others of its kind.
PyObject *newMemory(int64_t bytes, void *&data, bool lasting = false);

/// Gives back what is kept for later outputs; returns the number of bytes.
int64_t releaseKeptMemory();

/// Prepares the type; called once.
void initMemory();

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_MEMORY_H
