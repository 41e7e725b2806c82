//===- Module.cpp - The Python module `tilewright._runtime`
//----------------===//

#include "Cuda/Memory.h"
#include "Memory.h"
#include "Objects.h"
#include "PerfMap.h"
#include "Symbols.h"
#include "ThreadPool.h"

#include <chrono>

namespace py = pybind11;
using namespace tilewright;

namespace {

/// Mean nanoseconds of a parallel loop with empty bodies.
double measureForkJoin(int rounds) {
  py::gil_scoped_release release;
  auto empty = [](void *, int64_t, int64_t) {};
  int64_t n = 4096;
  parallelFor(empty, nullptr, n); // wakes the workers
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i)
    parallelFor(empty, nullptr, n);
  std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
  return time.count() / rounds;
}

} // namespace

PYBIND11_MODULE(_runtime, module) {
  module.doc() = "Loads and calls native code compiled by Tilewright.";
  module.attr("ABI_VERSION") = TW_ABI_VERSION;
  initMemory();
  addExecutableType(module);
  addDispatcherType(module);
  cuda::addDevices(module);

  module.def("num_threads", &numThreads, "Threads of a parallel loop.");
  module.def("set_num_threads", &setNumThreads, py::arg("count"), py::call_guard<py::gil_scoped_release>(),
             "Sets the number of threads; 0 is the default (affinity, cgroup quota).");
  module.def("release_memory", &releaseKeptMemory, "Gives back memory kept for later outputs; returns the bytes.");
  module.def("available_processors", &availableProcessors, "Processors that affinity and the cgroup's quota leave.");
  module.def("set_spin_microseconds", &setSpinMicroseconds, py::arg("microseconds"),
             "How long an idle worker spins before it sleeps.");
  module.def("set_perf_map", &setPerfMap, py::arg("enabled"),
             "Whether code that is loaded from now on is named in /tmp/perf-<process>.map.");
  module.def("measure_fork_join", &measureForkJoin, py::arg("rounds") = 1000,
             "Mean nanoseconds of an empty parallel loop.");
  module.def(
      "allowed_symbols",
      [] {
        py::list names;
        size_t count;
        const RuntimeSymbol *table = runtimeSymbols(count);
        for (size_t i = 0; i < count; ++i)
          names.append(py::str(table[i].name));
        return py::tuple(names);
      },
      "Names that an object may leave undefined.");
  module.def("from_dlpack", &fromDlpack, py::arg("producer"),
             "A NumPy array on the memory of an object with __dlpack__, or of "
             "a DLPack capsule; bfloat16 too.");
  module.def("to_dlpack", &toDlpack, py::arg("array"),
             "A DLPack capsule on the memory of a NumPy array; bfloat16 too.");
}
