//===- ExecutableType.cpp - The Python type `_runtime.Executable`
//----------===//

#include "Objects.h"

#include <algorithm>
#include <cstring>
#include <structmember.h>
#include <unordered_map>

namespace py = pybind11;
using namespace tilewright;

namespace {

struct PyExecutable {
  PyObject_HEAD vectorcallfunc vectorcall;
  Executable *executable;
  PyObject *object;   // the object bytes, as given
  PyObject *manifest; // the JSON text
  PyObject *parsed;   // json.loads(manifest), made on demand
  PyObject *weakrefs;
};

PyTypeObject *executableType = nullptr;

PyExecutable *cast(PyObject *object) { return reinterpret_cast<PyExecutable *>(object); }

/// Positional arguments for a call with keywords; the names are those of the
/// manifest. Returns false if they do not fit.
bool bindKeywords(const Executable &executable, PyObject *const *arguments, size_t positional, PyObject *keywords,
                  std::vector<PyObject *> &bound) {
  bound.assign(executable.numInputs(), nullptr);
  if (positional > bound.size())
    return false;
  std::copy(arguments, arguments + positional, bound.begin());
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(keywords); ++k) {
    const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(keywords, k));
    if (!name)
      throw py::error_already_set();
    size_t place = 0;
    for (; place < bound.size(); ++place)
      if (executable.getCode().manifest.arguments[executable.inputIndices()[place]].name == name)
        break;
    if (place == bound.size() || bound[place])
      return false;
    bound[place] = arguments[positional + k];
  }
  for (PyObject *object : bound)
    if (!object)
      return false;
  return true;
}

PyObject *raiseCallError(PyObject *self, PyObject *const *arguments, size_t positional, PyObject *keywords) {
  py::tuple given(positional);
  for (size_t i = 0; i < positional; ++i)
    given[i] = py::handle(arguments[i]);
  py::dict named;
  for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k)
    named[py::handle(PyTuple_GET_ITEM(keywords, k))] = py::handle(arguments[positional + k]);
  raiseFrom("call_error", py::make_tuple(py::handle(self), given, named));
  return nullptr;
}

PyObject *callExecutable(PyObject *self, PyObject *const *arguments, size_t nargs, PyObject *keywords,
                         bool alwaysTuple) {
  Executable &executable = *cast(self)->executable;
  size_t positional = PyVectorcall_NARGS(nargs);
  size_t numOutputs = executable.numOutputs();
  PyObject *few[8];
  std::vector<PyObject *> many;
  PyObject **outputs = few;
  if (numOutputs > 8) {
    many.resize(numOutputs);
    outputs = many.data();
  }
  bool named = keywords && PyTuple_GET_SIZE(keywords) > 0;
  if (!named && positional == executable.numInputs()) {
    bool plain = true;
    for (size_t i = 0; i < positional; ++i)
      plain &= isArray(arguments[i]);
    if (plain) {
      Outcome outcome = executable.call(arguments, positional, outputs);
      if (outcome == Outcome::Done)
        return finishOutputs(outputs, numOutputs, 1u << kindNumpy, alwaysTuple);
      if (outcome == Outcome::Failed)
        return nullptr;
      return raiseCallError(self, arguments, positional, nullptr);
    }
  }
  std::vector<PyObject *> bound(arguments, arguments + positional);
  if (named && !bindKeywords(executable, arguments, positional, keywords, bound))
    return raiseCallError(self, arguments, positional, keywords);
  Inputs inputs(bound.data(), bound.size());
  // Programs of a device take arrays of any library as they are, and make their own.
  if (!executable.isDevice() && !inputs.convert())
    return raiseCallError(self, arguments, positional, keywords);
  switch (executable.call(inputs.data(), inputs.size(), outputs)) {
  case Outcome::Done:
    return finishOutputs(outputs, numOutputs, inputs.kind(), alwaysTuple);
  case Outcome::Failed:
    return nullptr;
  case Outcome::NoMatch:
    break;
  }
  return raiseCallError(self, arguments, positional, keywords);
}

PyObject *vectorcall(PyObject *self, PyObject *const *arguments, size_t nargs, PyObject *keywords) {
  return guarded([&] { return callExecutable(self, arguments, nargs, keywords, false); });
}

PyObject *callTuple(PyObject *self, PyObject *const *arguments, Py_ssize_t nargs, PyObject *keywords) {
  return guarded([&] { return callExecutable(self, arguments, nargs, keywords, true); });
}

