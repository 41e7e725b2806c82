//===- Arrays.cpp - NumPy arrays and DLPack
//--------------------------------===//

#include "Arrays.h"

#include "Dlpack.h"
#include "Memory.h"

#include <cstring>
#include <unordered_map>

namespace py = pybind11;

extern "C" float tw__truncsfhf2(float);
extern "C" float tw__truncsfbf2(float);

using namespace tilewright;

namespace {

struct DtypeRow {
  const char *name;
  tilewright::ScalarType scalar;
  uint8_t code;
  uint8_t bits;
};

using tilewright::ScalarType;
constexpr DtypeRow dtypeRows[] = {
    {"float32", ScalarType::F32, dlFloat, 32},
    {"float64", ScalarType::F64, dlFloat, 64},
    {"float16", ScalarType::F16, dlFloat, 16},
    {"bfloat16", ScalarType::BF16, dlBfloat, 16},
    {"int64", ScalarType::I64, dlInt, 64},
    {"int32", ScalarType::I32, dlInt, 32},
    {"int16", ScalarType::I16, dlInt, 16},
    {"int8", ScalarType::I8, dlInt, 8},
    {"uint64", ScalarType::U64, dlUInt, 64},
    {"uint32", ScalarType::U32, dlUInt, 32},
    {"uint16", ScalarType::U16, dlUInt, 16},
    {"uint8", ScalarType::U8, dlUInt, 8},
    {"bool", ScalarType::Bool, dlBool, 8},
    {"float8_e4m3fn", ScalarType::Other, dlFloat8E4M3Fn, 8},
    {"float8_e5m2", ScalarType::Other, dlFloat8E5M2, 8},
};

template <typename Managed> void release(void *pointer) {
  auto *managed = static_cast<Managed *>(pointer);
  if (managed->deleter)
    managed->deleter(managed);
}

/// Takes the tensor out of `capsule` if it has the given name.
template <typename Managed> Managed *take(py::handle capsule, const char *name, const char *usedName) {
  if (!PyCapsule_IsValid(capsule.ptr(), name))
    return nullptr;
  auto *managed = static_cast<Managed *>(PyCapsule_GetPointer(capsule.ptr(), name));
  PyCapsule_SetName(capsule.ptr(), usedName);
  return managed;
}

const DtypeRow &rowOf(const DLTensor &tensor) {
  for (const DtypeRow &candidate : dtypeRows)
    if (candidate.code == tensor.dtype.code && candidate.bits == tensor.dtype.bits && tensor.dtype.lanes == 1)
      return candidate;
  throw py::type_error("unsupported element type (DLPack code " + std::to_string(tensor.dtype.code) + ", " +
                       std::to_string(tensor.dtype.bits) + " bits)");
}

py::object wrapTensor(const DLTensor &tensor, bool readOnly, py::capsule owner) {
  if (tensor.device.type != 1 && tensor.device.type != 3) // CPU, pinned memory
    throw py::buffer_error("the array lies on another device");
  const DtypeRow *row = &rowOf(tensor);
  if (tensor.ndim < 0 || tensor.ndim > 32)
    throw py::value_error("unsupported rank " + std::to_string(tensor.ndim));
  int64_t strides[32];
  int64_t dense = row->bits / 8;
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    strides[i] = tensor.strides ? tensor.strides[i] * (row->bits / 8) : dense;
    dense *= tensor.shape[i];
  }
  int flags = readOnly ? 0 : py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  const auto &api = tilewright::numpyApi();
  py::object descr = tilewright::descrOf(row->name);
  static char empty; // an array of no elements may come without memory
  void *data = tensor.data ? static_cast<char *>(tensor.data) + tensor.byteOffset : static_cast<void *>(&empty);
  auto array = py::reinterpret_steal<py::object>(api.PyArray_NewFromDescr_(
      api.PyArray_Type_, descr.release().ptr(), tensor.ndim, tensor.shape, strides, data, flags, nullptr));
  if (!array)
    throw py::error_already_set();
  if (api.PyArray_SetBaseObject_(array.ptr(), owner.release().ptr()) < 0)
    throw py::error_already_set();
  return array;
}

