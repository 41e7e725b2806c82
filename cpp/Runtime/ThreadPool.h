//===- ThreadPool.h - The threads of the process
//---------------------------===//

#ifndef TILEWRIGHT_RUNTIME_THREADPOOL_H
#define TILEWRIGHT_RUNTIME_THREADPOOL_H

#include <cstdint>

namespace tilewright {

/// Runs `body` over disjoint ranges that cover [0, n), on the threads of the
/// process, and returns when all have run. A call inside a body, and a call
/// while another thread holds the pool, runs serially in the caller.
void parallelFor(void (*body)(void *ctx, int64_t begin, int64_t end), void *ctx, int64_t n);

/// How many threads a parallel loop uses, the caller among them.
int numThreads();

/// Sets the number of threads; 0 asks for the default, which is what affinity
/// and the cgroup's quota leave. Waits for a running loop to end.
void setNumThreads(int count);

/// How long a worker without work spins before it sleeps, in microseconds.
void setSpinMicroseconds(int microseconds);

/// Processors that this process may use: affinity and cgroup quota.
int availableProcessors();

} // namespace tilewright

#endif // TILEWRIGHT_RUNTIME_THREADPOOL_H
