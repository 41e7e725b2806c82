//===- Call.cpp - One call of a device's program --------------------------===//
//
// As Executable::callOwn does it on the CPU, with what a device adds: the arrays
// may be of any library and lie anywhere, memory comes from the library that the
// caller uses, and everything is put on the caller's stream and not waited for.
//
//===----------------------------------------------------------------------===//

#include "Cuda/Call.h"

#include "Cuda/Keep.h"
#include "Objects.h"
#include "Slots.h"

#include <algorithm>
#include <cstring>
#include <pybind11/stl.h>

namespace py = pybind11;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Fewer launches than this cost no more one by one than as a graph.
constexpr unsigned leastLaunches = 4;

/// Kernels read and write so many bytes at once, and tensor maps begin at such addresses.
constexpr Pointer wideAccess = 16;

/// Arrays of the CPU up to this size are copied together.
constexpr int64_t smallArray = 64 << 10;

bool isAligned(const View &view) { return view.data % wideAccess == 0; }

py::object devicesModule() { return py::module_::import("tilewright.runtime.devices"); }

} // namespace

Options &cuda::options() {
  static Options settings;
  return settings;
}

bool DeviceCall::readArguments(const std::vector<Code::Slot> &slots, const uint32_t *places, bool checked) {
  std::vector<int64_t> symbols(code.manifest.symbols.size(), anySize);
  for (size_t i = 0; i < count; ++i) {
    Argument &argument = arguments.emplace_back();
    View &view = argument.view;
    const Code::Slot *slot = checked ? &slots[places ? places[i] : i] : nullptr;
    PyObject *object = passed[i];
    if (isScalar(object)) {
      if (!slot || slot->rank != 0 || !storeScalar(object, slot->scalar, &argument.scalar))
        return false;
      view.host = &argument.scalar;
      view.descr = py::reinterpret_borrow<py::object>(slot->descr);
      continue;
    }
    if (!readView(object, view))
      return false;
    argument.object = py::reinterpret_borrow<py::object>(object);
    kinds |= 1u << view.kind;
    if (slot && (!sameDtype(view.descr.ptr(), slot->descr) || view.rank != slot->rank ||
                 !dimsFit(*slot, code.manifest, view.dims, symbols.data())))
      return false;
  }
  return true;
}

Device &DeviceCall::chooseDevice() {
  int ordinal = static_cast<int>(code.manifest.device->ordinal);
  for (Argument &argument : arguments) {
    int found = argument.view.device;
    if (found >= 0 && ordinal >= 0 && found != ordinal)
      throw Failure(Failure::Other, "an argument lies on GPU " + std::to_string(found) + ", the call is for GPU " +
                                        std::to_string(ordinal));
    if (found >= 0)
      ordinal = found;
  }
  if (ordinal < 0 && executable.deviceState)
    return executable.deviceState->device;
  // Before the first call, weights that lie on a device already say which.
  for (size_t i = 0; ordinal < 0 && i < executable.bound.size(); ++i) {
    View view;
    if (executable.bound[i] && !isArray(executable.bound[i]) && readView(executable.bound[i], view))
      ordinal = view.device;
  }
  return Driver::current().device(ordinal < 0 ? 0 : ordinal);
}

void DeviceCall::enter(Device &chosen) {
  device = &chosen;
  provider = devicesModule().attr("provider")(kinds);
  stream = reinterpret_cast<Stream>(provider.attr("stream")(device->ordinal).cast<uintptr_t>());
}

/// The kernels on a device. The driver may compile for seconds, while other threads run Python.
Program &DeviceCall::programOn(Device &chosen) {
  py::gil_scoped_release unlocked;
  std::lock_guard<std::mutex> lock(code.deviceMutex);
  std::unique_ptr<Program> &program = code.devicePrograms[&chosen];
  if (!program)
    program = std::make_unique<Program>(chosen, *code.manifest.device, code.deviceText, code.deviceImage);
  return *program;
}

