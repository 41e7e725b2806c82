//===- Executable.cpp - Linked code with its signature --------------------===//

#include "Executable.h"

#include "Cuda/Call.h"
#include "Rt.h"
#include "Slots.h"

#include <algorithm>
#include <cstring>

namespace py = pybind11;
using namespace tilewright;

namespace {

Code::Slot makeSlot(const ArraySpec &spec) {
  Code::Slot slot;
  slot.descr = descrOf(spec.dtype).release().ptr();
  slot.scalar = scalarTypeOf(spec.dtype);
  slot.rank = static_cast<int>(spec.shape.size());
  slot.itemSize = py::reinterpret_borrow<py::dtype>(slot.descr).itemsize();
  slot.shape = spec.shape.data();
  for (int symbol : spec.symbols)
    if (symbol >= 0)
      slot.symbols = spec.symbols.data();
  return slot;
}

/// Temporary memory of one call: on the stack if it is small.
class Frame {
public:
  Frame(char *stackMemory, size_t stackBytes, size_t bytes) {
    next = bytes <= stackBytes ? stackMemory : (heap = new char[bytes]);
  }
  ~Frame() { delete[] heap; }
  template <typename T> T *take(size_t count) {
    static_assert(alignof(T) <= 8 && sizeof(T) % 8 == 0);
    T *result = reinterpret_cast<T *>(next);
    next += count * sizeof(T);
    return result;
  }

private:
  char *heap = nullptr;
  char *next;
};

/// New references to drop at the end of a call, whichever way it ends.
class References {
public:
  ~References() {
    for (PyObject *object : objects)
      Py_DECREF(object);
  }
  void add(PyObject *object) { objects.push_back(object); }

private:
  std::vector<PyObject *> objects;
};

} // namespace

namespace tilewright {

void raiseFrom(const char *function, py::args arguments) {
  try {
    py::object error = py::module_::import("tilewright.runtime.failures").attr(function)(*arguments);
    PyErr_SetObject(reinterpret_cast<PyObject *>(Py_TYPE(error.ptr())), error.ptr());
  } catch (py::error_already_set &error) {
    error.restore();
  }
}

std::shared_ptr<Code> Code::load(std::string_view object, std::string_view json, const std::string &name) {
  auto fail = [](const std::string &message) {
    raiseFrom("load_error", py::make_tuple(message));
    throw py::error_already_set();
  };
  auto code = std::make_shared<Code>();
  Manifest &manifest = code->manifest;
  std::string error;
  if (!manifest.parse(json, error))
    fail("the manifest is not valid: " + error);

  std::vector<std::string> entries{manifest.entry};
  auto want = [&](const std::string &entry) {
    if (!entry.empty())
      entries.push_back(entry);
  };
  want(manifest.shapes);
  if (manifest.device)
    want(manifest.device->code);
  for (const LoadSpec &load : manifest.loads) {
    want(load.entry);
    want(load.shapes);
  }
  {
    py::gil_scoped_release release;
    code->object = LoadedObject::load(object, name, entries, error);
  }
  if (!code->object)
    fail("the object cannot be loaded: " + error);
  size_t next = 0;
  auto address = [&](const std::string &entry) -> void * {
    return entry.empty() ? nullptr : code->object->address(next++);
  };
  code->main = reinterpret_cast<TwEntry>(address(manifest.entry));
  code->shapes = reinterpret_cast<TwShapes>(address(manifest.shapes));
  if (manifest.device)
    code->deviceText = static_cast<const char *>(address(manifest.device->code));
  for (const LoadSpec &load : manifest.loads) {
    auto entry = reinterpret_cast<TwEntry>(address(load.entry));
    code->loads.push_back({entry, reinterpret_cast<TwShapes>(address(load.shapes))});
  }

  for (const ArraySpec &spec : manifest.arguments) {
    code->arguments.push_back(makeSlot(spec));
    code->inputRanks += spec.shape.size();
  }
  for (const ArraySpec &spec : manifest.outputs) {
    code->outputs.push_back(makeSlot(spec));
    code->outputDims += spec.shape.size();
    code->hasAliases |= spec.alias >= 0;
  }
  for (const LoadSpec &load : manifest.loads) {
    code->loadOutputs.push_back(makeSlot(load.output));
    auto &slots = code->loadArguments.emplace_back();
    for (const ArraySpec &spec : load.arguments)
      slots.push_back(makeSlot(spec));
  }
  return code;
}

Code::Code() = default;

Code::~Code() {
  auto drop = [](std::vector<Slot> &slots) {
    for (Slot &slot : slots)
      Py_XDECREF(slot.descr);
  };
  drop(arguments);
  drop(outputs);
  drop(loadOutputs);
  for (auto &slots : loadArguments)
    drop(slots);
}

Executable::Executable(std::shared_ptr<Code> shared) : code(std::move(shared)) {
  size_t count = code->arguments.size();
  bound.assign(count, nullptr);
  arguments.assign(count, TwArg{nullptr, nullptr, nullptr});
  for (size_t i = 0; i < count; ++i)
    inputs.push_back(static_cast<uint32_t>(i));
  positions = inputs;
  // See Call: arguments, outputs, strides, dims of outputs with the scratch
  // bytes behind them, symbols, scalars.
  frameBytes = count * sizeof(TwArg) + code->outputs.size() * sizeof(TwArg) +
               8 * (code->inputRanks + 2 * code->outputDims + 1 + code->manifest.symbols.size() + 2 * count);
}

Executable::~Executable() {
  for (PyObject *array : bound)
    Py_XDECREF(array);
}

/// One call under way.
struct Executable::Call {
  Call(const Executable &executable, PyObject *const *passed, size_t count, PyObject **outputs)
      : passed(passed), count(count), outputs(outputs), frame(stackMemory, sizeof stackMemory, executable.frameBytes) {
    const Code &code = *executable.code;
    size_t numArguments = code.arguments.size();
    in = frame.take<TwArg>(numArguments);
    out = frame.take<TwArg>(code.outputs.size());
    strides = frame.take<int64_t>(code.inputRanks);
    outStrides = frame.take<int64_t>(code.outputDims);
    outDims = frame.take<int64_t>(code.outputDims + 1);
    symbols = frame.take<int64_t>(code.manifest.symbols.size());
    scalars = frame.take<int64_t>(numArguments);
    ends = frame.take<char *>(code.hasAliases ? numArguments : 0);
    if (numArguments)
      std::memcpy(in, executable.arguments.data(), numArguments * sizeof(TwArg));
    for (size_t i = 0; i < code.manifest.symbols.size(); ++i)
      symbols[i] = anySize;
  }
  ~Call() {
    // Only an unsuccessful call still owns outputs here.
    for (size_t i = 0; i < outputsMade; ++i)
      Py_DECREF(outputs[i]);
  }

