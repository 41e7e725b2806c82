//===- Manifest.cpp - What an object says about itself
//---------------------===//

#include "Manifest.h"

#include "Abi.h"

#include "llvm/Support/JSON.h"

#include <algorithm>

using namespace llvm;
using namespace tilewright;

namespace {

constexpr size_t maxRank = 32; // NumPy's own limit before 2.0

/// Collects the first complaint; every read after it is harmless.
class Reader {
public:
  explicit Reader(std::string &error) : error(error) {}

  bool fail(const Twine &message) {
    if (error.empty())
      error = message.str();
    return false;
  }
  bool failed() const { return !error.empty(); }

  std::string text(const json::Object &object, StringRef key, bool required) {
    const json::Value *value = object.get(key);
    if (!value || value->kind() == json::Value::Null) {
      if (required)
        fail("'" + key + "' is missing");
      return {};
    }
    if (auto string = value->getAsString())
      return string->str();
    fail("'" + key + "' must be a string");
    return {};
  }

  bool flag(const json::Object &object, StringRef key) {
    const json::Value *value = object.get(key);
    return value && value->getAsBoolean().value_or(false);
  }

  int64_t integer(const json::Object &object, StringRef key, int64_t missing, int64_t least) {
    const json::Value *value = object.get(key);
    if (!value || value->kind() == json::Value::Null)
      return missing;
    if (auto number = value->getAsInteger(); number && *number >= least)
      return *number;
    fail("'" + key + "' must be an integer of at least " + Twine(least));
    return missing;
  }

  /// A list of integers of at least 1; a missing list is empty.
  std::vector<int64_t> integers(const json::Object &object, StringRef key) {
    std::vector<int64_t> found;
    if (const json::Array *list = object.getArray(key))
      for (const json::Value &element : *list) {
        auto number = element.getAsInteger();
        if (!number || *number < 1)
          fail("'" + key + "' must hold integers of at least 1");
        found.push_back(number.value_or(1));
      }
    return found;
  }

  /// Calls `each` with the objects of a list; a missing list is empty.
  template <typename Function> void objects(const json::Object &object, StringRef key, Function each) {
    const json::Value *value = object.get(key);
    if (!value || value->kind() == json::Value::Null)
      return;
    const json::Array *list = value->getAsArray();
    if (!list) {
      fail("'" + key + "' must be a list");
      return;
    }
    for (const json::Value &element : *list) {
      const json::Object *inner = element.getAsObject();
      if (!inner) {
        fail("'" + key + "' must hold objects");
        return;
      }
      each(*inner);
    }
  }