std::shared_ptr<State> DeviceCall::stateOn(Device &chosen) {
  auto isThere = [&] { return executable.deviceState && &executable.deviceState->device == &chosen; };
  if (isThere())
    return executable.deviceState;
  auto made = std::make_shared<State>(chosen, programOn(chosen));
  bindWeights(*made);
  if (!isThere()) // loading code and copying weights lets other threads run
    executable.deviceState = made;
  return executable.deviceState;
}

/// Weights go to the device once, and stay there.
void DeviceCall::bindWeights(State &state) {
  size_t total = code.arguments.size();
  state.bound.resize(total);
  state.weights.resize(total);
  state.strides.resize(total);
  for (size_t i = 0; i < total; ++i) {
    PyObject *&object = executable.bound[i];
    if (!object)
      continue;
    View &view = state.bound[i];
    const Code::Slot &slot = code.arguments[i];
    auto &weight = state.weights[i] = py::reinterpret_borrow<py::object>(object);
    bool known = readView(weight.ptr(), view);
    if (known && (view.host || !view.dense || !isAligned(view))) {
      weight = devicesModule().attr("resident")(weight, state.device.ordinal);
      view = View();
      known = readView(weight.ptr(), view);
      Py_SETREF(object, weight.inc_ref().ptr()); // the copy on the CPU may go
    }
    bool fits = known && sameDtype(view.descr.ptr(), slot.descr) && view.rank == slot.rank;
    for (int d = 0; fits && d < slot.rank; ++d)
      fits = slot.shape[d] == anySize || slot.shape[d] == view.dims[d];
    if (!fits) {
      raiseFrom("bind_error", py::make_tuple(py::handle(executable.self), i, weight));
      throw py::error_already_set();
    }
    if (view.device >= 0 && view.device != state.device.ordinal)
      throw Failure(Failure::Other, "a weight lies on GPU " + std::to_string(view.device) + ", the call is for GPU " +
                                        std::to_string(state.device.ordinal));
    state.strides[i].resize(view.rank);
    denseStrides(view.dims, view.rank, state.strides[i].data());
  }
}

TwArg DeviceCall::argumentOf(Argument &argument) {
  denseStrides(argument.view.dims, argument.view.rank, argument.strides);
  return {reinterpret_cast<void *>(argument.view.data), argument.view.dims, argument.strides};
}

py::object DeviceCall::makeArray(const Code::Slot &slot, const int64_t *dims, Pointer &pointer) {
  py::tuple shape(slot.rank);
  int64_t bytes = slot.itemSize;
  for (int i = 0; i < slot.rank; ++i) {
    if (dims[i] < 0 || __builtin_mul_overflow(bytes, dims[i], &bytes))
      throw py::value_error("an output is too large");
    shape[i] = dims[i];
  }
  auto made =
      provider.attr("empty")(shape, py::handle(slot.descr), device->ordinal, reinterpret_cast<uintptr_t>(stream))
          .cast<py::tuple>();
  pointer = made[1].cast<Pointer>();
  return made[0];
}

py::object DeviceCall::makeBytes(int64_t bytes, Pointer &pointer) {
  auto made = provider.attr("memory")(bytes, device->ordinal, reinterpret_cast<uintptr_t>(stream)).cast<py::tuple>();
  pointer = made[1].cast<Pointer>();
  return made[0];
}

/// Lets the call's stream wait for the one on which an argument is being computed.
void DeviceCall::waitFor(const View &view) {
  bool waits = (view.hasStream && view.stream != stream) || (view.memory && view.memory->needsWait(stream));
  if (waits && captured)
    throw Failure(Failure::Other, "an argument was last used on another stream than the one that is being recorded, "
                                  "and a recording cannot wait for it: wait for the device before");
  if (view.hasStream)
    device->order(view.stream, stream);
  if (view.memory)
    view.memory->moveTo(stream);
}