  PyObject *const *passed;
  size_t count;
  PyObject **outputs;
  size_t outputsMade = 0;
  int64_t scratchBytes = 0;
  References temporaries;
  alignas(64) char stackMemory[2048];
  Frame frame;
  TwArg *in, *out;
  int64_t *strides, *outStrides, *outDims, *symbols, *scalars;
  char **ends; ///< where the memory of each input ends
};

Outcome Executable::call(PyObject *const *passed, size_t count, PyObject **outputs) {
  if (variantTable && variantTable->isActive() && !isDevice()) {
    py::object alive; // a variant that leaves the table meanwhile runs to its end
    if (Executable *variant = variantTable->find(passed, count, alive)) {
      Outcome outcome = variant->callOwn(passed, count, outputs);
      if (outcome != Outcome::NoMatch)
        return outcome;
    }
  }
  return callOwn(passed, count, outputs);
}

Variants &Executable::variants() {
  if (!variantTable) {
    if (code->manifest.symbols.size() > Variants::maxSymbols)
      throw py::value_error("a program of so many symbolic sizes has no variants");
    variantTable = std::make_unique<Variants>(*this);
  }
  return *variantTable;
}

bool Executable::isAlike(const Executable &other) const {
  auto alike = [](const Code::Slot &one, const Code::Slot &two) {
    return one.rank == two.rank && sameDtype(one.descr, two.descr);
  };
  if (inputs.size() != other.inputs.size() || code->outputs.size() != other.code->outputs.size())
    return false;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!alike(code->arguments[inputs[i]], other.code->arguments[other.inputs[i]]))
      return false;
  for (size_t i = 0; i < code->outputs.size(); ++i)
    if (!alike(code->outputs[i], other.code->outputs[i]))
      return false;
  return true;
}

Outcome Executable::callOwn(PyObject *const *passed, size_t count, PyObject **outputs) {
  if (count != inputs.size())
    return Outcome::NoMatch;
  if (isDevice())
    return callDevice(passed, count, outputs);
  Call call(*this, passed, count, outputs);
  Outcome outcome = gatherInputs(call);
  if (outcome == Outcome::Done)
    outcome = makeOutputs(call);
  if (outcome == Outcome::Done && code->hasAliases)
    outcome = separateOverlaps(call);
  if (outcome == Outcome::Done)
    outcome = runMain(call);
  if (outcome == Outcome::Done)
    call.outputsMade = 0; // they belong to the caller now
  return outcome;
}

