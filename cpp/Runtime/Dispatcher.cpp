//===- Dispatcher.cpp - The Python type `_runtime.Dispatcher`
//--------------===//
//
// What `tilewright.jit` returns is a subclass of this. A call looks through the
// executables that were added and runs the first whose structure and signature
// fit; if none does, Python is asked. An executable checks the arguments in any
// case, so looking it up costs no more than calling it.
//
// The structure of a call is a list of tokens: where containers begin, which
// leaves are arrays, and Python objects that must be equal (static arguments,
// keys of dicts, keyword names) or the same (weights, which the executable has
// bound). Leaves are in the order of `pytree.flatten`.
//
//===----------------------------------------------------------------------===//

#include "Objects.h"

#include <algorithm>
#include <pybind11/stl.h>
#include <structmember.h>

namespace py = pybind11;
using namespace tilewright;

namespace {

/// The low bits of a token; what follows counts children.
enum Token : size_t {
  tokenArray = 0,
  tokenFloat,
  tokenInt,
  tokenBool,
  tokenNone,
  tokenEqual, ///< the next of the objects that must be equal
  tokenSame,  ///< the next of the objects that must be the same
  tokenTuple,
  tokenList,
  tokenDict,
  tokenKeywords,
};
constexpr size_t countShift = 8;

struct Structure {
  std::vector<size_t> tokens;
  std::vector<PyObject *> equal;  ///< borrowed
  std::vector<PyObject *> same;   ///< borrowed
  std::vector<PyObject *> leaves; ///< borrowed
};

struct Entry {
  PyObject *executable;
  PyObject *unflatten; ///< null: one output alone, or a tuple
  bool plain;          ///< positional arguments, each an array
  std::vector<size_t> tokens;
  std::vector<PyObject *> equal; ///< owned
  std::vector<PyObject *> same;  ///< owned

  ~Entry() {
    Py_DECREF(executable);
    Py_XDECREF(unflatten);
    for (PyObject *object : equal)
      Py_DECREF(object);
    for (PyObject *object : same)
      Py_DECREF(object);
  }

  bool hasStructure(const Structure &given) const;
};

/// Comparing static arguments runs code of users, which may change the table:
/// whoever looks at an entry holds it, and asks for the size again.
using Entries = std::vector<std::shared_ptr<Entry>>;

struct PyDispatcher {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject *miss;
  Entries *entries;
  std::vector<Py_ssize_t> *staticPositions;
  PyObject *staticNames; // a frozenset
  std::vector<Py_ssize_t> *weightPositions;
  PyObject *weightNames; // a frozenset
  size_t last;           // where the search begins
  size_t hits;
  PyObject *weakrefs;
};

PyTypeObject *dispatcherType = nullptr;

PyDispatcher *cast(PyObject *object) { return reinterpret_cast<PyDispatcher *>(object); }

/// Walks one argument. Returns false for structures that only Python knows.
bool walk(PyObject *object, Structure &structure, int depth, bool isWeight = false) {
  if (depth > 64)
    return false;
  if (isWeight && (isArray(object) || isScalar(object))) {
    structure.tokens.push_back(tokenSame);
    structure.same.push_back(object);
    return true;
  }
  if (isArray(object)) {
    structure.tokens.push_back(tokenArray);
    structure.leaves.push_back(object);
    return true;
  }
  if (isScalar(object)) {
    structure.tokens.push_back(PyFloat_Check(object) ? tokenFloat : PyBool_Check(object) ? tokenBool : tokenInt);
    structure.leaves.push_back(object);
    return true;
  }
  if (object == Py_None) {
    structure.tokens.push_back(tokenNone);
    return true;
  }
  bool isTuple = PyTuple_CheckExact(object);
  if (isTuple || PyList_CheckExact(object)) {
    Py_ssize_t size = PySequence_Fast_GET_SIZE(object);
    structure.tokens.push_back((isTuple ? tokenTuple : tokenList) | static_cast<size_t>(size) << countShift);
    for (Py_ssize_t i = 0; i < size; ++i)
      if (!walk(PySequence_Fast_GET_ITEM(object, i), structure, depth + 1, isWeight))
        return false;
    return true;
  }
  if (PyDict_CheckExact(object)) {
    std::vector<std::pair<PyObject *, PyObject *>> items;
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &value);) {
      if (!PyUnicode_CheckExact(key))
        return false;
      items.emplace_back(key, value);
    }
    std::sort(items.begin(), items.end(), [](auto &a, auto &b) { return PyUnicode_Compare(a.first, b.first) < 0; });
    structure.tokens.push_back(tokenDict | items.size() << countShift);
    for (auto &item : items) {
      structure.equal.push_back(item.first);
      if (!walk(item.second, structure, depth + 1, isWeight))
        return false;
    }
    return true;
  }
  // Arrays of other libraries have __dlpack__; classes that the user registered
  // as containers have not.
  if (Py_TYPE(object)->tp_dict && !PyObject_HasAttrString(reinterpret_cast<PyObject *>(Py_TYPE(object)), "__dlpack__"))
    return false;
  structure.tokens.push_back(isWeight ? tokenSame : tokenArray);
  (isWeight ? structure.same : structure.leaves).push_back(object);
  return true;
}