/// Brings one argument to where kernels can read it: dense, aligned, on the device, done before what comes on the
/// stream.
/// What is `kept` becomes an output, an array of its own.
void DeviceCall::place(Argument &argument, size_t index, bool kept) {
  View &view = argument.view;
  if (!view.host) {
    waitFor(view);
    if (!view.dense) {
      py::object dense = devicesModule().attr("dense")(py::handle(passed[index]), device->ordinal,
                                                       reinterpret_cast<uintptr_t>(stream));
      view = View();
      readView(dense.ptr(), view);
      waitFor(view);
      temporaries.push_back(dense);
    }
    if (isAligned(view))
      return;
  }
  auto dtype = py::reinterpret_borrow<py::dtype>(view.descr);
  int64_t bytes = dtype.itemsize() * view.count();
  Pointer memory = 0;
  if (kept) {
    Code::Slot slot;
    slot.descr = view.descr.ptr();
    slot.rank = view.rank;
    slot.itemSize = dtype.itemsize();
    argument.object = makeArray(slot, view.dims, memory);
  } else {
    temporaries.push_back(makeBytes(bytes, memory));
  }
  const Api &api = device->driver.api;
  auto size = static_cast<size_t>(bytes);
  if (bytes)
    device->driver.check(view.host ? api.copyIn(memory, view.host, size, stream)
                                   : api.copyOver(memory, view.data, size, stream),
                         "copying an argument");
  // Of memory that the system may not move, the copy is still under way: the caller may write there as soon as this returns.
  if (bytes && view.host) {
    py::gil_scoped_release unlocked;
    device->driver.check(api.streamSynchronise(stream), "copying an argument");
  }
  view.data = memory;
}

Outcome DeviceCall::makeOutputs() {
  scratchBytes = code.manifest.scratch;
  outDims.assign(code.outputDims + 1, 0);
  outStrides.assign(code.outputDims + 1, 0);
  if (code.shapes) {
    outDims[code.outputDims] = scratchBytes;
    if (int32_t status = code.shapes(in.data(), outDims.data()))
      executable.throwStatus(status, -1);
    scratchBytes = outDims[code.outputDims];
  }
  int64_t *dims = outDims.data(), *strides = outStrides.data();
  for (size_t i = 0; i < code.outputs.size(); ++i) {
    const Code::Slot &slot = code.outputs[i];
    int alias = code.manifest.outputs[i].alias;
    if (alias >= 0) {
      Argument &source = arguments[executable.positions[alias]];
      if (!source.object)
        return Outcome::NoMatch; // a Python number
      results.push_back(source.object);
      out.push_back(in[alias]);
    } else {
      if (!code.shapes)
        std::copy(slot.shape, slot.shape + slot.rank, dims);
      Pointer pointer = 0;
      results.push_back(makeArray(slot, dims, pointer));
      denseStrides(dims, slot.rank, strides);
      out.push_back({reinterpret_cast<void *>(pointer), dims, strides});
    }
    dims += slot.rank;
    strides += slot.rank;
  }
  return Outcome::Done;
}

/// As Executable::separateOverlaps.
Outcome DeviceCall::separateOverlaps() {
  auto end = [&](uint32_t argument) {
    return static_cast<char *>(in[argument].data) + bytesOf(code.arguments[argument], in[argument]);
  };
  for (const ArraySpec &output : code.manifest.outputs) {
    if (output.alias < 0)
      continue;
    auto *begin = static_cast<char *>(in[output.alias].data);
    for (uint32_t index : executable.inputs) {
      TwArg &other = in[index];
      if (static_cast<int>(index) == output.alias || static_cast<char *>(other.data) >= end(output.alias) ||
          begin >= end(index))
        continue;
      if (code.manifest.arguments[index].donated)
        return Outcome::NoMatch; // two results in one memory
      Pointer copy = 0;
      int64_t bytes = bytesOf(code.arguments[index], other);
      temporaries.push_back(makeBytes(bytes, copy));
      device->driver.check(
          device->driver.api.copyOver(copy, reinterpret_cast<Pointer>(other.data), static_cast<size_t>(bytes), stream),
          "copying an argument that shares memory with an output");
      other.data = reinterpret_cast<void *>(copy);
    }
  }
  return Outcome::Done;
}