/// A capsule whose tensor keeps `owner` alive.
py::capsule exportTensor(py::object owner, void *data, DLDevice device, const DtypeRow &row,
                         const std::vector<int64_t> &shape, const std::vector<int64_t> &strides) {
  struct Holder {
    DLManagedTensor managed;
    std::vector<int64_t> sizes;
    PyObject *owner;
  };
  auto *holder = new Holder;
  holder->sizes = shape;
  holder->sizes.insert(holder->sizes.end(), strides.begin(), strides.end());
  holder->owner = owner.release().ptr();
  holder->managed.tensor = {data,
                            device,
                            static_cast<int32_t>(shape.size()),
                            {row.code, row.bits, 1},
                            holder->sizes.data(),
                            holder->sizes.data() + shape.size(),
                            0};
  holder->managed.context = holder;
  holder->managed.deleter = [](DLManagedTensor *managed) {
    auto *holder = static_cast<Holder *>(managed->context);
    // The consumer may drop the tensor in any thread.
    py::gil_scoped_acquire gil;
    Py_DECREF(holder->owner);
    delete holder;
  };
  return py::capsule(&holder->managed, "dltensor", [](PyObject *capsule) {
    if (!PyCapsule_IsValid(capsule, "dltensor"))
      return; // consumed
    auto *managed = static_cast<DLManagedTensor *>(PyCapsule_GetPointer(capsule, "dltensor"));
    managed->deleter(managed);
  });
}

template <typename Int> bool storeInt(PyObject *scalar, void *storage) {
  Int value;
  if constexpr (std::is_signed_v<Int>) {
    int overflow = 0;
    long long wide = PyLong_AsLongLongAndOverflow(scalar, &overflow);
    value = static_cast<Int>(wide);
    if (overflow || value != wide)
      return false;
  } else {
    unsigned long long wide = PyLong_AsUnsignedLongLong(scalar);
    if (PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    value = static_cast<Int>(wide);
    if (value != wide)
      return false;
  }
  std::memcpy(storage, &value, sizeof value);
  return true;
}

bool storeFloat(double value, ScalarType type, void *storage) {
  float narrow = static_cast<float>(value);
  switch (type) {
  case ScalarType::F64:
    std::memcpy(storage, &value, 8);
    return true;
  case ScalarType::F32:
    std::memcpy(storage, &narrow, 4);
    return true;
  case ScalarType::F16:
  case ScalarType::BF16: {
    float bits = type == ScalarType::F16 ? tw__truncsfhf2(narrow) : tw__truncsfbf2(narrow);
    std::memcpy(storage, &bits, 2);
    return true;
  }
  default:
    return false;
  }
}

} // namespace

