/*===- tilewright_rt.h - The host table for exported programs
 * --------------===*/

#ifndef TILEWRIGHT_RT_H
#define TILEWRIGHT_RT_H

#include "Abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/// A host table with the error slot of the last call. One per calling thread.
typedef struct TwHost {
  TwRt rt;
  int32_t error_code;     ///< TW_OK, or why the last call failed
  int32_t error_location; ///< index into "locations" of the manifest, or -1
} TwHost;

/// Fills in a table that runs everything in the calling thread.
void tw_host_init(TwHost *host);

/// Calls an entry with `scratch_bytes` of temporary memory, the number that the
/// entry's shapes function (or the manifest) gives. Returns TW_OK or a code.
int32_t tw_call(TwHost *host, TwEntry entry, const TwArg *in, const TwArg *out, int64_t scratch_bytes);

#ifdef __cplusplus
} // extern "C"
#endif

#endif // TILEWRIGHT_RT_H