Outcome DeviceCall::run(PyObject **outputs) {
  if (!readArguments(code.arguments, executable.inputs.data(), true))
    return Outcome::NoMatch;
  Device &chosen = chooseDevice();
  Device::Use use(chosen);
  enter(chosen);
  state = stateOn(chosen);
  int recording = 0;
  device->driver.check(device->driver.api.streamIsCapturing(stream, &recording), "asking a stream whether it records");
  captured = recording != 0;
  in.resize(code.arguments.size());
  for (size_t i = 0; i < in.size(); ++i)
    if (executable.bound[i]) {
      View &view = state->bound[i];
      if (view.memory) {
        if (captured && view.memory->needsWait(stream))
          waitFor(view); // says what is wrong
        view.memory->readOn(stream);
      }
      in[i] = {reinterpret_cast<void *>(view.data), view.dims, state->strides[i].data()};
    }
  for (size_t i = 0; i < count; ++i) {
    uint32_t index = executable.inputs[i];
    Argument &argument = arguments[i];
    bool kept = false;
    for (const ArraySpec &output : code.manifest.outputs)
      kept |= output.alias == static_cast<int>(index);
    if (kept && ((!argument.view.host && !argument.view.dense) || !argument.view.writable))
      return Outcome::NoMatch;
    if (captured && argument.view.host)
      throw Failure(Failure::Other, "argument " + std::to_string(i) +
                                        " lies on the CPU, and the stream is being recorded: what is replayed "
                                        "later needs it on the device (tilewright.device_put)");
    if (!kept && argument.view.host && argument.view.bytes() <= smallArray)
      pack(argument, index);
    else
      place(argument, i, kept && argument.object);
    in[index] = argumentOf(argument);
  }
  Outcome outcome = makeOutputs();
  if (outcome == Outcome::Done && code.hasAliases)
    outcome = separateOverlaps();
  if (outcome == Outcome::Done)
    outcome = execute(*state);
  if (outcome == Outcome::Done) {
    if (!captured)
      keepForeign();
    for (size_t i = 0; i < results.size(); ++i)
      outputs[i] = results[i].release().ptr();
  }
  return outcome;
}

/// Arrays whose memory is not given back in the order of this call's stream. Of a recording, they are the caller's matter.
void DeviceCall::keepForeign() {
  letGo();
  constexpr uint32_t sides = 1u << kindTorch | 1u << kindCupy | 1u << kindDeviceArray;
  std::vector<py::object> objects;
  for (size_t i = 0; i < count; ++i) {
    View &view = arguments[i].view;
    bool ownSide = (view.kind == kindTorch || view.kind == kindCupy) && (kinds & sides) == 1u << view.kind;
    if (view.host || view.memory || ownSide)
      continue;
    objects.push_back(py::reinterpret_borrow<py::object>(passed[i]));
    if (view.owner)
      objects.push_back(std::move(view.owner));
  }
  if (!objects.empty())
    keep(*device, stream, std::move(objects));
}

Outcome DeviceCall::report(const DeviceRt &rt, int32_t status) {
  rt.throwFailure();
  bool reported = rt.errorCode() != TW_OK;
  if (!reported && status == TW_OK)
    return Outcome::Done;
  raiseFrom("status_error", py::make_tuple(py::handle(executable.self), reported ? rt.errorCode() : status,
                                           reported ? rt.errorLocation() : -1));
  return Outcome::Failed;
}

/// Small arrays of the CPU wait until it is known where all of them go.
void DeviceCall::pack(Argument &argument, size_t index) {
  size_t place = Stack::rounded(packedBytes.size());
  packed.emplace_back(index, place);
  packedBytes.resize(place);
  auto *from = static_cast<const unsigned char *>(argument.view.host);
  packedBytes.insert(packedBytes.end(), from, from + argument.view.bytes());
}

void DeviceCall::usePacked(Pointer memory) {
  for (auto [index, place] : packed)
    in[index].data = reinterpret_cast<void *>(memory + place);
}