bool contains(const std::vector<Py_ssize_t> &positions, Py_ssize_t position) {
  return std::find(positions.begin(), positions.end(), position) != positions.end();
}

bool containsName(PyObject *names, PyObject *name) {
  int found = PySet_Contains(names, name);
  if (found < 0)
    throw py::error_already_set();
  return found;
}

bool walkCall(PyDispatcher *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *keywords,
              Structure &structure) {
  structure.tokens.push_back(tokenTuple | static_cast<size_t>(positional) << countShift);
  auto addStatic = [&](PyObject *object) {
    structure.tokens.push_back(tokenEqual);
    structure.equal.push_back(object);
  };
  for (Py_ssize_t i = 0; i < positional; ++i) {
    if (contains(*self->staticPositions, i))
      addStatic(arguments[i]);
    else if (!walk(arguments[i], structure, 0, contains(*self->weightPositions, i)))
      return false;
  }
  Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  if (named == 0)
    return true;
  // Like the keys of a dict: the order in which the caller wrote them is of no
  // meaning.
  std::vector<std::pair<PyObject *, PyObject *>> items;
  for (Py_ssize_t k = 0; k < named; ++k)
    items.emplace_back(PyTuple_GET_ITEM(keywords, k), arguments[positional + k]);
  std::sort(items.begin(), items.end(), [](auto &a, auto &b) { return PyUnicode_Compare(a.first, b.first) < 0; });
  structure.tokens.push_back(tokenKeywords | static_cast<size_t>(named) << countShift);
  for (auto &item : items) {
    structure.equal.push_back(item.first);
    if (containsName(self->staticNames, item.first))
      addStatic(item.second);
    else if (!walk(item.second, structure, 0, containsName(self->weightNames, item.first)))
      return false;
  }
  return true;
}

/// Compares with the types: True, 1 and 1.0 are different static arguments.
bool allEqual(const std::vector<PyObject *> &mine, const std::vector<PyObject *> &given) {
  for (size_t i = 0; i < mine.size(); ++i) {
    if (mine[i] == given[i])
      continue;
    if (Py_TYPE(mine[i]) != Py_TYPE(given[i]))
      return false;
    int equal = PyObject_RichCompareBool(mine[i], given[i], Py_EQ);
    if (equal < 0)
      throw py::error_already_set();
    if (!equal)
      return false;
  }
  return true;
}

bool Entry::hasStructure(const Structure &given) const {
  return tokens == given.tokens && same == given.same && equal.size() == given.equal.size() &&
         allEqual(equal, given.equal);
}

/// Runs one entry. Sets `result` (null with an exception) unless nothing fits.
bool tryEntry(PyDispatcher *self, const Entry &entry, size_t index, PyObject *const *leaves, size_t count,
              uint32_t kinds, PyObject *&result) {
  Executable &executable = *executableOf(entry.executable);
  auto unflatten = py::reinterpret_borrow<py::object>(entry.unflatten);
  size_t numOutputs = executable.numOutputs();
  PyObject *few[8];
  std::vector<PyObject *> many;
  PyObject **outputs = few;
  if (numOutputs > 8) {
    many.resize(numOutputs);
    outputs = many.data();
  }
  switch (executable.call(leaves, count, outputs)) {
  case Outcome::NoMatch:
    return false;
  case Outcome::Failed:
    result = nullptr;
    return true;
  case Outcome::Done:
    break;
  }
  self->last = index;
  ++self->hits;
  result = finishOutputs(outputs, numOutputs, kinds, bool(unflatten));
  if (result && unflatten) {
    auto flat = py::reinterpret_steal<py::object>(result);
    result = PyObject_CallOneArg(unflatten.ptr(), flat.ptr());
  }
  return true;
}

