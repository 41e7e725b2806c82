//===- Rt.cpp - The host side of one call ---------------------------------===//
//
// Scratch memory is a stack of blocks per thread. A block is kept for the next
// call, so a steady program allocates nothing; a block that has been far too
// large for a while is given back.
//
//===----------------------------------------------------------------------===//

#include "Rt.h"

#include "ThreadPool.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <vector>

namespace {

constexpr size_t smallestBlock = size_t{64} << 10;
constexpr size_t hugePage = size_t{2} << 20;
/// How many fillings of the stack decide whether its block is too large.
constexpr int memory = 256;

class ScratchStack {
public:
  ~ScratchStack() {
    for (Block &block : blocks)
      std::free(block.base);
  }

  void *push(size_t bytes) {
    bytes = (bytes + TW_SCRATCH_ALIGNMENT - 1) & ~size_t(TW_SCRATCH_ALIGNMENT - 1);
    if (blocks.empty() || blocks.back().size - blocks.back().used < bytes)
      if (!grow(bytes))
        return nullptr;
    Block &block = blocks.back();
    void *result = block.base + block.used;
    block.used += bytes;
    inUse += bytes;
    highest = std::max(highest, inUse);
    return result;
  }

  void pop(void *pointer) {
    auto *target = static_cast<char *>(pointer);
    // Blocks above the target's own are empty by now, if pops mirror pushes.
    while (blocks.size() > 1 && !blocks.back().contains(target))
      dropTop();
    if (blocks.empty() || !blocks.back().contains(target))
      return;
    Block &block = blocks.back();
    inUse -= block.used - static_cast<size_t>(target - block.base);
    block.used = static_cast<size_t>(target - block.base);
    if (inUse == 0)
      emptied();
  }

private:
  struct Block {
    char *base;
    size_t size;
    size_t used;
    bool contains(const char *pointer) const { return pointer >= base && pointer < base + size; }
  };

  bool grow(size_t bytes) {
    // One block that holds all is the aim: once the stack is empty it is
    // replaced by a block of the highest use.
    size_t size = std::max({bytes, smallestBlock, inUse + inUse / 2});
    size_t alignment = size >= hugePage ? hugePage : size_t{4096};
    size = (size + alignment - 1) & ~(alignment - 1);
    if (size < bytes)
      return false;
    if (!blocks.empty() && blocks.back().used == 0)
      dropTop();
    auto *base = static_cast<char *>(std::aligned_alloc(alignment, size));
    if (!base)
      return false;
    blocks.push_back({base, size, 0});
    return true;
  }

  void dropTop() {
    inUse -= blocks.back().used;
    std::free(blocks.back().base);
    blocks.pop_back();
  }

  void emptied() {
    if (blocks.size() > 1) { // the next push makes one block for all
      while (!blocks.empty())
        dropTop();
      grow(highest);
    }
    if (++fillings < memory)
      return;
    if (!blocks.empty() && blocks.back().size > 4 * std::max(highest, smallestBlock))
      dropTop();
    fillings = 0;
    highest = 0;
  }

  std::vector<Block> blocks;
  size_t inUse = 0;
  size_t highest = 0;
  int fillings = 0;
};

thread_local ScratchStack stack;

} // namespace

namespace tilewright {

void *scratchPush(int64_t bytes) {
  if (bytes < 0 || bytes > (int64_t{1} << 46))
    return nullptr;
  // Every push takes some bytes, so that each has an address of its own.
  return stack.push(static_cast<size_t>(std::max<int64_t>(bytes, 1)));
}

void scratchPop(void *pointer) { stack.pop(pointer); }

CallRt::CallRt() {
  rt.version = TW_ABI_VERSION;
  rt.size = sizeof(TwRt);
  rt.parallel_for = [](const TwRt *, void (*body)(void *, int64_t, int64_t), void *ctx, int64_t n) {
    parallelFor(body, ctx, n);
  };
  rt.scratch_push = [](const TwRt *, int64_t bytes) { return scratchPush(bytes); };
  rt.scratch_pop = [](const TwRt *, void *pointer) { scratchPop(pointer); };
  rt.error = &CallRt::report;
  rt.launch = nullptr;
  rt.read = nullptr;
}

void CallRt::report(const TwRt *table, int32_t code, int32_t location) {
  static_assert(offsetof(CallRt, rt) == 0);
  auto *call = reinterpret_cast<CallRt *>(const_cast<TwRt *>(table));
  uint64_t none = 0;
  uint64_t value =
      uint64_t{static_cast<uint32_t>(code ? code : TW_ERROR_VALUE)} << 32 | static_cast<uint32_t>(location);
  call->error.compare_exchange_strong(none, value, std::memory_order_acq_rel);
}

} // namespace tilewright