  void array(const json::Object &object, const std::vector<SymbolSpec> &symbols, ArraySpec &spec) {
    spec.name = text(object, "name", false);
    spec.dtype = text(object, "dtype", true);
    const json::Array *shape = object.getArray("shape");
    if (!shape || shape->size() > maxRank) {
      fail("'shape' must be a list of at most 32 sizes");
      return;
    }
    for (const json::Value &size : *shape) {
      auto number = size.getAsInteger();
      if (size.kind() != json::Value::Null && (!number || *number < 0)) {
        fail("a size must be null or an integer of at least 0");
        return;
      }
      spec.shape.push_back(number ? *number : anySize);
    }
    spec.symbols.assign(spec.shape.size(), -1);
    const json::Array *dims = object.getArray("dims");
    if (!dims)
      return;
    if (dims->size() != spec.shape.size()) {
      fail("'dims' and 'shape' differ in length");
      return;
    }
    for (size_t i = 0; i < dims->size(); ++i) {
      auto name = (*dims)[i].getAsString();
      if (!name || name->empty())
        continue;
      auto found =
          std::find_if(symbols.begin(), symbols.end(), [&](const SymbolSpec &symbol) { return symbol.name == *name; });
      if (found == symbols.end()) {
        fail("unknown symbol '" + *name + "'");
        return;
      }
      spec.symbols[i] = static_cast<int>(found - symbols.begin());
    }
  }

private:
  std::string &error;
};

void readSymbols(Reader &reader, const json::Object &root, Manifest &manifest) {
  const json::Object *symbols = root.getObject("symbols");
  if (!symbols)
    return;
  for (const auto &[name, value] : *symbols) {
    const json::Object *fields = value.getAsObject();
    if (!fields) {
      reader.fail("a symbol must be an object");
      return;
    }
    SymbolSpec symbol;
    symbol.name = StringRef(name).str();
    symbol.min = reader.integer(*fields, "min", 0, 0);
    symbol.max = reader.integer(*fields, "max", INT64_MAX, 0);
    symbol.multipleOf = reader.integer(*fields, "multiple_of", 1, 1);
    manifest.symbols.push_back(symbol);
  }
}

bool isStatic(const ArraySpec &spec) {
  return std::find(spec.shape.begin(), spec.shape.end(), anySize) == spec.shape.end();
}

void readArguments(Reader &reader, const json::Object &root, Manifest &manifest) {
  reader.objects(root, "args", [&](const json::Object &object) {
    ArraySpec spec;
    reader.array(object, manifest.symbols, spec);
    std::string kind = reader.text(object, "kind", false);
    if (!kind.empty() && kind != "input" && kind != "weight")
      reader.fail("unknown kind of argument '" + kind + "'");
    spec.weight = kind == "weight";
    spec.donated = reader.flag(object, "donate");
    if (spec.name.empty())
      spec.name = "arg" + std::to_string(manifest.arguments.size());
    manifest.arguments.push_back(std::move(spec));
  });
}

void readOutputs(Reader &reader, const json::Object &root, Manifest &manifest) {
  int64_t count = static_cast<int64_t>(manifest.arguments.size());
  reader.objects(root, "outputs", [&](const json::Object &object) {
    ArraySpec spec;
    reader.array(object, manifest.symbols, spec);
    spec.alias = static_cast<int>(reader.integer(object, "alias", -1, 0));
    if (spec.alias >= count || (spec.alias >= 0 && manifest.arguments[spec.alias].weight)) {
      reader.fail("an output is the alias of no input");
      return;
    }
    for (const ArraySpec &other : manifest.outputs)
      if (spec.alias >= 0 && other.alias == spec.alias)
        reader.fail("two outputs are the alias of one input");
    if (spec.alias >= 0) {
      const ArraySpec &source = manifest.arguments[spec.alias];
      if (source.dtype != spec.dtype || source.shape.size() != spec.shape.size()) {
        reader.fail("an output differs from the input that it aliases");
        return;
      }
    }
    if (manifest.shapes.empty() && spec.alias < 0 && !isStatic(spec))
      reader.fail("an output has sizes that nothing computes");
    manifest.outputs.push_back(std::move(spec));
  });
}

void readTensorMap(Reader &reader, const json::Object &object, DeviceKernelSpec &kernel) {
  TensorMapSpec &map = kernel.maps.emplace_back();
  map.parameter = static_cast<int>(reader.integer(object, "parameter", 0, 0));
  map.dtype = reader.text(object, "dtype", true);
  map.swizzle = reader.integer(object, "swizzle", 0, 0);
  map.promotion = reader.integer(object, "promotion", 128, 0);
  map.box = reader.integers(object, "box");
  if (map.parameter >= kernel.parameters)
    reader.fail("a tensor map is no parameter of its kernel");
  if (map.box.empty() || map.box.size() > 5)
    reader.fail("the box of a tensor map has 1 to 5 sizes");
  for (int64_t size : map.box)
    if (size > 256)
      reader.fail("a size of a tensor map's box is from 1 to 256");
  auto isOneOf = [](int64_t value, std::initializer_list<int64_t> values) {
    return std::find(values.begin(), values.end(), value) != values.end();
  };
  if (!isOneOf(map.swizzle, {0, 32, 64, 128}))
    reader.fail("the swizzle of a tensor map is 0, 32, 64 or 128 bytes");
  if (!isOneOf(map.promotion, {0, 64, 128, 256}))
    reader.fail("the promotion of a tensor map is 0, 64, 128 or 256 bytes");
}

/// The kernels of the device code: a name, or an object for what wants more than a plain launch.
void readDevice(Reader &reader, const json::Object &object, DeviceSpec &device) {
  device.arch = reader.text(object, "arch", true);
  device.code = reader.text(object, "code", true);
  device.ordinal = reader.integer(object, "ordinal", -1, 0);
  const json::Array *kernels = object.getArray("kernels");
  if (!kernels) {
    reader.fail("'kernels' of the device must be a list");
    return;
  }
  for (const json::Value &value : *kernels) {
    DeviceKernelSpec &kernel = device.kernels.emplace_back();
    if (auto name = value.getAsString()) {
      kernel.name = name->str();
      continue;
    }
    const json::Object *fields = value.getAsObject();
    if (!fields) {
      reader.fail("a kernel of the device is a name or an object");
      return;
    }
    kernel.name = reader.text(*fields, "name", true);
    kernel.shared = reader.integer(*fields, "shared", 0, 0);
    kernel.cluster = reader.integers(*fields, "cluster");
    kernel.overlap = reader.flag(*fields, "overlap");
    kernel.persistent = reader.integer(*fields, "persistent", 0, 0);
    kernel.parameters = reader.integer(*fields, "parameters", 0, 0);
    if (!kernel.cluster.empty() && kernel.cluster.size() != 3)
      reader.fail("'cluster' has three sizes");
    if (kernel.parameters > 1024)
      reader.fail("a kernel has too many parameters");
    reader.objects(*fields, "maps", [&](const json::Object &map) { readTensorMap(reader, map, kernel); });
  }
}

} // namespace

bool Manifest::parse(std::string_view text, std::string &error) {
  Reader reader(error);
  auto parsed = json::parse(StringRef(text.data(), text.size()));
  if (!parsed)
    return reader.fail(toString(parsed.takeError()));
  const json::Object *root = parsed->getAsObject();
  if (!root)
    return reader.fail("not a JSON object");
  if (root->getInteger("abi") != TW_ABI_VERSION)
    return reader.fail("ABI version is not " + Twine(TW_ABI_VERSION));

  entry = reader.text(*root, "entry", true);
  shapes = reader.text(*root, "shapes", false);
  scratch = reader.integer(*root, "scratch", 0, 0);
  if (const json::Object *object = root->getObject("device"))
    readDevice(reader, *object, device.emplace());
  readSymbols(reader, *root, *this);
  readArguments(reader, *root, *this);
  readOutputs(reader, *root, *this);
  reader.objects(*root, "loads", [&](const json::Object &object) {
    LoadSpec load;
    load.entry = reader.text(object, "entry", true);
    load.shapes = reader.text(object, "shapes", false);
    load.checked = object.get("args") != nullptr;
    reader.objects(object, "args", [&](const json::Object &argument) {
      ArraySpec spec;
      reader.array(argument, symbols, spec);
      load.arguments.push_back(std::move(spec));
    });
    if (const json::Object *output = object.getObject("output"))
      reader.array(*output, symbols, load.output);
    else
      reader.fail("a load entry has no 'output'");
    if (load.shapes.empty() && !isStatic(load.output))
      reader.fail("a packed weight has sizes that nothing computes");
    loads.push_back(std::move(load));
  });
  return !reader.failed();
}