/// Tries all entries that `fits` accepts, the last successful one first.
template <typename Predicate>
bool tryEntries(PyDispatcher *self, Predicate fits, PyObject *const *leaves, size_t count, uint32_t kinds,
                PyObject *&result) {
  size_t first = self->last;
  for (size_t i = 0; i < self->entries->size(); ++i) {
    size_t index = i == 0 ? first : i <= first ? i - 1 : i;
    if (index >= self->entries->size())
      continue;
    std::shared_ptr<Entry> entry = (*self->entries)[index];
    if (fits(*entry) && tryEntry(self, *entry, index, leaves, count, kinds, result))
      return true;
  }
  return false;
}

/// Takes frames of the package out of the traceback of the current exception.
void trimTraceback() {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback)
    PyException_SetTraceback(value, traceback);
  try {
    py::object trimmed =
        py::module_::import("tilewright.runtime.failures").attr("trimmed_traceback")(py::handle(value));
    Py_XDECREF(traceback);
    traceback = trimmed.is_none() ? nullptr : trimmed.release().ptr();
    PyException_SetTraceback(value, traceback ? traceback : Py_None);
  } catch (py::error_already_set &) {
    // Keep the whole traceback.
  }
  PyErr_Restore(type, value, traceback);
}

PyObject *callMiss(PyDispatcher *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *keywords) {
  if (!self->miss) {
    PyErr_SetString(PyExc_TypeError, "Dispatcher.__init__ was not called");
    return nullptr;
  }
  py::tuple given(positional);
  for (Py_ssize_t i = 0; i < positional; ++i)
    given[i] = py::handle(arguments[i]);
  py::dict named;
  for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k)
    named[py::handle(PyTuple_GET_ITEM(keywords, k))] = py::handle(arguments[positional + k]);
  auto miss = py::reinterpret_borrow<py::object>(self->miss);
  PyObject *result = PyObject_CallFunctionObjArgs(miss.ptr(), given.ptr(), named.ptr(), nullptr);
  if (!result)
    trimTraceback();
  return result;
}

PyObject *dispatch(PyDispatcher *self, PyObject *const *arguments, size_t nargs, PyObject *keywords) {
  Py_ssize_t positional = PyVectorcall_NARGS(nargs);
  bool named = keywords && PyTuple_GET_SIZE(keywords) > 0;
  bool plain = !named && self->staticPositions->empty() && self->weightPositions->empty();
  for (Py_ssize_t i = 0; plain && i < positional; ++i)
    plain = isArray(arguments[i]);
  PyObject *result = nullptr;
  if (plain) {
    if (tryEntries(
            self, [](const Entry &entry) { return entry.plain; }, arguments, positional, 1u << kindNumpy, result))
      return result;
    return callMiss(self, arguments, positional, keywords);
  }
  if (!self->entries->empty()) {
    Structure structure;
    if (walkCall(self, arguments, positional, keywords, structure)) {
      Inputs inputs(structure.leaves.data(), structure.leaves.size());
      // Programs of a device read arrays of any library; those of the CPU get NumPy's.
      bool forDevices = std::all_of(self->entries->begin(), self->entries->end(),
                                    [](const auto &entry) { return executableOf(entry->executable)->isDevice(); });
      if (forDevices || inputs.convert()) {
        auto fits = [&](const Entry &entry) { return entry.hasStructure(structure); };
        if (tryEntries(self, fits, inputs.data(), inputs.size(), inputs.kind(), result))
          return result;
      }
    }
  }
  return callMiss(self, arguments, positional, keywords);
}

PyObject *vectorcall(PyObject *self, PyObject *const *arguments, size_t nargs, PyObject *keywords) {
  return guarded([&] { return dispatch(cast(self), arguments, nargs, keywords); });
}

PyObject *construct(PyTypeObject *type, PyObject *, PyObject *) {
  PyObject *object = type->tp_alloc(type, 0);
  if (!object)
    return nullptr;
  PyDispatcher *self = cast(object);
  self->vectorcall = vectorcall;
  self->entries = new Entries;
  self->staticPositions = new std::vector<Py_ssize_t>;
  self->staticNames = PyFrozenSet_New(nullptr);
  self->weightPositions = new std::vector<Py_ssize_t>;
  self->weightNames = PyFrozenSet_New(nullptr);
  return object;
}

