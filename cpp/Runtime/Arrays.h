//===- Arrays.h - NumPy arrays and DLPack ---------------------------------===//
//
// The few things that the call path does with arrays, on NumPy's C interface
// as pybind11 exposes it (so that building needs no NumPy).
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_ARRAYS_H
#define TILEWRIGHT_RUNTIME_ARRAYS_H

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tilewright {

/// Which library the arrays of a call come from; outputs follow it.
enum ArrayKind : uint8_t {
  kindNone = 0,
  kindNumpy = 1,
  kindTorch = 2, ///< these and the next are numbered by interop.py
  kindJax = 3,
  kindOwn = 4,
  kindOther = 5,
  kindCupy = 6,
  kindDeviceArray = 7, ///< ours, on a device
};

/// The element types that a Python scalar can be stored as.
enum class ScalarType : uint8_t { Bool, I8, I16, I32, I64, U8, U16, U32, U64, F16, BF16, F32, F64, Other };

inline const pybind11::detail::npy_api &numpyApi() {
  static const auto &api = pybind11::detail::npy_api::get();
  return api;
}

/// The fields of an array; `array` must be one.
inline pybind11::detail::PyArray_Proxy *fields(PyObject *array) { return pybind11::detail::array_proxy(array); }

inline bool isArray(PyObject *object) {
  return Py_TYPE(object) == numpyApi().PyArray_Type_ || PyObject_TypeCheck(object, numpyApi().PyArray_Type_);
}

/// True if the elements lie one after another in row-major order, aligned.
inline bool isDense(PyObject *array) {
  constexpr int wanted =
      pybind11::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_;
  return (fields(array)->flags & wanted) == wanted;
}

inline bool isWritable(PyObject *array) {
  return fields(array)->flags & pybind11::detail::npy_api::NPY_ARRAY_WRITEABLE_;
}

inline bool sameDtype(PyObject *descr, PyObject *other) {
  return descr == other || numpyApi().PyArray_EquivTypes_(descr, other);
}

/// A new dense array with uninitialised elements, or null and an exception.
PyObject *newArray(PyObject *descr, int64_t itemSize, int rank, const int64_t *dims, bool lasting = false);

/// A dense copy of `array` in row-major order.
PyObject *denseCopy(PyObject *array);

/// The NumPy dtype of a Tilewright dtype name; throws for an unknown one.
pybind11::object descrOf(const std::string &dtype);
ScalarType scalarTypeOf(const std::string &dtype);

/// Writes the Python float, int or bool `scalar` as `type` to `storage`
/// (8 bytes). Returns false, with no exception set, if the type cannot hold it.
bool storeScalar(PyObject *scalar, ScalarType type, void *storage);

/// An array on the memory of `producer`, which has `__dlpack__`. Throws for
/// memory that the CPU cannot read.
pybind11::object fromDlpack(pybind11::handle producer);

/// A DLPack capsule on the memory of `array`, of any element type.
pybind11::capsule toDlpack(pybind11::handle array);

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_ARRAYS_H
