//===- Keep.cpp - Arrays that kernels may still be reading ----------------===//

#include "Cuda/Keep.h"

#include <list>

namespace py = pybind11;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

struct Kept {
  Device &device;
  Event event;
  std::vector<py::object> objects;
};

/// Never destroyed: at the end of the process there is no interpreter that objects could be given back to.
std::list<Kept> &all() {
  static auto *kept = new std::list<Kept>;
  return *kept;
}

/// Whether nothing on the way to an event can read any more: it has come, or an error has ended all work of the context.
/// While another thread records in a way that forbids to ask, nothing is known.
bool isOver(Result result) {
  return result != notReady && (result < captureUnsupported || result > captureWrongThread);
}

} // namespace

void cuda::keep(Device &device, Stream stream, std::vector<py::object> objects) {
  const Api &api = device.driver.api;
  Event event = nullptr;
  device.driver.check(api.eventCreate(&event, eventNoTiming), "making an event");
  Result result = api.eventRecord(event, stream);
  if (result != success) {
    api.eventDestroy(event);
    // Nobody would say when they may go: they go when all is done.
    api.synchronise();
    device.driver.check(result, "marking what reads an argument");
  }
  all().push_back({device, event, std::move(objects)});
}

void cuda::letGo() {
  std::list<Kept> done; // what objects do when they go may come back here
  for (auto kept = all().begin(); kept != all().end();) {
    auto next = std::next(kept);
    Device::Use use(kept->device);
    if (isOver(kept->device.driver.api.eventQuery(kept->event))) {
      kept->device.driver.api.eventDestroy(kept->event);
      done.splice(done.end(), all(), kept);
    }
    kept = next;
  }
}
