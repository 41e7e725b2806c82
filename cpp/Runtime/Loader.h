//===- Loader.h - Object bytes to callable functions ----------------------===//
//
// A linker in the process and nothing more: no code generator is linked in. One
// session serves the whole process; each object lives in a library of its own
// that goes away with its last user.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_LOADER_H
#define TILEWRIGHT_RUNTIME_LOADER_H

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tilewright {

/// The functions of one linked object. Destroying it unmaps the code.
class LoadedObject {
public:
  /// Links `object` and looks up `entries`, in order. Returns null and sets
  /// `error` if the bytes are no object for this machine, leave symbols
  /// undefined that Symbols.def does not list, or lack an entry.
  /// Profilers and messages call it `name`.
  static std::unique_ptr<LoadedObject> load(std::string_view object, const std::string &name,
                                            const std::vector<std::string> &entries, std::string &error);
  ~LoadedObject();

  LoadedObject(const LoadedObject &) = delete;
  LoadedObject &operator=(const LoadedObject &) = delete;

  void *address(size_t entry) const { return addresses[entry]; }

private:
  LoadedObject() = default;

  void *library = nullptr;
  std::vector<void *> addresses;
};

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_LOADER_H
