//===- streams.cpp - Streams, events, graphs and launches of the fake driver -===//

#include "fake.h"

using namespace fake;

namespace {

/// Handles of nodes: never followed, never the same.
uintptr_t lastNode = 0x1000;

Result runLaunch(const Launch &launch) {
  Driver &d = driver();
  int failed =
      d.callbacks.launch(launch.function->module->number, launch.function->name.c_str(), launch.grid, launch.block,
                         launch.shared, launch.cluster, launch.parameters.data(), launch.overlaps);
  return failed ? launchFailed : success;
}

/// Checks a launch as the driver does, and takes its parameters.
Result prepare(Driver &d, Launch &launch, void **parameters) {
  if (!known(d.functions, launch.function) || !parameters)
    return invalidHandle;
  Function &function = *launch.function;
  uint64_t threads = uint64_t{launch.block[0]} * launch.block[1] * launch.block[2];
  if (threads < 1 || threads > 1024 || launch.grid[0] < 1 || launch.grid[0] > 0x7fffffff || launch.grid[1] != 1 ||
      launch.grid[2] != 1 || launch.grid[0] % launch.cluster[0])
    return invalidValue;
  if (launch.shared > static_cast<unsigned>(function.maxShared))
    return invalidValue;
  for (size_t i = 0; i < function.sizes.size(); ++i) {
    auto *from = static_cast<unsigned char *>(parameters[i]);
    if (!from)
      return invalidValue;
    launch.parameters.insert(launch.parameters.end(), from, from + function.sizes[i]);
  }
  return success;
}

} // namespace

Result fake::launchOn(Driver &d, void *handle, Launch launch, void **parameters) {
  Stream *stream = d.stream(handle);
  if (!stream)
    return invalidHandle;
  if (Result result = prepare(d, launch, parameters))
    return result;
  d.note("launch " + launch.function->name + " " + std::to_string(launch.grid[0]) + " " +
         std::to_string(launch.block[0] * launch.block[1] * launch.block[2]) +
         (stream->recording ? " recorded" : " stream " + std::to_string(stream->number)));
  if (stream->recording) {
    launch.node = reinterpret_cast<void *>(++lastNode);
    stream->recording->nodes.push_back(std::move(launch));
    return success;
  }
  return d.enqueue(stream, [launch] { return runLaunch(launch); });
}

bool fake::isRecording(Stream *stream) {
  if (stream->recording)
    stream->recording->valid = false;
  return stream->recording != nullptr;
}

ENTRY int cuStreamCreate(void **handle, unsigned flags) {
  BEGIN(cuStreamCreate, true)
  d.streams.push_back(std::make_unique<Stream>());
  d.streams.back()->blocking = !(flags & 1);
  d.streams.back()->number = static_cast<int>(d.streams.size()) - 1;
  *handle = d.streams.back().get();
  return success;
}

ENTRY int cuStreamSynchronize(void *handle) {
  BEGIN(cuStreamSynchronize, true)
  Stream *stream = d.stream(handle);
  if (!stream || isRecording(stream))
    return stream ? captureUnsupported : invalidHandle;
  if (stream == d.streams[0].get()) { // the default stream waits for all that are not apart
    d.enqueue(stream, nullptr);
  }
  return d.complete(stream->last);
}

ENTRY int cuStreamIsCapturing(void *handle, int *status) {
  BEGIN(cuStreamIsCapturing, true)
  Stream *stream = d.stream(handle);
  if (!stream)
    return invalidHandle;
  *status = stream->recording ? 1 : 0;
  return success;
}

ENTRY int cuStreamWaitEvent(void *handle, void *event, unsigned) {
  BEGIN(cuStreamWaitEvent, true)
  Stream *stream = d.stream(handle);
  Event *known_ = known(d.events, event);
  if (!stream || !known_)
    return invalidHandle;
  if (isRecording(stream)) // for work outside of the recording
    return captureIsolation;
  return d.enqueue(stream, nullptr, known_->op ? std::vector<OpPtr>{known_->op} : std::vector<OpPtr>{});
}

ENTRY int cuEventCreate(void **event, unsigned) {
  BEGIN(cuEventCreate, true)
  d.events.push_back(std::make_unique<Event>());
  *event = d.events.back().get();
  return success;
}

ENTRY int cuEventRecord(void *event, void *handle) {
  BEGIN(cuEventRecord, true)
  Stream *stream = d.stream(handle);
  Event *known_ = known(d.events, event);
  if (!stream || !known_)
    return invalidHandle;
  d.enqueue(stream, nullptr);
  known_->op = stream->last;
  return success;
}

ENTRY int cuEventQuery(void *event) {
  BEGIN(cuEventQuery, true)
  Event *known_ = known(d.events, event);
  if (!known_)
    return invalidHandle;
  return !known_->op || known_->op->done ? success : notReady;
}