Outcome Executable::gatherInputs(Call &call) {
  int64_t *strides = call.strides;
  for (size_t i = 0; i < call.count; ++i) {
    const Code::Slot &slot = code->arguments[inputs[i]];
    TwArg &argument = call.in[inputs[i]];
    PyObject *object = call.passed[i];
    if (!isArray(object)) {
      if (slot.rank != 0 || !storeScalar(object, slot.scalar, &call.scalars[i]))
        return Outcome::NoMatch;
      argument = {&call.scalars[i], strides, strides};
      continue;
    }
    auto *array = fields(object);
    if (!sameDtype(array->descr, slot.descr) || array->nd != slot.rank ||
        !dimsFit(slot, code->manifest, array->dimensions, call.symbols))
      return Outcome::NoMatch;
    if (!isDense(object)) {
      if (code->manifest.arguments[inputs[i]].donated)
        return Outcome::NoMatch;
      object = denseCopy(object);
      if (!object)
        return Outcome::Failed;
      call.temporaries.add(object);
      array = fields(object);
    }
    argument = {array->data, array->dimensions, strides};
    denseStrides(array->dimensions, slot.rank, strides);
    strides += slot.rank;
  }
  return Outcome::Done;
}

Outcome Executable::makeOutputs(Call &call) {
  call.scratchBytes = code->manifest.scratch;
  if (code->shapes) {
    call.outDims[code->outputDims] = call.scratchBytes;
    if (int32_t status = code->shapes(call.in, call.outDims)) {
      raiseFrom("status_error", py::make_tuple(py::handle(self), status, -1));
      return Outcome::Failed;
    }
    call.scratchBytes = call.outDims[code->outputDims];
  }
  int64_t *dims = call.outDims;
  int64_t *strides = call.outStrides;
  for (size_t i = 0; i < code->outputs.size(); ++i) {
    const Code::Slot &slot = code->outputs[i];
    int alias = code->manifest.outputs[i].alias;
    if (alias >= 0) {
      PyObject *source = call.passed[positions[alias]];
      if (!isArray(source) || !isWritable(source))
        return Outcome::NoMatch;
      Py_INCREF(source);
      call.outputs[call.outputsMade++] = source;
      call.out[i] = call.in[alias];
    } else {
      if (!code->shapes)
        std::copy(slot.shape, slot.shape + slot.rank, dims);
      PyObject *array = newArray(slot.descr, slot.itemSize, slot.rank, dims);
      if (!array)
        return Outcome::Failed;
      call.outputs[call.outputsMade++] = array;
      denseStrides(dims, slot.rank, strides);
      call.out[i] = {fields(array)->data, dims, strides};
      strides += slot.rank;
    }
    dims += slot.rank;
  }
  return Outcome::Done;
}

/// Code writes to aliased memory while it reads other arguments. An input that
/// overlaps it would change under its feet, so the code gets a copy.
Outcome Executable::separateOverlaps(Call &call) {
  for (size_t i = 0; i < call.count; ++i)
    call.ends[i] =
        static_cast<char *>(call.in[inputs[i]].data) + bytesOf(code->arguments[inputs[i]], call.in[inputs[i]]);
  for (const ArraySpec &output : code->manifest.outputs) {
    if (output.alias < 0)
      continue;
    auto *begin = static_cast<char *>(call.in[output.alias].data);
    char *end = call.ends[positions[output.alias]];
    for (size_t i = 0; i < call.count; ++i) {
      TwArg &other = call.in[inputs[i]];
      if (static_cast<char *>(other.data) >= end || begin >= call.ends[i] ||
          static_cast<int>(inputs[i]) == output.alias)
        continue;
      if (code->manifest.arguments[inputs[i]].donated)
        return Outcome::NoMatch; // two results in one memory
      PyObject *copy = denseCopy(call.passed[i]);
      if (!copy)
        return Outcome::Failed;
      call.temporaries.add(copy);
      call.ends[i] += fields(copy)->data - static_cast<char *>(other.data);
      other.data = fields(copy)->data;
    }
  }
  return Outcome::Done;
}

Outcome Executable::runMain(Call &call) {
  CallRt rt;
  int32_t status = TW_ERROR_MEMORY;
  PyThreadState *thread = PyEval_SaveThread();
  void *scratch = call.scratchBytes ? scratchPush(call.scratchBytes) : nullptr;
  if (scratch || !call.scratchBytes)
    status = code->main(rt.table(), call.in, call.out, scratch);
  if (scratch)
    scratchPop(scratch);
  PyEval_RestoreThread(thread);
  bool reported = rt.errorCode() != TW_OK;
  if (!reported && status == TW_OK)
    return Outcome::Done;
  raiseFrom("status_error",
            py::make_tuple(py::handle(self), reported ? rt.errorCode() : status, reported ? rt.errorLocation() : -1));
  return Outcome::Failed;
}

