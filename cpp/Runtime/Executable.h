//===- Executable.h - Linked code with its signature ----------------------===//
//
// `Executable` is the C++ side of `tilewright._runtime.Executable`: linked
// code, its manifest and the weights bound to it. The call path is here, from
// the arrays of a call to its outputs.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_EXECUTABLE_H
#define TILEWRIGHT_RUNTIME_EXECUTABLE_H

#include "Abi.h"
#include "Arrays.h"
#include "Loader.h"
#include "Manifest.h"
#include "Variants.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace tilewright {

namespace cuda {
class Device;
class DeviceCall;
class Program;
struct State;
} // namespace cuda

/// Code and signature, shared by an executable and its bound versions.
struct Code {
  Manifest manifest;
  std::unique_ptr<LoadedObject> object;
  TwEntry main = nullptr;
  TwShapes shapes = nullptr;
  struct Load {
    TwEntry entry = nullptr;
    TwShapes shapes = nullptr;
  };
  std::vector<Load> loads;

  /// What the call path reads of an argument or output.
  struct Slot {
    PyObject *descr = nullptr; ///< NumPy dtype, owned
    ScalarType scalar = ScalarType::Other;
    int rank = 0;
    int64_t itemSize = 1;
    const int64_t *shape = nullptr;
    const int *symbols = nullptr; ///< null if no dim has a symbol
  };
  std::vector<Slot> arguments, outputs;
  std::vector<std::vector<Slot>> loadArguments;
  std::vector<Slot> loadOutputs;
  size_t outputDims = 0; ///< number of all output dims together
  size_t inputRanks = 0; ///< sum of the ranks of all arguments
  bool hasAliases = false;

  // Of a program for a device: the text of its kernels; their machine code, if
  // there is some; and what the driver made of either, per device.
  const char *deviceText = nullptr;
  std::string deviceImage;
  std::map<cuda::Device *, std::unique_ptr<cuda::Program>> devicePrograms;
  std::mutex deviceMutex; ///< of `devicePrograms`; who holds it does not hold the interpreter's lock

  Code();

  /// Links `object`, which profilers know as `name`. Throws FormatError for
  /// bytes that do not fit the manifest.
  static std::shared_ptr<Code> load(std::string_view object, std::string_view manifest, const std::string &name);
  ~Code();
};

/// How an attempt to call ended.
enum class Outcome {
  Done,    ///< the result is set
  Failed,  ///< a Python exception is set
  NoMatch, ///< an argument does not fit; no exception is set
};

class Executable {
public:
  explicit Executable(std::shared_ptr<Code> code);
  ~Executable();
  Executable(const Executable &) = delete;
  Executable &operator=(const Executable &) = delete;

  /// Calls the code with `count` arguments, each an array or a Python scalar.
  /// Arrays that are not dense are copied. On success `outputs` holds a new
  /// reference per output. A variant whose guard holds runs in place of it.
  Outcome call(PyObject *const *arguments, size_t count, PyObject **outputs);

  /// A new executable in which the arguments of the given indices are bound.
  std::unique_ptr<Executable> bind(const std::vector<std::pair<size_t, PyObject *>> &arrays) const;

  /// Runs load entry `index` and returns the packed array. Throws.
  pybind11::object runLoad(size_t index, const std::vector<PyObject *> &sources);

  /// Throws the Python exception of a status that code returned.
  [[noreturn]] void throwStatus(int32_t code, int32_t location) const;

  /// Whether calls take and return arrays of a device.
  bool isDevice() const { return code->manifest.device.has_value(); }

  /// Machine code of the kernels, for programs that are not loaded on a device yet.
  void setDeviceImage(std::string image) { code->deviceImage = std::move(image); }

  size_t numInputs() const { return inputs.size(); }
  size_t numOutputs() const { return code->outputs.size(); }
  const Code &getCode() const { return *code; }
  const std::vector<uint32_t> &inputIndices() const { return inputs; }
  PyObject *boundArray(size_t argument) const { return bound[argument]; }

  /// The table of variants, made on first use. Throws ValueError for a program
  /// with too many symbols.
  Variants &variants();
  /// The same, or null.
  Variants *existingVariants() const { return variantTable.get(); }
  /// Whether both take and return arrays of the same kinds and ranks.
  bool isAlike(const Executable &other) const;

  /// The Python object that owns this, for errors; borrowed.
  PyObject *self = nullptr;

private:
  struct Call;
  Outcome callOwn(PyObject *const *arguments, size_t count, PyObject **outputs);
  Outcome gatherInputs(Call &call);
  Outcome makeOutputs(Call &call);
  Outcome separateOverlaps(Call &call);
  Outcome runMain(Call &call);

  friend class cuda::DeviceCall;
  Outcome callDevice(PyObject *const *passed, size_t count, PyObject **outputs);
  pybind11::object runDeviceLoad(size_t index, const std::vector<PyObject *> &sources);

  std::shared_ptr<Code> code;
  std::vector<PyObject *> bound; ///< per argument, null for an input
  std::vector<int64_t> boundStrides;
  std::vector<TwArg> arguments;    ///< filled in for bound arguments
  std::vector<uint32_t> inputs;    ///< arguments that a call passes
  std::vector<uint32_t> positions; ///< per argument its place in `inputs`
  size_t frameBytes = 0;           ///< temporary memory of a call
  std::unique_ptr<Variants> variantTable;
  std::shared_ptr<cuda::State> deviceState; ///< made by the first call; calls under way hold it
};

/// Raises an exception made by `tilewright.runtime.failures.<function>(...)`;
/// the function is not on the traceback.
void raiseFrom(const char *function, pybind11::args arguments);

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_EXECUTABLE_H