PyObject *wrap(std::unique_ptr<Executable> executable, py::object object, py::object manifest) {
  auto *self = PyObject_GC_New(PyExecutable, executableType);
  if (!self)
    return nullptr;
  self->vectorcall = vectorcall;
  self->executable = executable.release();
  self->executable->self = reinterpret_cast<PyObject *>(self);
  self->object = object.release().ptr();
  self->manifest = manifest.release().ptr();
  self->parsed = nullptr;
  self->weakrefs = nullptr;
  PyObject_GC_Track(reinterpret_cast<PyObject *>(self));
  return reinterpret_cast<PyObject *>(self);
}

PyObject *construct(PyTypeObject *, PyObject *arguments, PyObject *keywords) {
  static const char *names[] = {"object", "manifest", "name", nullptr};
  PyObject *object, *manifest;
  const char *name = "program";
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO|s:Executable", const_cast<char **>(names), &object,
                                   &manifest, &name))
    return nullptr;
  return guarded([&] {
    py::object text = py::reinterpret_borrow<py::object>(manifest);
    if (py::isinstance<py::dict>(text))
      text = py::module_::import("json").attr("dumps")(text);
    else if (!py::isinstance<py::str>(text))
      text = py::str(py::bytes(text));
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE))
      throw py::error_already_set();
    std::shared_ptr<Code> code;
    try {
      code = Code::load({static_cast<const char *>(view.buf), static_cast<size_t>(view.len)}, text.cast<std::string>(),
                        name);
    } catch (...) {
      PyBuffer_Release(&view);
      throw;
    }
    PyBuffer_Release(&view);
    return wrap(std::make_unique<Executable>(std::move(code)), py::reinterpret_borrow<py::object>(object), text);
  });
}

void destroy(PyObject *self) {
  PyObject_GC_UnTrack(self);
  if (cast(self)->weakrefs)
    PyObject_ClearWeakRefs(self);
  delete cast(self)->executable;
  Py_XDECREF(cast(self)->object);
  Py_XDECREF(cast(self)->manifest);
  Py_XDECREF(cast(self)->parsed);
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_Del(self);
  Py_DECREF(type);
}

int traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(cast(self)->parsed);
  if (const Variants *variants = cast(self)->executable->existingVariants()) {
    Py_VISIT(variants->getWatcher());
    for (const auto &variant : variants->current())
      Py_VISIT(variant->object.ptr());
  }
  return 0;
}

int clear(PyObject *self) {
  if (Variants *variants = cast(self)->executable->existingVariants()) {
    variants->watch(0, {});
    variants->replace({});
  }
  return 0;
}

PyObject *bindArrays(PyObject *self, PyObject *mapping) {
  return guarded([&]() -> PyObject * {
    const Executable &executable = *cast(self)->executable;
    const Code &code = executable.getCode();
    std::vector<std::pair<size_t, PyObject *>> arrays;
    for (auto item : py::cast<py::dict>(py::handle(mapping))) {
      auto index = item.first.cast<size_t>();
      PyObject *array = item.second.ptr();
      if (index >= code.arguments.size())
        throw py::index_error("no such argument");
      const Code::Slot &slot = code.arguments[index];
      const ArraySpec &spec = code.manifest.arguments[index];
      // A symbol of a weight's dim is not tied to the inputs' ones: the size is
      // checked against the shape alone.
      bool onDevice = executable.isDevice() && !isArray(array); // looked at by the first call
      bool fits = onDevice || (isArray(array) && isDense(array) && !spec.donated && fields(array)->nd == slot.rank &&
                               sameDtype(fields(array)->descr, slot.descr));
      for (int i = 0; fits && !onDevice && i < slot.rank; ++i)
        fits = slot.shape[i] == anySize || slot.shape[i] == fields(array)->dimensions[i];
      if (!fits) {
        raiseFrom("bind_error", py::make_tuple(py::handle(self), index, py::handle(array)));
        return nullptr;
      }
      arrays.emplace_back(index, array);
    }
    return wrap(executable.bind(arrays), py::reinterpret_borrow<py::object>(cast(self)->object),
                py::reinterpret_borrow<py::object>(cast(self)->manifest));
  });
}

PyObject *runLoad(PyObject *self, PyObject *arguments) {
  return guarded([&]() -> PyObject * {
    auto tuple = py::reinterpret_borrow<py::tuple>(arguments);
    if (tuple.size() != 2)
      throw py::type_error("run_load(index, sources)");
    auto list = py::list(tuple[1]);
    std::vector<PyObject *> sources;
    for (py::handle source : list)
      sources.push_back(source.ptr());
    return cast(self)->executable->runLoad(tuple[0].cast<size_t>(), sources).release().ptr();
  });
}

