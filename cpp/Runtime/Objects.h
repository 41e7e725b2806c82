//===- Objects.h - The Python types of `_runtime`
//--------------------------===//
//
// Types that are called often are written on CPython's own interface, with
// vectorcall; pybind11 serves the plain functions in Module.cpp.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_OBJECTS_H
#define TILEWRIGHT_RUNTIME_OBJECTS_H

#include "Executable.h"

namespace tilewright {

/// Runs `body`, turning C++ exceptions into Python ones.
template <typename Function> PyObject *guarded(Function body) {
  try {
    return body();
  } catch (pybind11::error_already_set &error) {
    error.restore();
  } catch (pybind11::builtin_exception &error) {
    error.set_error();
  } catch (std::bad_alloc &) {
    PyErr_NoMemory();
  } catch (std::exception &error) {
    PyErr_SetString(PyExc_SystemError, error.what());
  }
  return nullptr;
}

/// Adds `Executable` to the module.
void addExecutableType(pybind11::module_ &module);

/// Adds `Dispatcher` to the module.
void addDispatcherType(pybind11::module_ &module);

/// The executable inside a Python object, or null if it is none.
Executable *executableOf(PyObject *object);

/// The kind of a type of arrays (see interop.py); kindNone for other types.
uint32_t kindOf(PyTypeObject *type);

/// The arguments of a call as arrays and Python scalars. Anything else with
/// `__dlpack__` becomes an array on the same memory.
class Inputs {
public:
  Inputs(PyObject *const *arguments, size_t count);
  ~Inputs();
  Inputs(const Inputs &) = delete;
  Inputs &operator=(const Inputs &) = delete;

  /// Converts what is not an array or a Python scalar. Returns false if an
  /// argument is of no use to any code. Throws what the conversion throws.
  bool convert();

  PyObject *const *data() const { return current; }
  size_t size() const { return count; }
  uint32_t kind() const { return kinds; }

private:
  PyObject *const *current;
  size_t count;
  uint32_t kinds = 0; ///< bit set of array kinds seen
  std::vector<PyObject *> converted;
};

/// True for a Python bool, int or float, exactly.
inline bool isScalar(PyObject *object) {
  return PyFloat_CheckExact(object) || PyLong_CheckExact(object) || PyBool_Check(object);
}

/// Turns `count` outputs (stolen) into what the caller gets: arrays of the
/// kinds of the inputs, one alone or a tuple. Returns null with an exception.
PyObject *finishOutputs(PyObject **outputs, size_t count, uint32_t kinds, bool alwaysTuple);

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_OBJECTS_H
