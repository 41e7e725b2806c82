//===- Graphs.h - Host functions recorded as CUDA graphs ------------------===//
//
// Where a host function only launches, what it launches depends on the sizes of
// its arguments and their addresses. The first call of some sizes runs it as it
// is and sees whether that holds; the next ones record the launches into a
// graph, and replay it as long as sizes and addresses stay. Where they change,
// the host function runs once more, and those nodes whose launch differs are
// told so: one graph serves all steps of a computation whose arrays grow.
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

/// One launch of a graph, as it was told last.
struct GraphLaunch {
  const Program::Kernel *kernel = nullptr;
  unsigned blocks = 0, threads = 0;
  std::vector<unsigned char> parameters; ///< one after another
  GraphNode node = nullptr;
};

/// Memory of a call of a graph: one piece, in this order.
struct GraphMemory {
  size_t stack = 0;     ///< bytes for what kernels push
  size_t arguments = 0; ///< for small arrays of the CPU
  size_t arena = 0;     ///< for planned intermediates
  size_t total() const { return stack + arguments + arena; }
  bool covers(const GraphMemory &other) const {
    return stack >= other.stack && arguments >= other.arguments && arena >= other.arena;
  }
};

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
    Stream stream = nullptr;    ///< memory belongs to it
    bool roving = false;        ///< for any sizes
    unsigned calls = 0;
    size_t stackBytes = 0; ///< that earlier calls would have liked
    bool suitable = false; ///< for recording
    unsigned failures = 0; ///< recordings that failed, one after another
    pybind11::object memory;
    Pointer address = 0;
    GraphMemory bytes;                 ///< of `memory`
    Graph source = nullptr;            ///< its nodes name those of `graph`
    GraphExec graph = nullptr;         ///< ready to start
    std::vector<uint64_t> facts;       ///< addresses and sizes that the graph has
    std::vector<GraphLaunch> launches; ///< of the graph, in order
    bool patchable = false;            ///< the driver has said all that changing nodes wants
    uint64_t lastUse = 0;

    void drop();
    bool useless() const { return failures >= (roving ? 3 : 1); }
  };

  /// The entry of some sizes, made if there is none. Needs the interpreter's
  /// lock, as do the entries' ends.
  std::shared_ptr<Entry> find(const std::vector<int64_t> &sizes, Stream stream);

  /// The entry whose graph is changed for sizes that were not seen lately.
  std::shared_ptr<Entry> roving(Stream stream);

  /// Runs a host function whose launches go to the sink; false if it did more than launch.
  using HostFunction = std::function<bool(LaunchSink &)>;

  /// Replays the entry's graph on its stream, changed or recorded anew if it
  /// has other facts, after `before`. Returns false, having done nothing, if that cannot be recorded.
  bool replay(Entry &entry, std::vector<uint64_t> facts, const HostFunction &run, const std::function<void()> &before);

private:
  bool change(Entry &entry, const HostFunction &run);
  bool record(Entry &entry, const HostFunction &run);

  Device &device;
  std::mutex mutex;
  std::vector<std::shared_ptr<Entry>> entries;
  uint64_t uses = 0;
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_GRAPHS_H
