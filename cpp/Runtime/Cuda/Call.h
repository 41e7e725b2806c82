//===- Call.h - One call of a device's program ----------------------------===//

#ifndef TILEWRIGHT_RUNTIME_CUDA_CALL_H
#define TILEWRIGHT_RUNTIME_CUDA_CALL_H

#include "Cuda/Graphs.h"
#include "Cuda/Views.h"
#include "Executable.h"

#include <deque>

namespace tilewright::cuda {

/// What an executable keeps between calls on a device.
struct State {
  State(Device &device, Program &program) : device(device), program(program), graphs(device) {}

  Device &device;
  Program &program;
  std::deque<View> bound;                ///< the weights, per argument
  std::vector<pybind11::object> weights; ///< what `bound` looks at
  std::vector<std::vector<int64_t>> strides;
  Graphs graphs;
};

/// Settings of the process, from tilewright.config.
struct Options {
  bool graphs = true;
  bool waiting = false; ///< for each launch
  bool overlapping = true;
};
Options &options();

/// One call under way: reads the arguments, makes what it returns, runs.
class DeviceCall {
public:
  DeviceCall(Executable &executable, PyObject *const *passed, size_t count)
      : executable(executable), code(*executable.code), passed(passed), count(count) {}

  /// Sets `outputs` (new references). Throws Failure and Python's errors.
  Outcome run(PyObject **outputs);

  /// Packs a weight: runs load entry `index` on `sources`.
  pybind11::object load(size_t index);

private:
  struct Argument {
    View view;
    pybind11::object object; ///< an array on the device, whatever was passed
    int64_t strides[32];
    int64_t scalar = 0;
  };

  bool readArguments(const std::vector<Code::Slot> &slots, const uint32_t *places, bool checked);
  Device &chooseDevice();
  void enter(Device &chosen);
  Program &programOn(Device &device);
  std::shared_ptr<State> stateOn(Device &device);
  void bindWeights(State &state);
  TwArg argumentOf(Argument &argument);
  void place(Argument &argument, size_t index, bool kept);
  void waitFor(const View &view);
  void pack(Argument &argument, size_t index);
  void keepForeign();
  void usePacked(Pointer memory);
  pybind11::object makeArray(const Code::Slot &slot, const int64_t *dims, Pointer &pointer);
  pybind11::object makeBytes(int64_t bytes, Pointer &pointer);
  Outcome makeOutputs();
  Outcome separateOverlaps();
  Outcome execute(State &state);
  bool replay(State &state, Graphs::Entry &entry, size_t arenaBytes);
  int32_t runMain(const GraphMemory &bytes, Pointer memory, DeviceRt &rt);
  Outcome report(const DeviceRt &rt, int32_t status);

  Executable &executable;
  Code &code;
  PyObject *const *passed;
  size_t count;
  std::shared_ptr<State> state; ///< another call may put its own into the executable meanwhile
  Device *device = nullptr;
  Stream stream = nullptr;
  uint32_t kinds = 0;
  pybind11::object provider;
  std::deque<Argument> arguments;
  std::vector<TwArg> in, out;
  std::vector<int64_t> outDims, outStrides;
  std::vector<pybind11::object> results;
  std::vector<pybind11::object> temporaries;
  int64_t scratchBytes = 0;
  bool captured = false; ///< the caller records the stream
  /// Small arrays of the CPU, copied together: arguments with their places, and the bytes.
  std::vector<std::pair<uint32_t, size_t>> packed;
  std::vector<unsigned char> packedBytes;
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_CALL_H
