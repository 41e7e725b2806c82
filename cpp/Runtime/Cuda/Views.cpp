//===- Views.cpp - Arrays of any library as a device's program sees them --===//
//
// Our own arrays are read directly; those of a class that offers functions to
// native code (torch) by these, in a fraction of a microsecond; those with
// `__cuda_array_interface__` (CuPy, Numba) by it; others with `__dlpack__` on a CUDA device (JAX) by that;
// whatever lies on the CPU is to be copied.
//
//===----------------------------------------------------------------------===//

#include "Cuda/Views.h"

#include "Dlpack.h"
#include "Objects.h"

#include <pybind11/stl.h>
#include <unordered_map>

namespace py = pybind11;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Steps of a row-major array are compared where there is more than one element to step to.
void setDense(View &view, const int64_t *byteStrides, int64_t itemSize) {
  int64_t expected = itemSize;
  bool empty = view.count() == 0;
  for (int i = view.rank - 1; i >= 0; --i) {
    view.dense &= empty || view.dims[i] == 1 || byteStrides[i] == expected;
    expected *= view.dims[i];
  }
}

void setDims(View &view, const py::tuple &shape) {
  if (shape.size() > 32)
    throw py::value_error("unsupported rank " + std::to_string(shape.size()));
  view.rank = static_cast<int>(shape.size());
  for (int i = 0; i < view.rank; ++i)
    view.dims[i] = shape[i].cast<int64_t>();
}

int64_t itemSizeOf(const py::object &descr) { return py::reinterpret_borrow<py::dtype>(descr).itemsize(); }

/// The NumPy dtype of an array of another library: its own, or what the name of its own means (torch.float32).
py::object descrOfArray(py::handle object, py::handle typestr) {
  py::object dtype = py::getattr(object, "dtype", py::none());
  if (py::isinstance<py::dtype>(dtype))
    return dtype;
  if (dtype.is_none())
    return py::module_::import("numpy").attr("dtype")(typestr);
  static auto *known = new std::unordered_map<PyObject *, PyObject *>; // dtypes of libraries live for ever
  auto found = known->find(dtype.ptr());
  if (found == known->end()) {
    auto name = py::str(dtype).cast<std::string>();
    py::object descr = descrOf(name.substr(name.rfind('.') + 1));
    found = known->emplace(dtype.inc_ref().ptr(), descr.inc_ref().ptr()).first;
  }
  return py::reinterpret_borrow<py::object>(found->second);
}

void readHost(py::object array, View &view) {
  if (!isDense(array.ptr()))
    array = py::reinterpret_steal<py::object>(denseCopy(array.ptr()));
  if (!array)
    throw py::error_already_set();
  auto *view_ = fields(array.ptr());
  if (view_->nd > 32)
    throw py::value_error("unsupported rank");
  view.descr = py::reinterpret_borrow<py::object>(view_->descr);
  view.rank = view_->nd;
  std::copy(view_->dimensions, view_->dimensions + view.rank, view.dims);
  view.host = view_->data;
  view.owner = std::move(array);
}

void readOwn(py::handle object, View &view) {
  view.descr = object.attr("_dtype");
  setDims(view, object.attr("_shape"));
  view.memory = object.attr("_memory").cast<Memory *>();
  view.data = view.memory->pointer;
  view.device = view.memory->device.ordinal;
}

