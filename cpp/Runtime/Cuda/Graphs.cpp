//===- Graphs.cpp - Host functions recorded as CUDA graphs ----------------===//

#include "Cuda/Graphs.h"

#include <algorithm>

using namespace tilewright::cuda;

namespace {

/// Sizes in use at a time; each may hold an arena.
constexpr size_t mostEntries = 8;

/// One recording at a time: all use the device's one stream for it.
std::mutex recording;

} // namespace

Graphs::Entry::~Entry() {
  if (graph)
    device.driver.api.graphExecDestroy(graph);
}

std::shared_ptr<Graphs::Entry> Graphs::find(const std::vector<int64_t> &sizes, Stream stream) {
  ++uses;
  for (auto &entry : entries)
    if (entry->stream == stream && entry->sizes == sizes) {
      entry->lastUse = uses;
      return entry;
    }
  if (entries.size() >= mostEntries)
    entries.erase(std::min_element(entries.begin(), entries.end(),
                                   [](auto &one, auto &two) { return one->lastUse < two->lastUse; }));
  auto entry = std::make_shared<Entry>(device);
  entry->sizes = sizes;
  entry->stream = stream;
  entry->lastUse = uses;
  entries.push_back(entry);
  return entry;
}

bool Graphs::replay(Entry &entry, std::vector<Pointer> addresses, const std::function<bool(Stream)> &record) {
  std::lock_guard<std::mutex> lock(mutex);
  if (entry.useless)
    return false;
  if (!entry.graph || entry.addresses != addresses) {
    if (!recordInto(entry, record)) {
      entry.useless = true;
      return false;
    }
    entry.addresses = std::move(addresses);
  }
  device.driver.check(device.driver.api.graphLaunch(entry.graph, entry.stream), "starting a graph of launches");
  return true;
}

bool Graphs::recordInto(Entry &entry, const std::function<bool(Stream)> &record) {
  const Api &api = device.driver.api;
  if (!api.graphInstantiate || !api.graphUpdate || !api.graphLaunch || !api.graphDestroy || !api.graphExecDestroy)
    return false;
  Graph graph = nullptr;
  bool recorded = false;
  {
    std::lock_guard<std::mutex> lock(recording);
    Stream stream = device.captureStream();
    if (api.beginCapture(stream, captureThreadLocal) != success)
      return false;
    recorded = record(stream);
    if (api.endCapture(stream, &graph) != success || !graph) {
      device.dropCaptureStream();
      recorded = false;
    }
  }
  if (recorded && entry.graph) {
    GraphUpdate update{};
    if (api.graphUpdate(entry.graph, graph, &update) != success) {
      // Another number of launches, or other kernels: not for the same sizes, but a new graph is always right.
      api.graphExecDestroy(entry.graph);
      entry.graph = nullptr;
    }
  }
  if (recorded && !entry.graph)
    recorded = api.graphInstantiate(&entry.graph, graph, 0) == success;
  if (!recorded)
    entry.addresses.clear();
  if (graph)
    api.graphDestroy(graph);
  return recorded;
}
