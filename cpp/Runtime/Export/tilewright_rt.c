/*===- tilewright_rt.c - The host table for exported programs
--------------===//
//
// Everything an exported object needs at run time, in portable C11: loops run
// one after another in the caller, scratch memory comes from the C library.
// Replace `parallel_for` by your own to use threads; see tilewright_rt.h.
//
//===----------------------------------------------------------------------===*/

#include "tilewright_rt.h"

#include <stdlib.h>

static void serial_for(const TwRt *rt,
                       void (*body)(void *ctx, int64_t begin, int64_t end),
                       void *ctx, int64_t n) {
  (void)rt;
  if (n > 0)
    body(ctx, 0, n);
}

static void *scratch_push(const TwRt *rt, int64_t bytes) {
  (void)rt;
  if (bytes < 0)
    return NULL;
  size_t size = (size_t)bytes + TW_SCRATCH_ALIGNMENT;
  return aligned_alloc(TW_SCRATCH_ALIGNMENT,
                       size - size % TW_SCRATCH_ALIGNMENT);
}

static void scratch_pop(const TwRt *rt, void *memory) {
  (void)rt;
  free(memory);
}

static void report_error(const TwRt *rt, int32_t code, int32_t location) {
  TwHost *host = (TwHost *)rt; /* `rt` is its first member */
  if (host->error_code == TW_OK) {
    host->error_code = code;
    host->error_location = location;
  }
}

void tw_host_init(TwHost *host) {
  host->rt.version = TW_ABI_VERSION;
  host->rt.size = (int32_t)sizeof(TwRt);
  host->rt.parallel_for = serial_for;
  host->rt.scratch_push = scratch_push;
  host->rt.scratch_pop = scratch_pop;
  host->rt.error = report_error;
  host->rt.launch = NULL;
  host->rt.read = NULL;
  host->error_code = TW_OK;
  host->error_location = -1;
}

int32_t tw_call(TwHost *host, TwEntry entry, const TwArg *in, const TwArg *out,
                int64_t scratch_bytes) {
  host->error_code = TW_OK;
  host->error_location = -1;
  void *scratch = NULL;
  if (scratch_bytes > 0) {
    scratch = scratch_push(&host->rt, scratch_bytes);
    if (!scratch)
      return TW_ERROR_MEMORY;
  }
  int32_t status = entry(&host->rt, in, out, scratch);
  scratch_pop(&host->rt, scratch);
  return host->error_code != TW_OK ? host->error_code : status;
}