PyObject *bindWeights(PyObject *self, PyObject *mapping) {
  return guarded([&] {
    return py::module_::import("tilewright.runtime.weights")
        .attr("bind")(py::handle(self), py::handle(mapping))
        .release()
        .ptr();
  });
}

PyObject *boundArrays(PyObject *self, PyObject *) {
  return guarded([&] {
    py::dict result;
    const Executable &executable = *cast(self)->executable;
    for (size_t i = 0; i < executable.getCode().arguments.size(); ++i)
      if (PyObject *array = executable.boundArray(i))
        result[py::int_(i)] = py::handle(array);
    return result.release().ptr();
  });
}

PyObject *entryAddresses(PyObject *self, PyObject *) {
  return guarded([&] {
    const Code &code = cast(self)->executable->getCode();
    auto number = [](auto function) { return py::int_(reinterpret_cast<uintptr_t>(function)); };
    py::dict result;
    result["main"] = number(code.main);
    result["shapes"] = number(code.shapes);
    py::list loads;
    for (const Code::Load &load : code.loads)
      loads.append(py::make_tuple(number(load.entry), number(load.shapes)));
    result["loads"] = loads;
    return result.release().ptr();
  });
}

PyObject *getManifest(PyObject *self, void *) {
  return guarded([&] {
    PyExecutable *executable = cast(self);
    if (!executable->parsed)
      executable->parsed = py::module_::import("json").attr("loads")(py::handle(executable->manifest)).release().ptr();
    Py_INCREF(executable->parsed);
    return executable->parsed;
  });
}

PyObject *getInputs(PyObject *self, void *) {
  return guarded([&] {
    const Executable &executable = *cast(self)->executable;
    py::tuple result(executable.numInputs());
    for (size_t i = 0; i < executable.numInputs(); ++i)
      result[i] = py::int_(executable.inputIndices()[i]);
    return result.release().ptr();
  });
}

PyObject *getSymbols(PyObject *self, void *) {
  return guarded([&] {
    py::list names;
    for (const SymbolSpec &symbol : cast(self)->executable->getCode().manifest.symbols)
      names.append(py::str(symbol.name));
    return py::tuple(names).release().ptr();
  });
}

py::tuple sizesTuple(const std::vector<int64_t> &sizes) {
  py::tuple result(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i)
    result[i] = sizes[i] == anySize ? py::object(py::none()) : py::object(py::int_(sizes[i]));
  return result;
}

PyObject *setVariants(PyObject *self, PyObject *rows) {
  return guarded([&] {
    Executable &executable = *cast(self)->executable;
    Variants &variants = executable.variants();
    Variants::Table next;
    for (py::handle row : py::list(py::reinterpret_borrow<py::object>(rows))) {
      auto [sizes, object] = row.cast<std::pair<py::tuple, py::object>>();
      Executable *variant = executableOf(object.ptr());
      if (!variant || variant == &executable || !variant->isAlike(executable))
        throw py::value_error("a variant takes and returns what the executable does");
      if (sizes.size() != executable.getCode().manifest.symbols.size())
        throw py::value_error("a guard has a size, or None, for each symbol");
      std::vector<int64_t> guard;
      for (py::handle size : sizes)
        guard.push_back(size.is_none() ? anySize : size.cast<int64_t>());
      auto entry = std::make_shared<Variant>(
          Variant{guard, std::count(guard.begin(), guard.end(), anySize) > 0, object, variant});
      for (const auto &known : variants.current())
        if (known->executable == variant && known->guard == guard)
          entry = known; // with its count
      next.push_back(std::move(entry));
    }
    if (next.size() > Variants::maxVariants)
      throw py::value_error("too many variants");
    variants.replace(std::move(next));
    return py::none().release().ptr();
  });
}

PyObject *getVariants(PyObject *self, PyObject *) {
  return guarded([&] {
    py::list rows;
    if (const Variants *variants = cast(self)->executable->existingVariants())
      for (const auto &variant : variants->current())
        rows.append(py::make_tuple(sizesTuple(variant->guard), variant->object, variant->calls));
    return rows.release().ptr();
  });
}

