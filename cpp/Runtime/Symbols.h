//===- Symbols.h - The functions that compiled code may call --------------===//

#ifndef TILEWRIGHT_RUNTIME_SYMBOLS_H
#define TILEWRIGHT_RUNTIME_SYMBOLS_H

#include <cstddef>

namespace tilewright {

struct RuntimeSymbol {
  const char *name;
  void *address;
};

/// The table made from Symbols.def, sorted as written there.
const RuntimeSymbol *runtimeSymbols(size_t &count);

/// True if an object may leave `name` undefined.
bool isRuntimeSymbol(const char *name, size_t length);

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_SYMBOLS_H