ENTRY int cuEventDestroy_v2(void *event) {
  BEGIN(cuEventDestroy_v2, true)
  forget(d.events, event);
  return success;
}

ENTRY int cuStreamBeginCapture_v2(void *handle, int) {
  BEGIN(cuStreamBeginCapture_v2, true)
  Stream *stream = d.stream(handle);
  if (!stream || stream == d.streams[0].get() || stream->recording)
    return captureUnsupported;
  stream->recording = std::make_unique<Graph>();
  return success;
}

ENTRY int cuStreamEndCapture(void *handle, void **graph) {
  BEGIN(cuStreamEndCapture, true)
  Stream *stream = d.stream(handle);
  if (!stream || !stream->recording)
    return captureUnsupported;
  std::unique_ptr<Graph> recorded = std::move(stream->recording);
  if (!recorded->valid) {
    *graph = nullptr;
    return captureInvalidated;
  }
  d.graphs.push_back(std::move(recorded));
  *graph = d.graphs.back().get();
  return success;
}

ENTRY int cuStreamGetCaptureInfo_v2(void *handle, int *status, uint64_t *, void **, void *const **nodes,
                                    size_t *count) {
  BEGIN(cuStreamGetCaptureInfo_v2, true)
  Stream *stream = d.stream(handle);
  if (!stream)
    return invalidHandle;
  static void *last;
  *status = stream->recording ? 1 : 0;
  *count = stream->recording && !stream->recording->nodes.empty() ? 1 : 0;
  last = *count ? stream->recording->nodes.back().node : nullptr;
  *nodes = &last;
  return success;
}

ENTRY int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
  BEGIN(cuGraphInstantiateWithFlags, true)
  Graph *source = known(d.graphs, graph);
  if (!source)
    return invalidHandle;
  d.executables.push_back(std::make_unique<Graph>(*source));
  d.executables.back()->source = source;
  *executable = d.executables.back().get();
  d.note("instantiate");
  return success;
}

ENTRY int cuGraphExecUpdate_v2(void *executable, void *graph, void *) {
  BEGIN(cuGraphExecUpdate_v2, true)
  Graph *target = known(d.executables, executable), *source = known(d.graphs, graph);
  if (!target || !source)
    return invalidHandle;
  if (target->nodes.size() != source->nodes.size())
    return updateFailure;
  for (size_t i = 0; i < target->nodes.size(); ++i)
    if (target->nodes[i].function->module != source->nodes[i].function->module)
      return updateFailure;
  for (size_t i = 0; i < target->nodes.size(); ++i) {
    void *node = target->nodes[i].node;
    target->nodes[i] = source->nodes[i];
    target->nodes[i].node = node;
  }
  d.note("update");
  return success;
}

struct KernelNode {
  void *function;
  unsigned grid[3], block[3], shared;
  void **parameters, **extra;
  void *kernel, *context;
};

ENTRY int cuGraphExecKernelNodeSetParams_v2(void *executable, void *node, const KernelNode *changed) {
  BEGIN(cuGraphExecKernelNodeSetParams_v2, true)
  Graph *target = known(d.executables, executable);
  // The node is one of the graph that it was made from, which must still be there.
  if (!target || !known(d.graphs, target->source) || changed->extra)
    return invalidHandle;
  for (Launch &launch : target->nodes) {
    if (launch.node != node)
      continue;
    Launch next{static_cast<Function *>(changed->function), {}, {}, changed->shared, {}, {}, node};
    std::copy(changed->grid, changed->grid + 3, next.grid);
    std::copy(changed->block, changed->block + 3, next.block);
    std::copy(launch.cluster, launch.cluster + 3, next.cluster);
    next.overlaps = launch.overlaps;
    if (Result result = prepare(d, next, changed->parameters))
      return result;
    launch = std::move(next);
    d.note("change " + launch.function->name);
    return success;
  }
  return invalidValue;
}

ENTRY int cuGraphLaunch(void *executable, void *handle) {
  BEGIN(cuGraphLaunch, true)
  Graph *graph = known(d.executables, executable);
  Stream *stream = d.stream(handle);
  if (!graph || !stream)
    return invalidHandle;
  d.note("replay " + std::to_string(graph->nodes.size()));
  for (const Launch &node : graph->nodes)
    d.enqueue(stream, [node] { return runLaunch(node); });
  return success;
}

ENTRY int cuGraphDestroy(void *graph) {
  BEGIN(cuGraphDestroy, true)
  forget(d.graphs, graph);
  return success;
}

ENTRY int cuGraphExecDestroy(void *executable) {
  BEGIN(cuGraphExecDestroy, true)
  forget(d.executables, executable);
  return success;
}