PyObject *watchSizes(PyObject *self, PyObject *arguments) {
  return guarded([&]() -> PyObject * {
    unsigned long long threshold;
    PyObject *watcher;
    if (!PyArg_ParseTuple(arguments, "KO:watch_sizes", &threshold, &watcher))
      return nullptr;
    bool on = threshold && watcher != Py_None;
    if (on || cast(self)->executable->existingVariants())
      cast(self)->executable->variants().watch(threshold,
                                               on ? py::reinterpret_borrow<py::object>(watcher) : py::object());
    Py_RETURN_NONE;
  });
}

PyObject *observedSizes(PyObject *self, PyObject *) {
  return guarded([&] {
    py::list rows;
    if (const Variants *variants = cast(self)->executable->existingVariants())
      for (const auto &[sizes, count] : variants->observed())
        rows.append(py::make_tuple(sizesTuple(sizes), count));
    return rows.release().ptr();
  });
}

PyObject *represent(PyObject *self) {
  const Manifest &manifest = cast(self)->executable->getCode().manifest;
  return PyUnicode_FromFormat("<tilewright Executable: %zu inputs, %zu weights bound, %zu outputs>",
                              cast(self)->executable->numInputs(),
                              manifest.arguments.size() - cast(self)->executable->numInputs(), manifest.outputs.size());
}

PyObject *setDeviceImage(PyObject *self, PyObject *image) {
  return guarded([&]() -> PyObject * {
    Executable &executable = *cast(self)->executable;
    executable.setDeviceImage(py::cast<std::string>(py::handle(image)));
    Py_RETURN_NONE;
  });
}

PyObject *getDeviceImage(PyObject *self, void *) {
  return guarded([&] {
    const std::string &image = cast(self)->executable->getCode().deviceImage;
    return py::object(image.empty() ? py::object(py::none()) : py::bytes(image)).release().ptr();
  });
}

PyObject *getDeviceText(PyObject *self, void *) {
  return guarded([&] {
    const char *text = cast(self)->executable->getCode().deviceText;
    return (text ? py::object(py::str(text)) : py::object(py::none())).release().ptr();
  });
}