int initialise(PyObject *object, PyObject *arguments, PyObject *keywords) {
  static const char *names[] = {"miss", "static_positions", "static_names", "weight_positions", "weight_names",
                                nullptr};
  PyObject *miss, *positions = nullptr, *staticNames = nullptr, *weights = nullptr, *weightNames = nullptr;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|OOOO:Dispatcher", const_cast<char **>(names), &miss,
                                   &positions, &staticNames, &weights, &weightNames))
    return -1;
  PyObject *done = guarded([&]() -> PyObject * {
    PyDispatcher *self = cast(object);
    auto readPositions = [](PyObject *from, std::vector<Py_ssize_t> &to) {
      if (from)
        to = py::list(py::reinterpret_borrow<py::object>(from)).cast<std::vector<Py_ssize_t>>();
    };
    auto readNames = [](PyObject *from, PyObject *&to) {
      PyObject *set = from ? PyFrozenSet_New(from) : nullptr;
      if (from && !set)
        throw py::error_already_set();
      if (set)
        Py_XSETREF(to, set);
    };
    readPositions(positions, *self->staticPositions);
    readNames(staticNames, self->staticNames);
    readPositions(weights, *self->weightPositions);
    readNames(weightNames, self->weightNames);
    Py_INCREF(miss);
    Py_XSETREF(self->miss, miss);
    Py_RETURN_NONE;
  });
  Py_XDECREF(done);
  return done ? 0 : -1;
}

int traverse(PyObject *object, visitproc visit, void *arg) {
  PyDispatcher *self = cast(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->miss);
  for (auto &entry : *self->entries) {
    Py_VISIT(entry->unflatten);
    for (PyObject *equal : entry->equal)
      Py_VISIT(equal);
    for (PyObject *same : entry->same)
      Py_VISIT(same);
  }
  return 0;
}

int clear(PyObject *object) {
  PyDispatcher *self = cast(object);
  // Destructors may call back: let go of the table first.
  Entries entries;
  entries.swap(*self->entries);
  self->last = 0;
  Py_CLEAR(self->miss);
  return 0;
}

void destroy(PyObject *object) {
  PyObject_GC_UnTrack(object);
  PyDispatcher *self = cast(object);
  if (self->weakrefs)
    PyObject_ClearWeakRefs(object);
  clear(object);
  delete self->entries;
  delete self->staticPositions;
  Py_XDECREF(self->staticNames);
  delete self->weightPositions;
  Py_XDECREF(self->weightNames);
  PyTypeObject *type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

/// As a class attribute it is a method, like any function.
PyObject *bindMethod(PyObject *self, PyObject *instance, PyObject *) {
  if (!instance || instance == Py_None) {
    Py_INCREF(self);
    return self;
  }
  return PyMethod_New(self, instance);
}

PyObject *add(PyObject *object, PyObject *arguments, PyObject *keywords) {
  static const char *names[] = {"args", "kwargs", "executable", "unflatten", nullptr};
  PyObject *given, *named, *executable, *unflatten = Py_None;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!O!O|O:add", const_cast<char **>(names), &PyTuple_Type,
                                   &given, &PyDict_Type, &named, &executable, &unflatten))
    return nullptr;
  return guarded([&]() -> PyObject * {
    PyDispatcher *self = cast(object);
    if (!executableOf(executable))
      throw py::type_error("add: expected an Executable");
    std::vector<PyObject *> flat;
    Py_ssize_t positional = PyTuple_GET_SIZE(given);
    for (Py_ssize_t i = 0; i < positional; ++i)
      flat.push_back(PyTuple_GET_ITEM(given, i));
    py::tuple keys(py::len(py::handle(named)));
    size_t k = 0;
    for (auto item : py::reinterpret_borrow<py::dict>(named)) {
      keys[k++] = item.first;
      flat.push_back(item.second.ptr());
    }
    Structure structure;
    if (!walkCall(self, flat.data(), positional, keys.ptr(), structure) ||
        structure.leaves.size() != executableOf(executable)->numInputs())
      Py_RETURN_FALSE;
    for (size_t i = 0; i < self->entries->size(); ++i) { // a call that it refuses comes again
      std::shared_ptr<Entry> known = (*self->entries)[i];
      if (known->executable == executable && known->hasStructure(structure))
        Py_RETURN_TRUE;
    }
    auto entry = std::make_shared<Entry>();
    Py_INCREF(executable);
    entry->executable = executable;
    entry->unflatten = unflatten == Py_None ? nullptr : unflatten;
    Py_XINCREF(entry->unflatten);
    entry->plain = keys.size() == 0 && self->staticPositions->empty() && self->weightPositions->empty() &&
                   std::all_of(structure.tokens.begin() + 1, structure.tokens.end(),
                               [](size_t token) { return token == tokenArray; });
    entry->tokens = std::move(structure.tokens);
    entry->equal = std::move(structure.equal);
    for (PyObject *equal : entry->equal)
      Py_INCREF(equal);
    entry->same = std::move(structure.same);
    for (PyObject *same : entry->same)
      Py_INCREF(same);
    self->entries->push_back(std::move(entry));
    Py_RETURN_TRUE;
  });
}

