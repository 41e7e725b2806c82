//===- Abi.h - What compiled Tilewright code and its host agree on --------===//
//
// The one place that defines the binary interface, version 1. It is plain C:
// the same file is included by the Python runtime, by the code that
// `compiled.export(dir)` writes, and by C programs that call exported code.
//
// An object file defines (names come from its manifest)
//
//   int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out,
//                   void *scratch);
//   int32_t tw_shapes(const TwArg *in, int64_t *out);
//   int32_t tw_load_K(const TwRt *rt, const TwArg *in, const TwArg *out,
//                     void *scratch);
//   int32_t tw_load_K_shapes(const TwArg *in, int64_t *out);
//
// `*_shapes` reads the dims of its inputs, never their data. It writes the dims
// of all outputs, output after output, and then the scratch bytes of the entry.
// An object that needs no such entry (all static) has the numbers in its
// manifest. Undefined symbols of an object are a subset of Symbols.def.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_ABI_H
#define TILEWRIGHT_RUNTIME_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TW_ABI_VERSION 1

/// Alignment in bytes of `scratch` and of all memory from `scratch_push`.
#define TW_SCRATCH_ALIGNMENT 64

/// One array. Strides count elements. Code of version 1 reads row-major dense
/// arrays only; the caller copies anything else beforehand. An i1 element takes
/// one byte, 0 or 1. An array without elements may have a null pointer.
typedef struct TwArg {
  void *data;
  const int64_t *dims;
  const int64_t *strides;
} TwArg;

/// What an entry returns, and what `TwRt.error` takes.
enum {
  TW_OK = 0,
  TW_ERROR_INDEX = 1,  ///< an index lies outside of its dimension
  TW_ERROR_CHECK = 2,  ///< a `tw.check` failed
  TW_ERROR_SHAPE = 3,  ///< sizes known only at run time do not agree
  TW_ERROR_MEMORY = 4, ///< scratch memory could not be had
  TW_ERROR_VALUE = 5   ///< any other run-time failure
};

/// What the host offers to compiled code; valid during one call. New fields are
/// only ever added at the end, and `size` says how many bytes there are.
typedef struct TwRt {
  int32_t version; ///< TW_ABI_VERSION
  int32_t size;    ///< sizeof(TwRt) of the host

  /// Runs `body` over disjoint ranges that cover [0, n), on any threads, and
  /// returns when all have run. Called inside a body, it runs serially.
  void (*parallel_for)(const struct TwRt *rt, void (*body)(void *ctx, int64_t begin, int64_t end), void *ctx,
                       int64_t n);

  /// A stack of temporary memory per thread: pops mirror pushes. Returns null
  /// when there is no memory.
  void *(*scratch_push)(const struct TwRt *rt, int64_t bytes);
  void (*scratch_pop)(const struct TwRt *rt, void *memory);

  /// Reports a failure; the first one of a call wins. The entry may go on, but
  /// its outputs are then dropped.
  void (*error)(const struct TwRt *rt, int32_t code, int32_t location_id);

  /// Starts a kernel of the object's device code, `kernel` being its place in the manifest's list, on `blocks` blocks of
  /// `threads` threads, and returns. `arguments` has the address of each of its parameters. A launch of no blocks is none.
  /// Null on the CPU. For code of a device, `in`, `out` and `scratch`, and what `scratch_push` returns, are its memory.
  void (*launch)(const struct TwRt *rt, int32_t kernel, int64_t blocks, int32_t threads, void **arguments);

  /// Waits for everything started before, and copies `bytes` bytes of the device's memory. Null on the CPU.
  void (*read)(const struct TwRt *rt, void *to, const void *from, int64_t bytes);
} TwRt;

typedef int32_t (*TwEntry)(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch);
typedef int32_t (*TwShapes)(const TwArg *in, int64_t *out);

#ifdef __cplusplus
} // extern "C"
#endif

#endif // TILEWRIGHT_RUNTIME_ABI_H