PyMethodDef methods[] = {
    {"call_tuple", reinterpret_cast<PyCFunction>(callTuple), METH_FASTCALL | METH_KEYWORDS,
     "Calls the code like __call__; returns a tuple even of one output."},
    {"bind", bindWeights, METH_O,
     "bind(weights) -> Executable. Binds weights by name; see "
     "tilewright.runtime.weights.bind."},
    {"bind_arrays", bindArrays, METH_O,
     "bind_arrays({argument index: array}) -> Executable. Binds arrays as the "
     "code takes them: dense, of the argument's dtype and shape."},
    {"run_load", runLoad, METH_VARARGS, "run_load(index, sources) -> ndarray. Packs one weight."},
    {"entry_addresses", entryAddresses, METH_NOARGS,
     "entry_addresses() -> {name: address of the function}; see cpp/Runtime/Abi.h. As long as this "
     "object lives."},
    {"bound_arrays", boundArrays, METH_NOARGS, "bound_arrays() -> {argument index: array}."},
    {"set_device_image", setDeviceImage, METH_O,
     "set_device_image(bytes). Machine code of the kernels, used by devices that it is for; before the first call."},
    {"set_variants", setVariants, METH_O,
     "set_variants([(sizes, executable), ...]). Replaces the table of variants at once: a call\n"
     "whose sizes (per symbol one, None for any) fit runs the first such executable.\n"
     "Calls under way finish on what they began with."},
    {"variants", getVariants, METH_NOARGS, "variants() -> [(sizes, executable, calls), ...]."},
    {"watch_sizes", watchSizes, METH_VARARGS,
     "watch_sizes(threshold, watcher). Calls watcher(sizes) for sizes without a variant that\n"
     "came so often; 0 and None stop."},
    {"observed_sizes", observedSizes, METH_NOARGS, "observed_sizes() -> [(sizes, calls), ...]."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef properties[] = {
    {"manifest", getManifest, nullptr, "The manifest as a dict.", nullptr},
    {"device_image", getDeviceImage, nullptr, "Machine code of the kernels, or None.", nullptr},
    {"device_text", getDeviceText, nullptr, "The kernels as PTX, or None.", nullptr},
    {"symbols", getSymbols, nullptr, "Names of the symbolic sizes, in the order of guards.", nullptr},
    {"input_indices", getInputs, nullptr, "Indices of the arguments that a call passes.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef members[] = {
    {"object", T_OBJECT, offsetof(PyExecutable, object), READONLY, "The object file, as given."},
    {"manifest_json", T_OBJECT, offsetof(PyExecutable, manifest), READONLY, "The manifest as JSON text."},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(PyExecutable, vectorcall), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PyExecutable, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

const char doc[] = "Executable(object, manifest, name=\"program\")\n--\n\n"
                   "Linked native code. Calling it with arrays (NumPy, torch, anything with\n"
                   "DLPack) returns new arrays of the same kind: one, or a tuple.\n\n"
                   "Args:\n"
                   "    object: bytes of a relocatable object for this machine.\n"
                   "    manifest: JSON text or dict that describes it.\n"
                   "    name: what profilers call it.\n\n"
                   "Raises:\n"
                   "    FormatError: the object or the manifest is damaged or foreign.\n"
                   "    ShapeError, DTypeError, ArgumentError: from a call with arguments\n"
                   "        that do not fit; the message names each of them.\n";

PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void *>(construct)},
                       {Py_tp_dealloc, reinterpret_cast<void *>(destroy)},
                       {Py_tp_traverse, reinterpret_cast<void *>(traverse)},
                       {Py_tp_clear, reinterpret_cast<void *>(clear)},
                       {Py_tp_call, reinterpret_cast<void *>(PyVectorcall_Call)},
                       {Py_tp_repr, reinterpret_cast<void *>(represent)},
                       {Py_tp_methods, methods},
                       {Py_tp_getset, properties},
                       {Py_tp_members, members},
                       {Py_tp_doc, const_cast<char *>(doc)},
                       {0, nullptr}};

PyType_Spec spec = {"tilewright._runtime.Executable", sizeof(PyExecutable), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};

} // namespace

namespace tilewright {

/// The kind of a type of arrays, asked of interop.py once per type.
uint32_t kindOf(PyTypeObject *type) {
  static auto *known = new std::unordered_map<PyTypeObject *, uint32_t>;
  auto found = known->find(type);
  if (found != known->end())
    return found->second;
  auto kind = py::module_::import("tilewright.runtime.interop")
                  .attr("kind_of_type")(py::handle(reinterpret_cast<PyObject *>(type)))
                  .cast<uint32_t>();
  Py_INCREF(type); // the address must not be used again
  return (*known)[type] = kind;
}

void addExecutableType(py::module_ &module) {
  PyObject *type = PyType_FromSpec(&spec);
  if (!type)
    throw py::error_already_set();
  executableType = reinterpret_cast<PyTypeObject *>(type);
  module.add_object("Executable", type);
}

Executable *executableOf(PyObject *object) {
  return Py_TYPE(object) == executableType ? cast(object)->executable : nullptr;
}

Inputs::Inputs(PyObject *const *arguments, size_t count) : current(arguments), count(count) {}

Inputs::~Inputs() {
  for (PyObject *object : converted)
    Py_DECREF(object);
}

bool Inputs::convert() {
  for (size_t i = 0; i < count; ++i) {
    PyObject *object = current[i];
    py::object replacement;
    if (isArray(object)) {
      kinds |= 1u << kindNumpy;
      replacement = py::reinterpret_borrow<py::object>(object);
    } else if (isScalar(object)) {
      replacement = py::reinterpret_borrow<py::object>(object);
    } else {
      uint32_t kind = kindOf(Py_TYPE(object));
      if (kind == kindNone)
        return false;
      kinds |= 1u << kind;
      replacement = kind == kindNumpy // a NumPy scalar
                        ? py::module_::import("numpy").attr("asarray")(py::handle(object))
                        : fromDlpack(object);
    }
    converted.push_back(replacement.release().ptr());
  }
  current = converted.data();
  return true;
}

PyObject *finishOutputs(PyObject **outputs, size_t count, uint32_t kinds, bool alwaysTuple) {
  if (kinds <= (1u << kindNumpy)) {
    if (count == 1 && !alwaysTuple)
      return outputs[0];
    PyObject *tuple = PyTuple_New(static_cast<Py_ssize_t>(count));
    for (size_t i = 0; i < count; ++i)
      if (tuple)
        PyTuple_SET_ITEM(tuple, i, outputs[i]);
      else
        Py_DECREF(outputs[i]);
    return tuple;
  }
  py::tuple arrays(count);
  for (size_t i = 0; i < count; ++i)
    arrays[i] = py::reinterpret_steal<py::object>(outputs[i]);
  py::object wrapped = py::module_::import("tilewright.runtime.interop").attr("wrap_outputs")(kinds, arrays);
  if (count == 1 && !alwaysTuple)
    return py::tuple(wrapped)[0].cast<py::object>().release().ptr();
  return wrapped.release().ptr();
}

} // namespace tilewright
