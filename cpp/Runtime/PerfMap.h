//===- PerfMap.h - Names of loaded code for `perf` ------------------------===//
//
// `perf report` resolves addresses outside of any file through the text file
// /tmp/perf-<process>.map, one line per function: begin, size (hexadecimal) and
// name. Off unless somebody asks: then every object that is linked adds its
// functions, local ones too, since kernels are.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_PERFMAP_H
#define TILEWRIGHT_RUNTIME_PERFMAP_H

#include <string>

namespace tilewright {

/// Turns the file on or off for objects that are linked from now on.
void setPerfMap(bool enabled);
bool perfMapEnabled();

/// Adds functions to the file of this process; `lines` is in its format.
/// Failure to write is of no interest to the program that is profiled.
void appendToPerfMap(const std::string &lines);

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_PERFMAP_H
