//===- Slots.h - Sizes of the arrays of a call ----------------------------===//

#ifndef TILEWRIGHT_RUNTIME_SLOTS_H
#define TILEWRIGHT_RUNTIME_SLOTS_H

#include "Executable.h"

namespace tilewright {

inline void denseStrides(const int64_t *dims, int rank, int64_t *strides) {
  int64_t stride = 1;
  for (int i = rank - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= dims[i];
  }
}

/// Checks dims against sizes and symbols; binds symbols on first sight.
inline bool dimsFit(const Code::Slot &slot, const Manifest &manifest, const int64_t *dims, int64_t *symbolValues) {
  for (int i = 0; i < slot.rank; ++i) {
    if (slot.shape[i] != anySize && slot.shape[i] != dims[i])
      return false;
    if (!slot.symbols || slot.symbols[i] < 0)
      continue;
    int64_t &value = symbolValues[slot.symbols[i]];
    if (value == dims[i])
      continue;
    if (value != anySize)
      return false;
    const SymbolSpec &symbol = manifest.symbols[slot.symbols[i]];
    if (dims[i] < symbol.min || dims[i] > symbol.max || dims[i] % symbol.multipleOf != 0)
      return false;
    value = dims[i];
  }
  return true;
}

inline int64_t bytesOf(const Code::Slot &slot, const TwArg &argument) {
  int64_t bytes = slot.itemSize;
  for (int i = 0; i < slot.rank; ++i)
    bytes *= argument.dims[i];
  return bytes;
}

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_SLOTS_H