void readInterface(py::handle object, const py::dict &interface, View &view) {
  view.descr = descrOfArray(object, interface["typestr"]);
  setDims(view, interface["shape"]);
  auto data = interface["data"].cast<py::tuple>();
  view.data = data[0].cast<Pointer>();
  view.writable = !data[1].cast<bool>();
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    auto strides = interface["strides"].cast<std::vector<int64_t>>();
    if (strides.size() != static_cast<size_t>(view.rank))
      throw py::value_error("__cuda_array_interface__: strides and shape differ in length");
    setDense(view, strides.data(), itemSizeOf(view.descr));
  }
  if (interface.contains("stream") && !interface["stream"].is_none()) {
    auto number = interface["stream"].cast<uintptr_t>();
    view.hasStream = true; // 1 is the default stream, 2 that of the thread; we know the former as null
    view.stream = number == 1 ? nullptr : reinterpret_cast<Stream>(number);
  }
  Driver &driver = Driver::current();
  if (view.data == 0)
    return; // no elements, so no device either
  if (driver.api.pointerAttribute(&view.device, pointerDevice, view.data) != success)
    throw Failure(Failure::Other, "an argument's __cuda_array_interface__ has an address of no device");
}

void readTensor(const DLTensor &tensor, View &view) {
  view.descr = dlpackDescr(tensor);
  if (tensor.ndim < 0 || tensor.ndim > 32)
    throw py::value_error("unsupported rank " + std::to_string(tensor.ndim));
  view.rank = tensor.ndim;
  std::copy(tensor.shape, tensor.shape + view.rank, view.dims);
  if (tensor.strides)
    setDense(view, tensor.strides, 1);
  view.data = reinterpret_cast<Pointer>(tensor.data) + tensor.byteOffset;
  view.device = tensor.device.id;
}

void readDlpack(py::handle object, View &view) {
  // Ready for the default stream; the call's own waits for that.
  DlpackTensor taken = takeDlpack(object, py::int_(1));
  readTensor(taken.tensor, view);
  view.writable = !taken.readOnly;
  view.hasStream = true;
  view.owner = taken.owner;
}

/// What a class offers to native code, or null; asked once per class.
const DLExchange *exchangeOf(PyTypeObject *type) {
  static auto *known = new std::unordered_map<PyTypeObject *, const DLExchange *>;
  auto found = known->find(type);
  if (found != known->end())
    return found->second;
  const DLExchange *exchange = nullptr;
  py::object capsule = py::getattr(reinterpret_cast<PyObject *>(type), "__dlpack_c_exchange_api__", py::none());
  if (PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api"))
    exchange = static_cast<const DLExchange *>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  while (exchange && exchange->major != 1)
    exchange = exchange->previous;
  if (exchange && !exchange->view)
    exchange = nullptr;
  Py_INCREF(type); // the address must not be used again
  return (*known)[type] = exchange;
}

} // namespace

bool cuda::readView(PyObject *object, View &view) {
  if (isArray(object)) {
    view.kind = kindNumpy;
    readHost(py::reinterpret_borrow<py::object>(object), view);
    return true;
  }
  view.kind = kindOf(Py_TYPE(object));
  if (view.kind == kindNone)
    return false;
  if (view.kind == kindNumpy) { // a NumPy scalar
    readHost(py::module_::import("numpy").attr("asarray")(py::handle(object)), view);
    return true;
  }
  if (view.kind == kindDeviceArray) {
    readOwn(object, view);
    return true;
  }
  if (const DLExchange *exchange = exchangeOf(Py_TYPE(object))) {
    // On the stream that its library has made current, which is that of the call.
    DLTensor tensor;
    if (exchange->view(object, &tensor))
      throw py::error_already_set();
    if (tensor.device.type == 2) { // kDLCUDA
      readTensor(tensor, view);
      return true;
    }
    readHost(fromDlpack(object), view);
    return true;
  }
  py::object interface;
  try {
    interface = py::getattr(object, "__cuda_array_interface__", py::none());
  } catch (py::error_already_set &) { // torch's raise for tensors on the CPU, and for those that want gradients
    interface = py::none();
  }
  if (py::isinstance<py::dict>(interface)) {
    readInterface(object, interface, view);
    return true;
  }
  auto device = py::handle(object).attr("__dlpack_device__")().cast<std::pair<int, int>>();
  if (device.first == 2) // kDLCUDA
    readDlpack(object, view);
  else
    readHost(fromDlpack(object), view);
  return true;
}
