//===- Variants.cpp - Alternatives of an executable for certain sizes -----===//

#include "Variants.h"

#include "Executable.h"

#include <algorithm>

namespace py = pybind11;

namespace tilewright {

Variants::Variants(const Executable &executable) : table(new Table) {
  const Manifest &manifest = executable.getCode().manifest;
  places.assign(manifest.symbols.size(), {UINT32_MAX, 0});
  const std::vector<uint32_t> &inputs = executable.inputIndices();
  for (size_t input = 0; input < inputs.size(); ++input) {
    const std::vector<int> &symbols = manifest.arguments[inputs[input]].symbols;
    for (size_t axis = 0; axis < symbols.size(); ++axis)
      if (symbols[axis] >= 0 && places[symbols[axis]].input == UINT32_MAX)
        places[symbols[axis]] = {static_cast<uint32_t>(input), static_cast<uint32_t>(axis)};
  }
  candidates.reserve(maxCandidates * places.size());
}

Variants::~Variants() { delete table.load(std::memory_order_acquire); }

bool Variants::read(PyObject *const *arguments, size_t count, int64_t *sizes) const {
  for (size_t symbol = 0; symbol < places.size(); ++symbol) {
    Place place = places[symbol];
    // A size of a bound weight is no size of the call: it guards nothing.
    if (place.input == UINT32_MAX) {
      sizes[symbol] = anySize;
      continue;
    }
    // Whatever does not fit here, the executable's own check will explain.
    if (place.input >= count || !isArray(arguments[place.input]) ||
        fields(arguments[place.input])->nd <= static_cast<int>(place.axis))
      return false;
    sizes[symbol] = fields(arguments[place.input])->dimensions[place.axis];
  }
  return true;
}

static bool holds(const std::vector<int64_t> &guard, const int64_t *sizes) {
  for (size_t i = 0; i < guard.size(); ++i)
    if (guard[i] != anySize && guard[i] != sizes[i])
      return false;
  return true;
}

Executable *Variants::find(PyObject *const *arguments, size_t count, py::object &alive) {
  int64_t sizes[maxSymbols];
  if (!read(arguments, count, sizes))
    return nullptr;
  const Table &variants = current();
  for (size_t i = 0; i < variants.size(); ++i) {
    size_t index = i == 0 ? last : i <= last ? i - 1 : i;
    const Variant &variant = *variants[index];
    if (!holds(variant.guard, sizes))
      continue;
    if (!variant.partial) // else more particular ones would never be asked
      last = index;
    ++variant.calls;
    alive = variant.object;
    Executable *found = variant.executable;
    // The sizes that it leaves open may be worth a variant of their own.
    if (variant.partial && threshold)
      observe(sizes);
    return found;
  }
  if (threshold)
    observe(sizes);
  return nullptr;
}

/// Misra and Gries: what makes up more than one in maxCandidates + 1 of the
/// calls is found for certain, in bounded memory.
bool Variants::countSizes(const int64_t *sizes) {
  size_t width = places.size();
  size_t index = 0;
  while (index < counts.size() && !std::equal(sizes, sizes + width, candidate(index)))
    ++index;
  if (index == counts.size() && counts.size() == maxCandidates) {
    index = static_cast<size_t>(std::find(counts.begin(), counts.end(), 0) - counts.begin());
    if (index == maxCandidates) {
      for (uint64_t &count : counts)
        --count;
      return false;
    }
    std::copy(sizes, sizes + width, candidate(index));
  } else if (index == counts.size()) {
    candidates.insert(candidates.end(), sizes, sizes + width);
    counts.push_back(0);
  }
  if (++counts[index] < threshold)
    return false;
  counts[index] = 0;
  return true;
}

/// Sizes that never change, between others that always do.
bool Variants::countRuns(const int64_t *sizes, int64_t *steady) {
  bool enough = false;
  for (size_t i = 0; i < places.size(); ++i) {
    runs[i] = sizes[i] == previous[i] ? runs[i] + 1 : 1;
    previous[i] = sizes[i];
    enough |= sizes[i] != anySize && runs[i] == 2 * threshold;
  }
  if (enough)
    for (size_t i = 0; i < places.size(); ++i) {
      steady[i] = runs[i] >= 2 * threshold ? sizes[i] : anySize;
      runs[i] = runs[i] >= 2 * threshold ? threshold : runs[i];
    }
  return enough;
}

void Variants::observe(const int64_t *sizes) {
  int64_t steady[maxSymbols];
  bool isSteady = countRuns(sizes, steady);
  // The watcher is Python: the counters are done with before it runs.
  if (countSizes(sizes))
    tell(sizes);
  else if (isSteady)
    tell(steady);
}

void Variants::tell(const int64_t *sizes) {
  py::tuple seen(places.size());
  for (size_t i = 0; i < places.size(); ++i)
    seen[i] = sizes[i] == anySize ? py::object(py::none()) : py::object(py::int_(sizes[i]));
  py::object told = watcher;
  PyObject *answer = PyObject_CallOneArg(told.ptr(), seen.ptr());
  if (!answer) // the call itself is fine
    PyErr_WriteUnraisable(told.ptr());
  Py_XDECREF(answer);
}

void Variants::replace(Table next) {
  active = !next.empty() || threshold;
  last = 0;
  std::unique_ptr<const Table> old(table.exchange(new Table(std::move(next)), std::memory_order_acq_rel));
}

void Variants::watch(uint64_t after, py::object callback) {
  threshold = callback ? after : 0;
  active = threshold || !current().empty();
  candidates.clear();
  counts.clear();
  previous.assign(places.size(), anySize);
  runs.assign(places.size(), 0);
  std::swap(watcher, callback);
}

std::vector<std::pair<std::vector<int64_t>, uint64_t>> Variants::observed() const {
  std::vector<std::pair<std::vector<int64_t>, uint64_t>> result;
  for (size_t i = 0; i < counts.size(); ++i) {
    auto begin = candidates.begin() + static_cast<std::ptrdiff_t>(i * places.size());
    result.emplace_back(std::vector<int64_t>(begin, begin + static_cast<std::ptrdiff_t>(places.size())), counts[i]);
  }
  return result;
}

} // namespace tilewright
