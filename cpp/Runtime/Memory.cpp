//===- Memory.cpp - Memory of outputs
//--------------------------------------===//
//
// NumPy places arrays at 16 bytes past a boundary, so that every wide store of
// an output would touch two cache lines; and the system hands out large arrays
// page by page, each cleared on first touch, which costs more than most
// elementwise programs. Both are avoided: outputs lie on cache lines, and the
// last few large ones that were dropped are used again.
//
// Packed weights stay. Many of a few hundred kilobytes that lie in pages of 4 KB
// are read once in a step of a model, so that each page costs a look-up in the
// page tables; they are cut from slabs of huge pages instead.
//
// All functions run with the interpreter's lock held, which guards the blocks.
//
//===----------------------------------------------------------------------===//

#include "Memory.h"

#include <cstdlib>

#include <sys/mman.h>

namespace {

/// Huge pages that blocks are cut from, one after the other; freed with the last of them.
struct Slab {
  char *memory;
  int64_t used, live;
};

struct Block {
  void *memory = nullptr; ///< what to free, unless it belongs to a slab
  int64_t bytes = 0;      ///< usable from the boundary on
  Slab *slab = nullptr;
};

struct MemoryObject {
  PyObject_HEAD Block block;
};

constexpr int64_t cacheLine = 64;
constexpr int64_t page = 4096;
constexpr int64_t pagesFrom = int64_t{32} << 10;
constexpr int64_t hugePage = int64_t{2} << 20;
constexpr int64_t hugeFrom = int64_t{4} << 20;
constexpr int64_t slabBytes = int64_t{32} << 20;
/// Blocks of at least this size are kept, a few and not too much of them.
constexpr int64_t keepFrom = int64_t{256} << 10;
constexpr int64_t keepBytes = int64_t{128} << 20;
constexpr int keepBlocks = 4;

Block kept[keepBlocks]; // the oldest first; empty ones have no memory
Slab *openSlab = nullptr;
PyTypeObject *memoryType = nullptr;

/// Large outputs begin with a page. Large arrays of NumPy begin 16 bytes into
/// one: an output that began further into its page would have each load of such
/// an input follow a store to the same place of another page, which processors
/// take for a dependency.
int64_t boundary(int64_t bytes) { return bytes < pagesFrom ? cacheLine : page; }

void *firstBoundary(const Block &block) {
  auto address = reinterpret_cast<uintptr_t>(block.memory);
  auto mask = static_cast<uintptr_t>(boundary(block.bytes) - 1);
  return reinterpret_cast<void *>((address + mask) & ~mask);
}

void dropKept(int index) {
  std::free(kept[index].memory);
  for (; index + 1 < keepBlocks; ++index)
    kept[index] = kept[index + 1];
  kept[keepBlocks - 1] = {};
}

/// Takes the best fitting kept block that wastes at most a quarter.
bool takeKept(int64_t bytes, Block &block) {
  int best = -1;
  for (int i = 0; i < keepBlocks; ++i)
    if (kept[i].memory && kept[i].bytes >= bytes && kept[i].bytes - bytes <= bytes / 4 &&
        (best < 0 || kept[i].bytes < kept[best].bytes))
      best = i;
  if (best < 0)
    return false;
  block = kept[best];
  kept[best].memory = nullptr;
  dropKept(best);
  return true;
}

void keep(Block block) {
  int64_t total = block.bytes;
  int count = 0;
  for (const Block &other : kept) {
    total += other.bytes;
    count += other.memory != nullptr;
  }
  for (; count > 0 && (count == keepBlocks || total > keepBytes); --count) {
    total -= kept[0].bytes;
    dropKept(0);
  }
  kept[count] = block;
}

bool allocate(int64_t bytes, Block &block) {
  if (bytes >= keepFrom && takeKept(bytes, block))
    return true;
  if (bytes >= hugeFrom) {
    void *memory = nullptr;
    if (posix_memalign(&memory, hugePage, static_cast<size_t>(bytes)))
      return false;
    // Only whole huge pages: the last one would hold up to 2 MB of nothing.
    madvise(memory, static_cast<size_t>(bytes & ~(hugePage - 1)), MADV_HUGEPAGE);
    block = {memory, bytes};
  } else {
    block = {std::malloc(static_cast<size_t>(bytes + boundary(bytes))), bytes};
  }
  return block.memory != nullptr;
}

/// The next piece of the open slab, or of a new one.
bool cut(int64_t bytes, Block &block) {
  int64_t mask = boundary(bytes) - 1, start = openSlab ? (openSlab->used + mask) & ~mask : 0;
  if (!openSlab || start + bytes > slabBytes) {
    void *memory = nullptr;
    if (posix_memalign(&memory, hugePage, slabBytes))
      return false;
    madvise(memory, slabBytes, MADV_HUGEPAGE);
    openSlab = new Slab{static_cast<char *>(memory), 0, 0};
    start = 0;
  }
  block = {openSlab->memory + start, bytes, openSlab};
  openSlab->used = start + bytes;
  ++openSlab->live;
  return true;
}

void giveBack(Block block) {
  if (!block.slab)
    return std::free(block.memory);
  if (--block.slab->live)
    return;
  if (block.slab == openSlab)
    openSlab = nullptr;
  std::free(block.slab->memory);
  delete block.slab;
}

void destroy(PyObject *object) {
  Block block = reinterpret_cast<MemoryObject *>(object)->block;
  if (!block.slab && block.bytes >= keepFrom && block.bytes <= keepBytes)
    keep(block);
  else
    giveBack(block);
  PyTypeObject *type = Py_TYPE(object);
  PyObject_Free(object);
  Py_DECREF(type);
}

PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void *>(destroy)}, {0, nullptr}};
PyType_Spec spec = {"tilewright._runtime.Memory", sizeof(MemoryObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

} // namespace

namespace tilewright {

void initMemory() {
  memoryType = reinterpret_cast<PyTypeObject *>(PyType_FromSpec(&spec));
  if (!memoryType)
    throw pybind11::error_already_set();
}

PyObject *newMemory(int64_t bytes, void *&data, bool lasting) {
  Block block;
  bool isSmall = bytes <= slabBytes / 2;
  if (bytes > (int64_t{1} << 46) || !(lasting && isSmall ? cut(bytes, block) : allocate(bytes, block)))
    return PyErr_NoMemory();
  auto *object = PyObject_New(MemoryObject, memoryType);
  if (!object) {
    giveBack(block);
    return nullptr;
  }
  object->block = block;
  data = firstBoundary(block);
  return reinterpret_cast<PyObject *>(object);
}

int64_t releaseKeptMemory() {
  int64_t bytes = 0;
  while (kept[0].memory) {
    bytes += kept[0].bytes;
    dropKept(0);
  }
  return bytes;
}

} // namespace tilewright
