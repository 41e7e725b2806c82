//===- Dlpack.h - The structures of the DLPack exchange format ------------===//
//
// As its specification lays them out (versions 0 and 1).
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_DLPACK_H
#define TILEWRIGHT_RUNTIME_DLPACK_H

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tilewright {

struct DLDevice {
  int32_t type;
  int32_t id;
};
struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DLTensor {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;
  int64_t *strides;
  uint64_t byteOffset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void *context;
  void (*deleter)(DLManagedTensor *);
};
struct DLManagedTensorVersioned {
  struct {
    uint32_t major, minor;
  } version;
  void *context;
  void (*deleter)(DLManagedTensorVersioned *);
  uint64_t flags;
  DLTensor tensor;
};
constexpr uint64_t readOnlyFlag = 1;

/// What a class of arrays offers to native code as `__dlpack_c_exchange_api__`:
/// the fields of `DLPackExchangeAPI` that we use, where they lie.
struct DLExchange {
  uint32_t major, minor;
  DLExchange *previous;
  void *allocate, *exportTensor, *importTensor;
  int (*view)(void *object, DLTensor *tensor); ///< no ownership, no waiting; may be null
  int (*currentStream)(int32_t deviceType, int32_t device, void **stream);
};

enum : uint8_t { dlInt = 0, dlUInt = 1, dlFloat = 2, dlBfloat = 4, dlBool = 6, dlFloat8E4M3Fn = 10, dlFloat8E5M2 = 12 };

/// What a producer handed over: the tensor lives as long as its owner.
struct DlpackTensor {
  DLTensor tensor;
  bool readOnly;
  pybind11::capsule owner;
};

/// Asks `producer` (or takes the capsule that it is) for its tensor, ready for
/// use on `stream`, a number as DLPack has them, or None. Throws.
DlpackTensor takeDlpack(pybind11::handle producer, pybind11::handle stream);

/// A capsule on dense memory of a GPU that `owner` keeps alive.
pybind11::capsule deviceToDlpack(pybind11::object owner, uint64_t pointer, const std::vector<int64_t> &shape,
                                 const std::string &dtype, int device);

/// The NumPy dtype of a tensor's elements. Throws TypeError for others.
pybind11::object dlpackDescr(const DLTensor &tensor);

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_DLPACK_H