PyObject *removeEntries(PyObject *object, PyObject *executable) {
  return guarded([&] {
    PyDispatcher *self = cast(object);
    Entries gone;
    auto &entries = *self->entries;
    for (size_t i = entries.size(); i-- > 0;)
      if (entries[i]->executable == executable) {
        gone.push_back(std::move(entries[i]));
        entries.erase(entries.begin() + static_cast<Py_ssize_t>(i));
      }
    self->last = 0;
    return PyLong_FromSize_t(gone.size());
  });
}

PyObject *clearEntries(PyObject *object, PyObject *) {
  Entries entries;
  entries.swap(*cast(object)->entries);
  cast(object)->last = 0;
  Py_RETURN_NONE;
}

PyObject *getHits(PyObject *object, void *) { return PyLong_FromSize_t(cast(object)->hits); }

PyObject *getExecutables(PyObject *object, void *) {
  return guarded([&] {
    py::list list;
    for (auto &entry : *cast(object)->entries)
      list.append(py::handle(entry->executable));
    return list.release().ptr();
  });
}

PyMethodDef methods[] = {
    {"add", reinterpret_cast<PyCFunction>(add), METH_VARARGS | METH_KEYWORDS,
     "add(args, kwargs, executable, unflatten=None) -> bool.\n\n"
     "Runs `executable` for calls of the structure of this one from now on, "
     "if\n"
     "its own checks accept the leaves. `unflatten(outputs)` gets the tuple "
     "of\n"
     "outputs and makes the result; None returns one output alone, or a "
     "tuple.\n"
     "False if only Python can take the arguments apart (registered classes):\n"
     "such calls always go to `miss`."},
    {"discard", removeEntries, METH_O, "discard(executable) -> int. Removes its entries, returns how many."},
    {"clear", clearEntries, METH_NOARGS, "clear(). Removes all entries."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef properties[] = {{"hits", getHits, nullptr, "How many calls were answered here.", nullptr},
                            {"executables", getExecutables, nullptr, "The executables, in order.", nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(PyDispatcher, vectorcall), READONLY, nullptr},
                         {"__weaklistoffset__", T_PYSSIZET, offsetof(PyDispatcher, weakrefs), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

const char doc[] =
    "Dispatcher(miss, static_positions=(), static_names=(), weight_positions=(), weight_names=())\n--\n\n"
    "A callable that picks an executable by the signature of the call.\n\n"
    "Args:\n"
    "    miss: called as miss(args, kwargs) when no executable fits; its "
    "result\n"
    "        is the call's. It may `add` an executable for the next time.\n"
    "        Frames of the package are cut from the traceback of its errors.\n"
    "    static_positions: positional arguments compared by value.\n"
    "    static_names: keyword arguments compared by value.\n"
    "    weight_positions: positional arguments whose arrays are compared by\n"
    "        identity: the executables that are added have them bound.\n"
    "    weight_names: the same for keyword arguments.\n";

PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void *>(construct)},
                       {Py_tp_init, reinterpret_cast<void *>(initialise)},
                       {Py_tp_dealloc, reinterpret_cast<void *>(destroy)},
                       {Py_tp_traverse, reinterpret_cast<void *>(traverse)},
                       {Py_tp_clear, reinterpret_cast<void *>(clear)},
                       {Py_tp_call, reinterpret_cast<void *>(PyVectorcall_Call)},
                       {Py_tp_descr_get, reinterpret_cast<void *>(bindMethod)},
                       {Py_tp_methods, methods},
                       {Py_tp_getset, properties},
                       {Py_tp_members, members},
                       {Py_tp_doc, const_cast<char *>(doc)},
                       {0, nullptr}};

PyType_Spec spec = {"tilewright._runtime.Dispatcher", sizeof(PyDispatcher), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_VECTORCALL |
                        Py_TPFLAGS_METHOD_DESCRIPTOR,
                    slots};

} // namespace

void tilewright::addDispatcherType(py::module_ &module) {
  PyObject *type = PyType_FromSpec(&spec);
  if (!type)
    throw py::error_already_set();
  dispatcherType = reinterpret_cast<PyTypeObject *>(type);
  module.add_object("Dispatcher", type);
}