/// The host function, with its memory in the order of GraphMemory.
int32_t DeviceCall::runMain(const GraphMemory &bytes, Pointer memory, DeviceRt &rt) {
  return code.main(rt.table(), in.data(), out.data(), reinterpret_cast<void *>(memory + bytes.stack + bytes.arguments));
}

/// Starts the entry's graph; false if it has none and gets none.
bool DeviceCall::replay(State &state, Graphs::Entry &entry, size_t arenaBytes) {
  // What sizes ask for may grow from call to call: twice as much as now lasts for a while.
  auto enough = [&](size_t had, size_t wanted) {
    if (had >= wanted || !entry.roving)
      return std::max(had, wanted);
    size_t size = Stack::alignment;
    while (size < wanted)
      size *= 2;
    return size;
  };
  GraphMemory wanted{enough(entry.bytes.stack, entry.stackBytes),
                     enough(entry.bytes.arguments, Stack::rounded(packedBytes.size())),
                     enough(entry.bytes.arena, arenaBytes)};
  if (!entry.bytes.covers(wanted)) {
    Pointer address = 0;
    py::object made = makeBytes(static_cast<int64_t>(wanted.total()), address);
    if (!entry.bytes.covers(wanted)) { // no other thread was faster
      entry.memory = made;
      entry.address = address;
      entry.bytes = wanted;
    }
  }
  GraphMemory bytes = entry.bytes;
  Pointer memory = entry.address;
  temporaries.push_back(entry.memory); // should another thread want a larger one meanwhile
  usePacked(memory + bytes.stack);
  std::vector<uint64_t> facts{memory, bytes.stack, bytes.arguments};
  for (const auto *list : {&in, &out})
    for (const TwArg &argument : *list)
      facts.push_back(reinterpret_cast<Pointer>(argument.data));
  if (entry.roving)
    for (Argument &argument : arguments)
      facts.insert(facts.end(), argument.view.dims, argument.view.dims + argument.view.rank);
  auto run = [&](LaunchSink &sink) {
    DeviceRt rt(state.program, nullptr, {memory, bytes.stack}, /*recording=*/true, /*waiting=*/false,
                options().overlapping, &sink);
    bool ran = runMain(bytes, memory, rt) == TW_OK && !rt.failed() && rt.errorCode() == TW_OK;
    return ran && rt.launches >= leastLaunches;
  };
  auto copyArguments = [&] {
    if (!packedBytes.empty())
      device->driver.check(
          device->driver.api.copyIn(memory + bytes.stack, packedBytes.data(), packedBytes.size(), stream),
          "copying arguments");
  };
  py::gil_scoped_release unlocked;
  return state.graphs.replay(entry, std::move(facts), run, copyArguments);
}

Outcome DeviceCall::execute(State &state) {
  std::vector<int64_t> sizes;
  for (Argument &argument : arguments)
    sizes.insert(sizes.end(), argument.view.dims, argument.view.dims + argument.view.rank);
  bool records = options().graphs && !options().waiting && !captured;
  std::shared_ptr<Graphs::Entry> own = state.graphs.find(sizes, stream), roving = state.graphs.roving(stream);
  // Sizes that come again get a graph of their own.
  if (!own->suitable && own->calls && roving->suitable) {
    own->suitable = true;
    own->stackBytes = roving->stackBytes;
  }
  ++own->calls;
  size_t arenaBytes = Stack::rounded(static_cast<size_t>(scratchBytes));
  Graphs::Entry &used = own->suitable ? *own : *roving;
  if (records && used.suitable && replay(state, used, arenaBytes))
    return Outcome::Done;
  // One piece of memory for the stack, small arguments, and the planned arena.
  GraphMemory bytes{std::max(own->stackBytes, roving->stackBytes), Stack::rounded(packedBytes.size()), arenaBytes};
  Pointer memory = 0;
  if (bytes.total())
    temporaries.push_back(makeBytes(static_cast<int64_t>(bytes.total()), memory));
  usePacked(memory + bytes.stack);
  // These are bytes of our own, in memory that the system may move: the driver has taken them when this returns.
  if (!packedBytes.empty())
    device->driver.check(
        device->driver.api.copyIn(memory + bytes.stack, packedBytes.data(), packedBytes.size(), stream),
        "copying arguments");
  DeviceRt rt(state.program, stream, {memory, bytes.stack}, captured, options().waiting, options().overlapping);
  int32_t status;
  {
    py::gil_scoped_release unlocked;
    status = runMain(bytes, memory, rt);
  }
  Outcome outcome = report(rt, status);
  if (outcome == Outcome::Done && !captured) {
    own->stackBytes = std::max(own->stackBytes, rt.stackPeak);
    own->suitable = rt.onlyLaunches && rt.launches >= leastLaunches;
    roving->stackBytes = std::max(roving->stackBytes, rt.stackPeak);
    roving->suitable = own->suitable;
  }
  return outcome;
}

