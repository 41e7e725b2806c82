//===- Manifest.h - What an object says about itself
//-----------------------===//

#ifndef TILEWRIGHT_RUNTIME_MANIFEST_H
#define TILEWRIGHT_RUNTIME_MANIFEST_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tilewright {

/// Any size at all, where the manifest says null.
constexpr int64_t anySize = -1;

struct ArraySpec {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape; ///< anySize where only known at run time
  std::vector<int> symbols;   ///< per dim an index into Manifest::symbols, or -1
  bool weight = false;        ///< bound before the call, not passed with it
  bool donated = false;
  int alias = -1; ///< outputs: the argument whose memory it takes over
};

struct SymbolSpec {
  std::string name;
  int64_t min = 0;
  int64_t max = INT64_MAX;
  int64_t multipleOf = 1;
};

struct LoadSpec {
  std::string entry;
  std::string shapes; ///< empty if the output is static
  std::vector<ArraySpec> arguments;
  bool checked = false; ///< the manifest describes the arguments
  ArraySpec output;
};

/// A parameter that is a tensor map (`CUtensorMap`). Host code passes what the
/// map is made of: the array's address, its sizes, innermost first, and its
/// strides in bytes from the second dim on, all of them 64 bits wide.
struct TensorMapSpec {
  int parameter = 0;
  std::string dtype;
  std::vector<int64_t> box; ///< elements of a tile, innermost first
  int64_t swizzle = 0;      ///< bytes: 0, 32, 64 or 128
  int64_t promotion = 128;  ///< bytes that a miss brings to the L2 cache: 0, 64, 128 or 256
};

/// A kernel of the device code, as launches number them.
struct DeviceKernelSpec {
  std::string name;
  int64_t shared = 0;           ///< bytes of dynamic shared memory
  std::vector<int64_t> cluster; ///< blocks per cluster where the launch sets them, else empty
  bool overlap = false;         ///< may begin while the kernel before it ends (programmatic dependent launch)
  int64_t persistent = 0; ///< a multiple of so many blocks, no more than run at once, does all the work; 0: any grid
  int64_t parameters = 0; ///< their number, where there are tensor maps
  std::vector<TensorMapSpec> maps;
};

struct DeviceSpec {
  std::string arch;
  std::string code; ///< the symbol of the PTX text, which ends with a zero
  int64_t ordinal = -1;
  std::vector<DeviceKernelSpec> kernels;
};

/// The parts of a manifest that a call needs. The JSON itself stays with the
/// Python object.
struct Manifest {
  std::string entry;
  std::string shapes;
  std::vector<ArraySpec> arguments;
  std::vector<ArraySpec> outputs;
  std::vector<SymbolSpec> symbols;
  std::vector<LoadSpec> loads;
  int64_t scratch = 0;
  std::optional<DeviceSpec> device; ///< arrays lie in the memory of a device, which runs the kernels

  /// Reads and checks `json`. Returns false and sets `error` if it is not a
  /// manifest of this ABI; whatever it holds, nothing later can go out of
  /// bounds because of it.
  bool parse(std::string_view json, std::string &error);
};

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_MANIFEST_H
