//===- ThreadPool.cpp - The threads of the process
//-------------------------===//
//
// One loop at a time. Its range is cut into a few chunks per thread; each
// thread owns a run of neighbouring chunks, so that repeated loops over the
// same arrays find them in the same caches, and takes the others' chunks once
// its own are done, so that a thread which lost its core does not hold up the
// loop.
//
// A thread claims a chunk by counting down a word that holds the loop's number
// and how many chunks of that owner are left. The loop's number in the word
// makes a late worker harmless: it can only ever claim a chunk of the running
// loop, and that loop cannot end before the chunk has run.
//
// The first chunks matter: a worker sees a new loop by spinning on `epoch` for
// a short while after its last work, and sleeps on the same word afterwards.
//
//===----------------------------------------------------------------------===//

#include "ThreadPool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr int chunksPerThread = 4;
constexpr int maxThreads = 256;

void futexWait(std::atomic<uint32_t> &word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void futexWake(std::atomic<uint32_t> &word, int count) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

using Clock = std::chrono::steady_clock;
std::atomic<int> spinMicroseconds{50};

/// Spins until `ready()` or the time is up; returns what `ready()` said last.
template <typename Predicate> bool spinUntil(Predicate ready) {
  for (int i = 0; i < 64; ++i) {
    if (ready())
      return true;
    pause();
  }
  auto end = Clock::now() + std::chrono::microseconds(spinMicroseconds.load(std::memory_order_relaxed));
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready())
        return true;
      pause();
    }
  } while (Clock::now() < end);
  return ready();
}

/// True in a worker, and in a caller while its loop runs.
thread_local bool insideLoop = false;

class Pool {
public:
  explicit Pool(int threads) : threads(threads) {
    for (int i = 1; i < threads; ++i)
      if (!startWorker(i)) {
        this->threads = i; // as many as the system grants
        break;
      }
  }

  int size() const { return threads; }

  void run(void (*loopBody)(void *, int64_t, int64_t), void *loopCtx, int64_t loopN) {
    body = loopBody;
    ctx = loopCtx;
    n = loopN;
    int64_t wanted = int64_t{threads} * chunksPerThread;
    chunks = static_cast<uint32_t>(n < wanted ? n : wanted);
    pending.store(chunks, std::memory_order_relaxed);
    uint32_t number = ++loopNumber;
    for (int i = 0; i < threads; ++i)
      slots[i].word.store(uint64_t{number} << 32 | (first(i + 1) - first(i)), std::memory_order_release);
    epoch.fetch_add(1, std::memory_order_seq_cst);
    // A wake-up costs more than a chunk of a small loop: let the sleepers be
    // woken one by one, each wakes the next (see work()).
    if (sleepers.load(std::memory_order_seq_cst) > 0)
      futexWake(epoch, 1);

    claimAll(0);
    if (!spinUntil([&] { return pending.load(std::memory_order_acquire) == 0; }))
      waitForWorkers();
  }

  /// Ends the workers; the pool must be idle.
  void stop() {
    stopping.store(true, std::memory_order_seq_cst);
    epoch.fetch_add(1, std::memory_order_seq_cst);
    futexWake(epoch, INT_MAX);
    for (pthread_t worker : workers)
      pthread_join(worker, nullptr);
  }

private:
  struct alignas(64) Slot {
    std::atomic<uint64_t> word{0};
  };
  struct Start {
    Pool *pool;
    int index;
  };

  uint32_t first(int owner) const { return static_cast<uint32_t>(uint64_t{chunks} * owner / threads); }

  bool startWorker(int index) {
    // Signals belong to the interpreter's threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t worker;
    auto *start = new Start{this, index};
    int failed = pthread_create(
        &worker, nullptr,
        [](void *argument) -> void * {
          Start start = *static_cast<Start *>(argument);
          delete static_cast<Start *>(argument);
          insideLoop = true;
          start.pool->work(start.index);
          return nullptr;
        },
        start);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (failed) {
      delete start;
      return false;
    }
    char name[32]; // the kernel keeps 15 characters
    std::snprintf(name, sizeof name, "tw-worker-%d", index);
    pthread_setname_np(worker, name);
    workers.push_back(worker);
    return true;
  }

