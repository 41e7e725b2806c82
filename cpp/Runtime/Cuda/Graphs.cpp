//===- Graphs.cpp - Host functions recorded as CUDA graphs ----------------===//

#include "Cuda/Graphs.h"

#include <algorithm>

using namespace tilewright::cuda;

namespace {

/// Sizes in use at a time; each may hold an arena.
constexpr size_t mostEntries = 8;

/// One recording at a time: all use the device's one stream for it.
std::mutex recording;

/// The bytes of a launch's arguments, one after another.
void gather(const Program::Kernel &kernel, void **arguments, std::vector<unsigned char> &bytes) {
  bytes.clear();
  for (size_t i = 0; i < kernel.parameters->size(); ++i) {
    auto *from = static_cast<const unsigned char *>(arguments[i]);
    bytes.insert(bytes.end(), from, from + (*kernel.parameters)[i]);
  }
}

/// Launches on a stream that records, and remembers which node each became.
class Recorder : public LaunchSink {
public:
  Recorder(Graphs::Entry &entry, Stream stream) : entry(entry), api(entry.device.driver.api), stream(stream) {
    entry.launches.clear();
    entry.patchable = api.captureInfo && api.graphSetKernel;
  }

  Result launch(const Program::Kernel &kernel, unsigned blocks, unsigned threads, void **arguments,
                bool overlaps) override {
    if (Result result = start(api, kernel, blocks, threads, stream, arguments, overlaps))
      return result;
    entry.patchable = entry.patchable && remember(kernel, blocks, threads, arguments);
    return success;
  }

private:
  bool remember(const Program::Kernel &kernel, unsigned blocks, unsigned threads, void **arguments) {
    int status = 0;
    const GraphNode *last = nullptr;
    size_t count = 0;
    // Whatever comes next on the stream depends on the launch that was just recorded, and on nothing else.
    if (!kernel.parameters || api.captureInfo(stream, &status, nullptr, nullptr, &last, &count) != success ||
        count != 1)
      return false;
    GraphLaunch &launch = entry.launches.emplace_back();
    launch = {&kernel, blocks, threads, {}, *last};
    gather(kernel, arguments, launch.parameters);
    return true;
  }

  Graphs::Entry &entry;
  const Api &api;
  Stream stream;
};

/// Compares launches with those of a graph, and changes the nodes that differ.
class Patcher : public LaunchSink {
public:
  explicit Patcher(Graphs::Entry &entry) : entry(entry) {}

  Result launch(const Program::Kernel &kernel, unsigned blocks, unsigned threads, void **arguments,
                bool /*overlaps: as it was recorded*/) override {
    if (next == entry.launches.size())
      return updateFailure;
    GraphLaunch &known = entry.launches[next++];
    if (known.kernel != &kernel || known.threads != threads)
      return updateFailure;
    gather(kernel, arguments, bytes);
    if (known.blocks == blocks && known.parameters == bytes)
      return success;
    KernelNode node{kernel.function, blocks, 1, 1, threads, 1, 1, static_cast<unsigned>(kernel.spec->shared),
                    arguments};
    if (Result result = entry.device.driver.api.graphSetKernel(entry.graph, known.node, &node))
      return result;
    known.blocks = blocks;
    known.parameters.swap(bytes);
    return success;
  }

  bool complete() const { return next == entry.launches.size(); }

private:
  Graphs::Entry &entry;
  size_t next = 0;
  std::vector<unsigned char> bytes;
};

} // namespace

void Graphs::Entry::drop() {
  if (graph)
    device.driver.api.graphExecDestroy(graph);
  if (source)
    device.driver.api.graphDestroy(source);
  graph = nullptr;
  source = nullptr;
  patchable = false;
  facts.clear();
  launches.clear();
}

Graphs::Entry::~Entry() { drop(); }

std::shared_ptr<Graphs::Entry> Graphs::find(const std::vector<int64_t> &sizes, Stream stream) {
  ++uses;
  size_t counted = 0;
  for (auto &entry : entries) {
    counted += !entry->roving;
    if (!entry->roving && entry->stream == stream && entry->sizes == sizes) {
      entry->lastUse = uses;
      return entry;
    }
  }
  if (counted >= mostEntries)
    entries.erase(std::min_element(entries.begin(), entries.end(), [](auto &one, auto &two) {
      return std::pair(one->roving, one->lastUse) < std::pair(two->roving, two->lastUse);
    }));
  auto entry = std::make_shared<Entry>(device);
  entry->sizes = sizes;
  entry->stream = stream;
  entry->lastUse = uses;
  entries.push_back(entry);
  return entry;
}

std::shared_ptr<Graphs::Entry> Graphs::roving(Stream stream) {
  for (auto &entry : entries)
    if (entry->roving) {
      if (entry->stream == stream)
        return entry;
      entries.erase(std::find(entries.begin(), entries.end(), entry)); // of the stream before
      break;
    }
  auto entry = std::make_shared<Entry>(device);
  entry->stream = stream;
  entry->roving = true;
  entries.push_back(entry);
  return entry;
}

bool Graphs::replay(Entry &entry, std::vector<uint64_t> facts, const HostFunction &run,
                    const std::function<void()> &before) {
  std::lock_guard<std::mutex> lock(mutex);
  if (entry.useless())
    return false;
  if (!entry.graph || entry.facts != facts) {
    if (!change(entry, run) && !record(entry, run)) {
      ++entry.failures;
      entry.drop();
      return false;
    }
    entry.facts = std::move(facts);
  }
  entry.failures = 0;
  before();
  device.driver.check(device.driver.api.graphLaunch(entry.graph, entry.stream), "starting a graph of launches");
  return true;
}

/// A few hundred comparisons, and a call of the driver for each launch that differs.
bool Graphs::change(Entry &entry, const HostFunction &run) {
  if (!entry.graph || !entry.patchable)
    return false;
  Patcher patcher(entry);
  entry.facts.clear(); // half changed, should it fail
  return run(patcher) && patcher.complete();
}

bool Graphs::record(Entry &entry, const HostFunction &run) {
  const Api &api = device.driver.api;
  if (!api.graphInstantiate || !api.graphUpdate || !api.graphLaunch || !api.graphDestroy || !api.graphExecDestroy)
    return false;
  if (entry.patchable)
    entry.drop(); // other launches than the graph has
  Graph graph = nullptr;
  bool recorded = false;
  {
    std::lock_guard<std::mutex> lock(recording);
    Stream stream = device.captureStream();
    if (api.beginCapture(stream, captureThreadLocal) != success)
      return false;
    Recorder recorder(entry, stream);
    recorded = run(recorder);
    if (api.endCapture(stream, &graph) != success || !graph) {
      device.dropCaptureStream();
      recorded = false;
    }
  }
  if (recorded && entry.graph) {
    GraphUpdate update{};
    if (api.graphUpdate(entry.graph, graph, &update) == success) {
      entry.patchable = false; // its nodes are those of the graph that it was made from
      api.graphDestroy(graph);
      return true;
    }
    // Another number of launches, or other kernels: a new graph is always right.
    api.graphExecDestroy(entry.graph);
    entry.graph = nullptr;
  }
  if (entry.source)
    api.graphDestroy(entry.source);
  entry.source = graph;
  return recorded && api.graphInstantiate(&entry.graph, graph, 0) == success;
}
