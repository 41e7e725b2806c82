//===- PerfMap.cpp - Names of loaded code for `perf` ----------------------===//

#include "PerfMap.h"

#include <atomic>
#include <fcntl.h>
#include <mutex>
#include <unistd.h>

namespace {

std::atomic<bool> enabled{false};

/// All lines so far: a forked child has the code, but not the file.
struct Written {
  std::mutex mutex;
  std::string lines;
  pid_t process = 0;
};

Written &written() {
  static auto *state = new Written;
  return *state;
}

} // namespace

namespace tilewright {

void setPerfMap(bool on) { enabled.store(on, std::memory_order_relaxed); }

bool perfMapEnabled() { return enabled.load(std::memory_order_relaxed); }

void appendToPerfMap(const std::string &lines) {
  Written &state = written();
  std::lock_guard<std::mutex> lock(state.mutex);
  state.lines += lines;
  bool known = state.process == getpid();
  state.process = getpid();
  const std::string &text = known ? lines : state.lines;
  // Other code generators of the process (Python's own, say) append to the same
  // file; a link in its place would be somebody else's.
  std::string path = "/tmp/perf-" + std::to_string(getpid()) + ".map";
  int file = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0)
    return;
  for (size_t done = 0; done < text.size();) {
    ssize_t count = write(file, text.data() + done, text.size() - done);
    if (count <= 0)
      break;
    done += static_cast<size_t>(count);
  }
  close(file);
}

} // namespace tilewright