py::object DeviceCall::load(size_t index) {
  const LoadSpec &spec = code.manifest.loads[index];
  const Code::Load &entry = code.loads[index];
  if (spec.checked && count != code.loadArguments[index].size())
    throw py::value_error("wrong number of sources");
  if (!readArguments(code.loadArguments[index], nullptr, spec.checked)) {
    size_t last = arguments.empty() ? 0 : arguments.size() - 1;
    raiseFrom("weight_error", py::make_tuple(py::handle(executable.self), index, last, py::handle(passed[last])));
    throw py::error_already_set();
  }
  kinds = 1u << kindDeviceArray; // what is packed is ours
  Device &chosen = chooseDevice();
  Device::Use use(chosen);
  enter(chosen);
  Program &program = programOn(chosen);
  for (size_t i = 0; i < count; ++i) {
    place(arguments[i], i, false);
    in.push_back(argumentOf(arguments[i]));
  }
  const Code::Slot &slot = code.loadOutputs[index];
  outDims.assign(slot.shape, slot.shape + slot.rank);
  outDims.push_back(0); // scratch bytes
  if (int32_t status = entry.shapes ? entry.shapes(in.data(), outDims.data()) : TW_OK)
    executable.throwStatus(status, -1);
  Pointer pointer = 0, arena = 0;
  py::object packed = makeArray(slot, outDims.data(), pointer);
  if (outDims.back())
    temporaries.push_back(makeBytes(outDims.back(), arena));
  outStrides.assign(slot.rank + 1, 0);
  denseStrides(outDims.data(), slot.rank, outStrides.data());
  TwArg result{reinterpret_cast<void *>(pointer), outDims.data(), outStrides.data()};
  DeviceRt rt(program, stream, Stack(), false, options().waiting, options().overlapping);
  int32_t status;
  Result waited;
  {
    py::gil_scoped_release unlocked;
    status = entry.entry(rt.table(), in.data(), &result, reinterpret_cast<void *>(arena));
    // Programs read it on any stream.
    waited = device->driver.api.streamSynchronise(stream);
  }
  if (report(rt, status) != Outcome::Done)
    throw py::error_already_set();
  device->driver.check(waited, "packing a weight");
  packed.attr("_memory").attr("settle")();
  return packed;
}

namespace {

/// Runs `body`, turning a Failure into a DeviceError at the user's line.
template <typename Function> auto withFailures(PyObject *self, Function body) {
  try {
    return body();
  } catch (Failure &failure) {
    raiseFrom("device_error", py::make_tuple(py::handle(self), failure.kindName(), failure.message, failure.kernel));
    throw py::error_already_set();
  }
}

} // namespace

Outcome Executable::callDevice(PyObject *const *passed, size_t count, PyObject **outputs) {
  if (count != inputs.size())
    return Outcome::NoMatch;
  return withFailures(self, [&] { return DeviceCall(*this, passed, count).run(outputs); });
}

py::object Executable::runDeviceLoad(size_t index, const std::vector<PyObject *> &sources) {
  return withFailures(self, [&] { return DeviceCall(*this, sources.data(), sources.size()).load(index); });
}