  /// Runs chunks of one owner until none is left.
  void claimFrom(int owner) {
    std::atomic<uint64_t> &word = slots[owner].word;
    uint64_t value = word.load(std::memory_order_acquire);
    while (static_cast<uint32_t>(value) != 0) {
      if (!word.compare_exchange_weak(value, value - 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      // From here to the decrement of `pending` the loop cannot end, so its
      // fields are stable.
      uint64_t chunk = first(owner + 1) - static_cast<uint32_t>(value);
      body(ctx, chunkBegin(chunk), chunkBegin(chunk + 1));
      if (pending.fetch_sub(1, std::memory_order_seq_cst) == 1 && callerSleeps.load(std::memory_order_seq_cst))
        futexWake(pending, 1);
      value = word.load(std::memory_order_acquire);
    }
  }

  int64_t chunkBegin(uint64_t chunk) const {
    return static_cast<int64_t>(static_cast<unsigned __int128>(n) * chunk / chunks);
  }

  void claimAll(int self) {
    int count = threads;
    for (int i = 0; i < count; ++i)
      claimFrom((self + i) % count);
  }

  void waitForWorkers() {
    callerSleeps.store(true, std::memory_order_seq_cst);
    while (uint32_t left = pending.load(std::memory_order_seq_cst))
      futexWait(pending, left);
    callerSleeps.store(false, std::memory_order_relaxed);
  }

  void work(int index) {
    uint32_t seen = 0;
    while (true) {
      auto changed = [&] { return epoch.load(std::memory_order_acquire) != seen; };
      if (!spinUntil(changed)) {
        sleepers.fetch_add(1, std::memory_order_seq_cst);
        while (epoch.load(std::memory_order_seq_cst) == seen)
          futexWait(epoch, seen);
        sleepers.fetch_sub(1, std::memory_order_seq_cst);
      }
      seen = epoch.load(std::memory_order_acquire);
      if (stopping.load(std::memory_order_acquire))
        return;
      if (sleepers.load(std::memory_order_relaxed) > 0)
        futexWake(epoch, 1);
      claimAll(index);
    }
  }

  int threads;
  std::vector<pthread_t> workers;

  // The loop; written by its caller between loops.
  void (*body)(void *, int64_t, int64_t) = nullptr;
  void *ctx = nullptr;
  int64_t n = 0;
  uint32_t chunks = 0;
  uint32_t loopNumber = 0;

  Slot slots[maxThreads];
  alignas(64) std::atomic<uint32_t> pending{0};
  std::atomic<bool> callerSleeps{false};
  alignas(64) std::atomic<uint32_t> epoch{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> stopping{false};
};

/// The pool and who may use it. A child of fork() has no worker threads and
/// perhaps a lock held by a thread that it lacks: it starts afresh, and the
/// memory of the old pool is left alone.
struct State {
  std::mutex mutex;
  Pool *pool = nullptr;
  int wanted = 0;
};

alignas(State) char stateMemory[sizeof(State)];
State *state = nullptr;

State &theState() {
  static std::once_flag once;
  std::call_once(once, [] {
    state = new (stateMemory) State;
    pthread_atfork(nullptr, nullptr, [] {
      int wanted = state->wanted;
      state = new (stateMemory) State;
      state->wanted = wanted;
      insideLoop = false;
    });
  });
  return *state;
}

/// Processors that a quota of `quota` per `period` microseconds comes to.
int processorsOf(long long quota, long long period) {
  if (quota <= 0 || period <= 0)
    return INT_MAX;
  return static_cast<int>(std::min<long long>(std::max(1LL, (quota + period - 1) / period), 4096));
}

/// The number in a file that holds one, or -1.
long long numberIn(const char *path) {
  long long value = -1;
  std::ifstream(path) >> value;
  return value;
}

/// Processors granted by the CPU quotas of the process's cgroup and of those
/// around it, or INT_MAX.
int cgroupProcessors() {
  int result =
      processorsOf(numberIn("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), numberIn("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  // Version 2: the line "0::/path" of /proc/self/cgroup.
  std::string line, path;
  for (std::ifstream groups("/proc/self/cgroup"); std::getline(groups, line);)
    if (line.compare(0, 3, "0::") == 0)
      path = line.substr(3);
  while (true) {
    std::ifstream limits("/sys/fs/cgroup" + path + "/cpu.max");
    long long quota = -1, period = -1;
    if (limits >> quota >> period) // "max" is no number: no limit
      result = std::min(result, processorsOf(quota, period));
    size_t slash = path.rfind('/');
    if (slash == std::string::npos)
      return result;
    path.resize(slash);
  }
}

/// Makes the pool if there is none. The lock is held.
Pool &ensurePool(State &state) {
  if (!state.pool) {
    int count = state.wanted > 0 ? state.wanted : tilewright::availableProcessors();
    state.pool = new Pool(std::min(count, maxThreads));
  }
  return *state.pool;
}

} // namespace

namespace tilewright {

int availableProcessors() {
  int count = 0;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    count = CPU_COUNT(&set);
  if (count <= 0)
    count = static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, std::min(count, cgroupProcessors()));
}

void parallelFor(void (*body)(void *, int64_t, int64_t), void *ctx, int64_t n) {
  if (n <= 0)
    return;
  State &shared = theState();
  if (n == 1 || insideLoop || !shared.mutex.try_lock()) {
    body(ctx, 0, n);
    return;
  }
  Pool &pool = ensurePool(shared);
  if (pool.size() == 1) {
    shared.mutex.unlock();
    body(ctx, 0, n);
    return;
  }
  insideLoop = true;
  pool.run(body, ctx, n);
  insideLoop = false;
  shared.mutex.unlock();
}

int numThreads() {
  State &shared = theState();
  std::lock_guard<std::mutex> lock(shared.mutex);
  if (shared.pool)
    return shared.pool->size();
  return shared.wanted > 0 ? std::min(shared.wanted, maxThreads) : std::min(availableProcessors(), maxThreads);
}

void setNumThreads(int count) {
  State &shared = theState();
  std::lock_guard<std::mutex> lock(shared.mutex);
  shared.wanted = count;
  if (!shared.pool)
    return;
  shared.pool->stop();
  delete shared.pool;
  shared.pool = nullptr;
}

void setSpinMicroseconds(int microseconds) { spinMicroseconds.store(microseconds, std::memory_order_relaxed); }

} // namespace tilewright
