//===- Rt.h - The host side of one call -----------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_RT_H
#define TILEWRIGHT_RUNTIME_RT_H

#include "Abi.h"

#include <atomic>

namespace tilewright {

/// The table that one call hands to compiled code, with the call's error slot.
/// It lives on the caller's stack; worker threads reach the slot through it.
class CallRt {
public:
  CallRt();
  const TwRt *table() const { return &rt; }

  /// The first reported error, or TW_OK.
  int32_t errorCode() const { return static_cast<int32_t>(error.load(std::memory_order_acquire) >> 32); }
  /// Index into the manifest's locations; -1 if unknown.
  int32_t errorLocation() const { return static_cast<int32_t>(error.load(std::memory_order_acquire)); }

protected:
  static void report(const TwRt *rt, int32_t code, int32_t location);

  TwRt rt; // first: compiled code passes its address back

private:
  std::atomic<uint64_t> error{0};
};

/// Memory from this thread's scratch stack, aligned to TW_SCRATCH_ALIGNMENT;
/// null if there is none. Pops mirror pushes.
void *scratchPush(int64_t bytes);
void scratchPop(void *memory);

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_RT_H
