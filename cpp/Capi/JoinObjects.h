//===- JoinObjects.h - Several objects become one -----------------*- C++ -*-===//
#ifndef TILEWRIGHT_CAPI_JOINOBJECTS_H
#define TILEWRIGHT_CAPI_JOINOBJECTS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace tilewright {

/// Joins relocatable ELF objects of x86-64 into one, as `ld -r` and then `objcopy --localize-hidden` would: sections stand
/// side by side, references between the objects are resolved, what they shared under hidden names becomes local.
/// Returns nothing and sets `error` for what the code generator does not emit (section groups, REL relocations).
llvm::SmallVector<char, 0> joinObjects(llvm::ArrayRef<llvm::StringRef> objects, std::string &error);

} // namespace tilewright

#endif // TILEWRIGHT_CAPI_JOINOBJECTS_H
