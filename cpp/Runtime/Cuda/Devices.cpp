//===- Devices.cpp - What Python is told of devices and their memory ------===//

#include "Cuda/Call.h"
#include "Cuda/Keep.h"
#include "Dlpack.h"

#include <pybind11/stl.h>

namespace py = pybind11;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

Stream streamOf(uintptr_t number) { return reinterpret_cast<Stream>(number); }

std::unique_ptr<Memory> makeMemory(int ordinal, size_t bytes, uintptr_t stream) {
  Device &device = Driver::current().device(ordinal);
  Device::Use use(device);
  return std::make_unique<Memory>(device, bytes, streamOf(stream));
}

py::dict describeDevice(int ordinal) {
  Driver &driver = Driver::current();
  Device &device = driver.device(ordinal);
  Device::Use use(device);
  size_t free = 0, total = 0;
  driver.check(driver.api.memoryInfo(&free, &total), "asking for a device's memory");
  py::dict found;
  found["name"] = device.name;
  found["capability"] = py::make_tuple(device.capability / 10, device.capability % 10);
  found["driver"] = py::make_tuple(driver.version / 1000, driver.version % 1000 / 10);
  found["free"] = free;
  found["total"] = total;
  return found;
}

/// The elements are taken before this returns, or, by the driver, from memory that nobody changes until it has waited.
void copyIn(int ordinal, Pointer to, py::buffer from, uintptr_t stream) {
  py::buffer_info info = from.request();
  Device &device = Driver::current().device(ordinal);
  Device::Use use(device);
  auto bytes = static_cast<size_t>(info.size * info.itemsize);
  if (!bytes)
    return;
  device.driver.check(device.driver.api.copyIn(to, info.ptr, bytes, streamOf(stream)), "copying to the device");
  py::gil_scoped_release unlocked;
  device.driver.check(device.driver.api.streamSynchronise(streamOf(stream)), "copying to the device");
}

void copyOut(int ordinal, py::buffer to, Pointer from, uintptr_t stream) {
  py::buffer_info info = to.request(/*writable=*/true);
  Device &device = Driver::current().device(ordinal);
  Device::Use use(device);
  auto bytes = static_cast<size_t>(info.size * info.itemsize);
  if (bytes)
    device.driver.check(device.driver.api.copyOut(info.ptr, from, bytes, streamOf(stream)), "copying from the device");
  py::gil_scoped_release unlocked;
  device.driver.check(device.driver.api.streamSynchronise(streamOf(stream)), "waiting for the device");
}

void synchronise(int ordinal) {
  Device &device = Driver::current().device(ordinal);
  Device::Use use(device);
  {
    py::gil_scoped_release unlocked;
    device.driver.check(device.driver.api.synchronise(), "waiting for the device");
  }
  letGo();
}

int deviceOf(Pointer pointer) {
  Driver &driver = Driver::current();
  int ordinal = -1;
  driver.check(driver.api.pointerAttribute(&ordinal, pointerDevice, pointer), "asking for the device of an address");
  return ordinal;
}

} // namespace

void cuda::addDevices(py::module_ &module) {
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer)
        std::rethrow_exception(pointer);
    } catch (const Failure &failure) {
      raiseFrom("device_error", py::make_tuple(py::none(), failure.kindName(), failure.message, failure.kernel));
    }
  });
  py::class_<Memory>(module, "DeviceMemory", "Memory of a GPU, given back in the order of its stream.")
      .def(py::init(&makeMemory), py::arg("device"), py::arg("bytes"), py::arg("stream") = 0)
      .def("move_to",
           [](Memory &self, uintptr_t stream) {
             Device::Use use(self.device);
             self.moveTo(streamOf(stream));
           })
      .def("lend", &Memory::lend)
      .def("settle", &Memory::settle)
      .def_property_readonly("pointer", [](const Memory &self) { return self.pointer; })
      .def_property_readonly("nbytes", [](const Memory &self) { return self.bytes; })
      .def_property_readonly("device", [](const Memory &self) { return self.device.ordinal; })
      .def_property_readonly("stream",
                             [](const Memory &self) { return reinterpret_cast<uintptr_t>(self.lastStream()); });
  module.def("set_cuda_driver", &Driver::setPath, py::arg("path"), "The CUDA driver's library, opened at first use.");
  module.def(
      "set_cuda_options",
      [](bool graphs, bool waiting, bool overlapping) {
        options().graphs = graphs;
        options().waiting = waiting;
        options().overlapping = overlapping;
      },
      py::arg("graphs"), py::arg("waiting"), py::arg("overlapping") = true,
      "Whether launches are recorded as graphs, whether each launch is waited for, and whether kernels may begin "
      "before those end that come before them.");
  module.def("cuda_device_count", [] { return Driver::current().deviceCount; }, "How many GPUs the driver finds.");
  module.def("cuda_device", &describeDevice, py::arg("device"), "Name, capability, driver and memory of a GPU.");
  module.def("cuda_copy_in", &copyIn, py::arg("device"), py::arg("to"), py::arg("array"), py::arg("stream") = 0,
             "Copies a dense buffer to an address of a GPU, and waits.");
  module.def("cuda_copy_out", &copyOut, py::arg("device"), py::arg("array"), py::arg("source"), py::arg("stream") = 0,
             "Fills a dense buffer from an address of a GPU, and waits.");
  module.def("cuda_synchronize", &synchronise, py::arg("device"), "Waits for everything on a GPU.");
  module.def("cuda_pointer_device", &deviceOf, py::arg("pointer"), "The GPU that an address belongs to.");
  module.def("device_to_dlpack", &deviceToDlpack, py::arg("owner"), py::arg("pointer"), py::arg("shape"),
             py::arg("dtype"), py::arg("device"),
             "A DLPack capsule on dense memory of a GPU that `owner` keeps alive.");
}