namespace tilewright {

PyObject *newArray(PyObject *descr, int64_t itemSize, int rank, const int64_t *dims, bool lasting) {
  static_assert(sizeof(Py_intptr_t) == sizeof(int64_t));
  int64_t bytes = itemSize;
  for (int i = 0; i < rank; ++i)
    if (dims[i] < 0 || __builtin_mul_overflow(bytes, dims[i], &bytes)) {
      PyErr_SetString(PyExc_ValueError, "an output is too large");
      return nullptr;
    }
  const auto &api = numpyApi();
  const auto *sizes = reinterpret_cast<const Py_intptr_t *>(dims);
  PyObject *owner = nullptr;
  void *data = nullptr;
  if (bytes >= ownMemoryBytes && !(owner = newMemory(bytes, data, lasting)))
    return nullptr;
  Py_INCREF(descr); // the call below steals it
  PyObject *array = api.PyArray_NewFromDescr_(api.PyArray_Type_, descr, rank, sizes, nullptr, data,
                                              owner ? py::detail::npy_api::NPY_ARRAY_WRITEABLE_ : 0, nullptr);
  if (!owner)
    return array;
  if (!array)
    Py_DECREF(owner);
  else if (api.PyArray_SetBaseObject_(array, owner) < 0) // steals the owner
    Py_CLEAR(array);
  return array;
}

PyObject *denseCopy(PyObject *array) { return numpyApi().PyArray_NewCopy_(array, /*NPY_CORDER=*/0); }

py::object descrOf(const std::string &dtype) {
  static auto *known = new std::unordered_map<std::string, PyObject *>;
  auto found = known->find(dtype);
  if (found != known->end())
    return py::reinterpret_borrow<py::object>(found->second);
  py::object type;
  bool isNumpys = false;
  for (const DtypeRow &row : dtypeRows)
    isNumpys |= dtype == row.name && row.code <= dlBool && row.code != dlBfloat;
  if (isNumpys) {
    type = py::str(dtype);
  } else {
    // Only now: ml_dtypes is not needed by most programs.
    py::module_ mlDtypes = py::module_::import("ml_dtypes");
    if (!py::hasattr(mlDtypes, dtype.c_str()))
      throw py::type_error("unknown dtype '" + dtype + "'");
    type = mlDtypes.attr(dtype.c_str());
  }
  py::object descr = py::module_::import("numpy").attr("dtype")(type);
  (*known)[dtype] = descr.inc_ref().ptr();
  return descr;
}

ScalarType scalarTypeOf(const std::string &dtype) {
  for (const DtypeRow &row : dtypeRows)
    if (dtype == row.name)
      return row.scalar;
  return ScalarType::Other;
}

bool storeScalar(PyObject *scalar, ScalarType type, void *storage) {
  if (PyBool_Check(scalar)) {
    *static_cast<uint8_t *>(storage) = scalar == Py_True;
    return type == ScalarType::Bool;
  }
  if (PyFloat_Check(scalar))
    return storeFloat(PyFloat_AS_DOUBLE(scalar), type, storage);
  switch (type) {
  case ScalarType::I8:
    return storeInt<int8_t>(scalar, storage);
  case ScalarType::I16:
    return storeInt<int16_t>(scalar, storage);
  case ScalarType::I32:
    return storeInt<int32_t>(scalar, storage);
  case ScalarType::I64:
    return storeInt<int64_t>(scalar, storage);
  case ScalarType::U8:
    return storeInt<uint8_t>(scalar, storage);
  case ScalarType::U16:
    return storeInt<uint16_t>(scalar, storage);
  case ScalarType::U32:
    return storeInt<uint32_t>(scalar, storage);
  case ScalarType::U64:
    return storeInt<uint64_t>(scalar, storage);
  case ScalarType::Bool:
  case ScalarType::Other:
    return false;
  default:
    break;
  }
  double value = PyLong_AsDouble(scalar);
  if (value == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    return false;
  }
  return storeFloat(value, type, storage);
}

DlpackTensor takeDlpack(py::handle producer, py::handle stream) {
  py::object capsule;
  if (PyCapsule_CheckExact(producer.ptr())) {
    capsule = py::reinterpret_borrow<py::object>(producer);
  } else {
    py::object method = producer.attr("__dlpack__");
    py::dict options;
    if (!stream.is_none())
      options["stream"] = stream;
    try {
      capsule = method(py::arg("max_version") = py::make_tuple(1, 0), **options);
    } catch (py::error_already_set &error) {
      if (!error.matches(PyExc_TypeError))
        throw;
      capsule = method(**options); // a producer of version 0
    }
  }
  if (auto *managed = take<DLManagedTensorVersioned>(capsule, "dltensor_versioned", "used_dltensor_versioned")) {
    py::capsule owner(managed, &release<DLManagedTensorVersioned>);
    if (managed->version.major != 1)
      throw py::buffer_error("unknown DLPack version " + std::to_string(managed->version.major));
    return {managed->tensor, (managed->flags & readOnlyFlag) != 0, owner};
  }
  if (auto *managed = take<DLManagedTensor>(capsule, "dltensor", "used_dltensor"))
    return {managed->tensor, false, py::capsule(managed, &release<DLManagedTensor>)};
  throw py::type_error("__dlpack__ returned no DLPack capsule");
}

py::object dlpackDescr(const DLTensor &tensor) { return descrOf(rowOf(tensor).name); }

py::object fromDlpack(py::handle producer) {
  DlpackTensor taken = takeDlpack(producer, py::none());
  return wrapTensor(taken.tensor, taken.readOnly, taken.owner);
}

py::capsule toDlpack(py::handle array) {
  if (!isArray(array.ptr()))
    throw py::type_error("expected a NumPy array");
  auto *view = fields(array.ptr());
  const DtypeRow *row = nullptr;
  for (const DtypeRow &candidate : dtypeRows)
    if (sameDtype(view->descr, descrOf(candidate.name).ptr())) {
      row = &candidate;
      break;
    }
  if (!row)
    throw py::buffer_error("DLPack has no such element type: " + py::str(array.attr("dtype")).cast<std::string>());
  std::vector<int64_t> sizes(view->dimensions, view->dimensions + view->nd), strides;
  for (int i = 0; i < view->nd; ++i)
    strides.push_back(view->strides[i] / (row->bits / 8));
  return exportTensor(py::reinterpret_borrow<py::object>(array), view->data, {1, 0}, *row, sizes, strides);
}

py::capsule deviceToDlpack(py::object owner, uint64_t pointer, const std::vector<int64_t> &shape,
                           const std::string &dtype, int device) {
  for (const DtypeRow &row : dtypeRows) {
    if (dtype != row.name)
      continue;
    std::vector<int64_t> strides(shape.size(), 1);
    for (size_t i = shape.size(); i-- > 1;)
      strides[i - 1] = strides[i] * shape[i];
    return exportTensor(owner, reinterpret_cast<void *>(pointer), {2, device}, row, shape, strides);
  }
  throw py::buffer_error("DLPack has no such element type: " + dtype);
}

} // namespace tilewright
