//===- Variants.h - Alternatives of an executable for certain sizes -------===//
//
// An executable can have variants: other code for the same program, each under
// a guard on the symbolic sizes of a call. A call reads its sizes, runs the
// first variant whose guard holds, and the executable's own code where none
// does (or where the variant refuses the arguments). What decides which
// variants there are is Python; here are the table, the guards and the counts
// that such decisions need.
//
// The table is never changed, only replaced by one store of a pointer. Reading
// it, and taking a reference to the variant found, happens under the
// interpreter's lock without giving it up in between. So a call sees the old
// table or the new one, and one under way keeps what it runs alive.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_VARIANTS_H
#define TILEWRIGHT_RUNTIME_VARIANTS_H

#include "Arrays.h"

#include <atomic>
#include <memory>

namespace tilewright {

class Executable;

struct Variant {
  std::vector<int64_t> guard; ///< per symbol a size, or anySize
  bool partial;               ///< some size may be any
  pybind11::object object;    ///< the Python object of `executable`
  Executable *executable;
  mutable uint64_t calls = 0;
};

class Variants {
public:
  /// More sizes than this are not read at each call.
  static constexpr size_t maxSymbols = 16;
  static constexpr size_t maxVariants = 64;

  /// `executable` outlives this and has at most maxSymbols symbols.
  explicit Variants(const Executable &executable);
  ~Variants();
  Variants(const Variants &) = delete;
  Variants &operator=(const Variants &) = delete;

  /// False if calls have nothing to gain from coming here.
  bool isActive() const { return active; }

  /// The variant for a call, alive until the reference goes; null if there is
  /// none. Counts the call, and tells the watcher of sizes that came often.
  Executable *find(PyObject *const *arguments, size_t count, pybind11::object &alive);

  using Table = std::vector<std::shared_ptr<Variant>>;
  const Table &current() const { return *table.load(std::memory_order_acquire); }
  void replace(Table next);

  /// Calls `watcher(sizes)` when a call's sizes have come `threshold` times
  /// since they were last reported, or when some of them (the others are then
  /// anySize) stayed the same for twice as many calls; null stops.
  void watch(uint64_t threshold, pybind11::object watcher);
  PyObject *getWatcher() const { return watcher.ptr(); }

  /// Sizes under observation with their counts.
  std::vector<std::pair<std::vector<int64_t>, uint64_t>> observed() const;

private:
  /// The sizes under observation at a time: what is called with more different
  /// ones in turn would only replace its variants all the time.
  static constexpr size_t maxCandidates = 8;

  struct Place {
    uint32_t input, axis;
  };

  bool read(PyObject *const *arguments, size_t count, int64_t *sizes) const;
  void observe(const int64_t *sizes);
  bool countSizes(const int64_t *sizes);
  bool countRuns(const int64_t *sizes, int64_t *steady);
  void tell(const int64_t *sizes);
  int64_t *candidate(size_t index) { return candidates.data() + index * places.size(); }

  std::vector<Place> places; ///< per symbol where a call has it
  std::atomic<const Table *> table;
  size_t last = 0; ///< where the search begins
  bool active = false;
  uint64_t threshold = 0;
  pybind11::object watcher;
  std::vector<int64_t> candidates; ///< sizes, row by row
  std::vector<uint64_t> counts;
  std::vector<int64_t> previous; ///< per symbol the size of the last call
  std::vector<uint64_t> runs;    ///< and how many calls in a row had it
};

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_VARIANTS_H