std::unique_ptr<Executable> Executable::bind(const std::vector<std::pair<size_t, PyObject *>> &arrays) const {
  // Arrays of a device's program are looked at when it is first called.
  auto result = std::make_unique<Executable>(code);
  result->bound = bound;
  for (const auto &[index, array] : arrays)
    result->bound[index] = array;
  result->inputs.clear();
  size_t ranks = 0;
  for (size_t i = 0; i < result->bound.size(); ++i) {
    Py_XINCREF(result->bound[i]);
    if (result->bound[i])
      ranks += code->arguments[i].rank;
    else {
      result->positions[i] = static_cast<uint32_t>(result->inputs.size());
      result->inputs.push_back(static_cast<uint32_t>(i));
    }
  }
  result->boundStrides.resize(ranks);
  int64_t *strides = result->boundStrides.data();
  for (size_t i = 0; i < result->bound.size(); ++i) {
    if (!result->bound[i] || isDevice())
      continue;
    auto *array = fields(result->bound[i]);
    denseStrides(array->dimensions, array->nd, strides);
    result->arguments[i] = {array->data, array->dimensions, strides};
    strides += array->nd;
  }
  return result;
}

py::object Executable::runLoad(size_t index, const std::vector<PyObject *> &sources) {
  if (index >= code->loads.size())
    throw py::index_error("no such load entry");
  if (isDevice())
    return runDeviceLoad(index, sources);
  const LoadSpec &spec = code->manifest.loads[index];
  const Code::Load &load = code->loads[index];
  const auto &slots = code->loadArguments[index];
  if (spec.checked && slots.size() != sources.size())
    throw py::value_error("wrong number of sources");
  References temporaries;
  std::vector<TwArg> in(sources.size());
  std::vector<std::vector<int64_t>> strides(sources.size());
  std::vector<int64_t> symbols(code->manifest.symbols.size(), anySize);
  for (size_t i = 0; i < sources.size(); ++i) {
    PyObject *array = sources[i];
    if (!isArray(array))
      throw py::type_error("a source must be an array");
    if (spec.checked && (!sameDtype(fields(array)->descr, slots[i].descr) || fields(array)->nd != slots[i].rank ||
                         !dimsFit(slots[i], code->manifest, fields(array)->dimensions, symbols.data()))) {
      raiseFrom("weight_error", py::make_tuple(py::handle(self), index, i, py::handle(array)));
      throw py::error_already_set();
    }
    if (!isDense(array)) {
      if (!(array = denseCopy(array)))
        throw py::error_already_set();
      temporaries.add(array);
    }
    strides[i].resize(fields(array)->nd);
    denseStrides(fields(array)->dimensions, fields(array)->nd, strides[i].data());
    in[i] = {fields(array)->data, fields(array)->dimensions, strides[i].data()};
  }

  const Code::Slot &slot = code->loadOutputs[index];
  std::vector<int64_t> dims(slot.shape, slot.shape + slot.rank);
  dims.push_back(0); // scratch bytes
  int32_t status = load.shapes ? load.shapes(in.data(), dims.data()) : TW_OK;
  if (status != TW_OK)
    throwStatus(status, -1);
  auto packed =
      py::reinterpret_steal<py::object>(newArray(slot.descr, slot.itemSize, slot.rank, dims.data(), /*lasting=*/true));
  if (!packed)
    throw py::error_already_set();
  std::vector<int64_t> outStrides(slot.rank);
  denseStrides(dims.data(), slot.rank, outStrides.data());
  TwArg out{fields(packed.ptr())->data, dims.data(), outStrides.data()};
  CallRt rt;
  {
    py::gil_scoped_release release;
    void *scratch = scratchPush(dims.back());
    status = scratch ? load.entry(rt.table(), in.data(), &out, scratch) : TW_ERROR_MEMORY;
    if (scratch)
      scratchPop(scratch);
  }
  if (rt.errorCode() != TW_OK)
    throwStatus(rt.errorCode(), rt.errorLocation());
  if (status != TW_OK)
    throwStatus(status, -1);
  return packed;
}

void Executable::throwStatus(int32_t status, int32_t location) const {
  raiseFrom("status_error", py::make_tuple(py::handle(self), status, location));
  throw py::error_already_set();
}

} // namespace tilewright
