//===- Graphs.h - Host functions recorded as CUDA graphs ------------------===//
//
// Where a host function only launches, what it launches depends on the sizes of
// its arguments and their addresses. The first call of some sizes runs it as it
// is and sees whether that holds; the next ones record the launches into a
// graph, and replay it as long as the addresses stay. Other addresses record
// again into the same graph.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_CUDA_GRAPHS_H
#define TILEWRIGHT_RUNTIME_CUDA_GRAPHS_H

#include "Cuda/Program.h"

#include <functional>
#include <memory>
#include <mutex>
#include <pybind11/pybind11.h>
#include <vector>

namespace tilewright::cuda {

/// What is known of calls by their sizes, and the launches that were recorded,
/// of one executable on one device.
class Graphs {
public:
  explicit Graphs(Device &device) : device(device) {}

  struct Entry {
    explicit Entry(Device &device) : device(device) {}
    ~Entry();

    Device &device;
    std::vector<int64_t> sizes; ///< of all arguments of a call
    Stream stream = nullptr;    ///< memory of the arena belongs to it
    size_t stackBytes = 0;      ///< that earlier calls would have liked
    bool suitable = false;      ///< for recording
    bool useless = false;       ///< recording failed once
    pybind11::object arena;
    Pointer arenaMemory = 0;
    GraphExec graph = nullptr;
    std::vector<Pointer> addresses; ///< that the graph has
    uint64_t lastUse = 0;
  };

  /// The entry of some sizes, made if there is none. Needs the interpreter's
  /// lock, as do the entries' ends.
  std::shared_ptr<Entry> find(const std::vector<int64_t> &sizes, Stream stream);

  /// Replays the entry's graph on its stream, recorded anew by `record` (which
  /// launches on the stream that it is given) if it has other addresses.
  /// Returns false, having done nothing, if that cannot be recorded.
  bool replay(Entry &entry, std::vector<Pointer> addresses, const std::function<bool(Stream)> &record);

private:
  bool recordInto(Entry &entry, const std::function<bool(Stream)> &record);

  Device &device;
  std::mutex mutex;
  std::vector<std::shared_ptr<Entry>> entries;
  uint64_t uses = 0;
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_GRAPHS_H
