//===- Api.h - The part of the CUDA driver's interface that we use --------===//
//
// Declared here, so that neither building nor importing needs a CUDA toolkit:
// names, numbers and layouts are those of NVIDIA's `cuda.h`. Functions are
// looked up in the driver's library when the first program wants a device.
//
//===----------------------------------------------------------------------===//

#ifndef TILEWRIGHT_RUNTIME_CUDA_API_H
#define TILEWRIGHT_RUNTIME_CUDA_API_H

#include <cstddef>
#include <cstdint>

namespace tilewright::cuda {

using Result = int; ///< CUresult
using Pointer = uint64_t;
using Context = struct ContextTag *;
using Module = struct ModuleTag *;
using Function = struct FunctionTag *;
using Stream = struct StreamTag *;
using Event = struct EventTag *;
using Graph = struct GraphTag *;
using GraphExec = struct GraphExecTag *;
using GraphNode = struct GraphNodeTag *;
using Pool = struct PoolTag *;

enum : Result {
  success = 0,
  invalidValue = 1,
  outOfMemory = 2,
  notInitialised = 3,
  deinitialised = 4,
  noDevice = 100,
  noBinary = 209,
  unsupportedPtx = 222,
  notReady = 600,
  captureUnsupported = 900,
  captureWrongThread = 908,
  updateFailure = 910,
};

/// Values of CUdevice_attribute, CUfunction_attribute, CUjit_option, …
enum : int {
  attributeMultiprocessors = 16,
  attributeCapabilityMajor = 75,
  attributeCapabilityMinor = 76,
  attributeMemoryPools = 115,
  functionMaxDynamicShared = 8,
  jitInfoLog = 3,
  jitInfoLogBytes = 4,
  jitErrorLog = 5,
  jitErrorLogBytes = 6,
  pointerDevice = 9,
  poolReleaseThreshold = 4,
  streamNonBlocking = 1,
  eventNoTiming = 2,
  captureThreadLocal = 1,
  launchCluster = 4,
  launchProgrammaticSerialisation = 6,
};

struct LaunchAttribute { ///< CUlaunchAttribute
  int id;
  int pad = 0;
  union alignas(8) {
    char bytes[64];
    struct {
      unsigned x, y, z;
    } cluster;
    int flag;
  } value;
};
static_assert(sizeof(LaunchAttribute) == 72);

struct LaunchConfig { ///< CUlaunchConfig
  unsigned gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes;
  Stream stream;
  LaunchAttribute *attributes;
  unsigned attributeCount;
};
static_assert(sizeof(LaunchConfig) == 56);

struct GraphUpdate { ///< CUgraphExecUpdateResultInfo
  int result;
  void *errorNode, *errorFromNode;
};

struct KernelNode { ///< CUDA_KERNEL_NODE_PARAMS_v2
  Function function;
  unsigned gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes;
  void **parameters;
  void **extra = nullptr;
  void *kernel = nullptr; ///< looked at where there is no function
  Context context = nullptr;
};
static_assert(sizeof(KernelNode) == 72);

/// CUtensorMap: opaque, passed by value.
struct alignas(64) TensorMap {
  uint64_t words[16];
};

// X(field, symbol, required, parameters): an optional function may be null.
#define TW_CUDA_FUNCTIONS(X)                                                                                           \
  X(init, cuInit, true, (unsigned))                                                                                    \
  X(errorName, cuGetErrorName, true, (Result, const char **))                                                          \
  X(errorString, cuGetErrorString, true, (Result, const char **))                                                      \
  X(driverVersion, cuDriverGetVersion, true, (int *))                                                                  \
  X(deviceCount, cuDeviceGetCount, true, (int *))                                                                      \
  X(deviceGet, cuDeviceGet, true, (int *, int))                                                                        \
  X(deviceName, cuDeviceGetName, true, (char *, int, int))                                                             \
  X(deviceAttribute, cuDeviceGetAttribute, true, (int *, int, int))                                                    \
  X(primaryContext, cuDevicePrimaryCtxRetain, true, (Context *, int))                                                  \
  X(getContext, cuCtxGetCurrent, true, (Context *))                                                                    \
  X(setContext, cuCtxSetCurrent, true, (Context))                                                                      \
  X(synchronise, cuCtxSynchronize, true, ())                                                                           \
  X(moduleLoad, cuModuleLoadDataEx, true, (Module *, const void *, unsigned, int *, void **))                          \
  X(moduleUnload, cuModuleUnload, true, (Module))                                                                      \
  X(moduleFunction, cuModuleGetFunction, true, (Function *, Module, const char *))                                     \
  X(functionSet, cuFuncSetAttribute, true, (Function, int, int))                                                       \
  X(functionParameter, cuFuncGetParamInfo, false, (Function, size_t, size_t *, size_t *))                              \
  X(launch, cuLaunchKernel, true,                                                                                      \
    (Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void **, void **))        \
  X(launchEx, cuLaunchKernelEx, false, (const LaunchConfig *, Function, void **, void **))                             \
  X(allocate, cuMemAllocAsync, true, (Pointer *, size_t, Stream))                                                      \
  X(release, cuMemFreeAsync, true, (Pointer, Stream))                                                                  \
  X(memoryInfo, cuMemGetInfo_v2, true, (size_t *, size_t *))                                                           \
  X(defaultPool, cuDeviceGetDefaultMemPool, true, (Pool *, int))                                                       \
  X(poolSet, cuMemPoolSetAttribute, true, (Pool, int, void *))                                                         \
  X(copyIn, cuMemcpyHtoDAsync_v2, true, (Pointer, const void *, size_t, Stream))                                       \
  X(copyOut, cuMemcpyDtoHAsync_v2, true, (void *, Pointer, size_t, Stream))                                            \
  X(copyOver, cuMemcpyDtoDAsync_v2, true, (Pointer, Pointer, size_t, Stream))                                          \
  X(pointerAttribute, cuPointerGetAttribute, true, (void *, int, Pointer))                                             \
  X(streamCreate, cuStreamCreate, true, (Stream *, unsigned))                                                          \
  X(streamSynchronise, cuStreamSynchronize, true, (Stream))                                                            \
  X(streamWait, cuStreamWaitEvent, true, (Stream, Event, unsigned))                                                    \
  X(streamIsCapturing, cuStreamIsCapturing, true, (Stream, int *))                                                     \
  X(eventCreate, cuEventCreate, true, (Event *, unsigned))                                                             \
  X(eventRecord, cuEventRecord, true, (Event, Stream))                                                                 \
  X(eventQuery, cuEventQuery, true, (Event))                                                                           \
  X(eventDestroy, cuEventDestroy_v2, true, (Event))                                                                    \
  X(beginCapture, cuStreamBeginCapture_v2, true, (Stream, int))                                                        \
  X(endCapture, cuStreamEndCapture, true, (Stream, Graph *))                                                           \
  X(captureInfo, cuStreamGetCaptureInfo_v2, false, (Stream, int *, uint64_t *, Graph *, const GraphNode **, size_t *)) \
  X(graphInstantiate, cuGraphInstantiateWithFlags, false, (GraphExec *, Graph, unsigned long long))                    \
  X(graphUpdate, cuGraphExecUpdate_v2, false, (GraphExec, Graph, GraphUpdate *))                                       \
  X(graphSetKernel, cuGraphExecKernelNodeSetParams_v2, false, (GraphExec, GraphNode, const KernelNode *))              \
  X(graphLaunch, cuGraphLaunch, false, (GraphExec, Stream))                                                            \
  X(graphDestroy, cuGraphDestroy, false, (Graph))                                                                      \
  X(graphExecDestroy, cuGraphExecDestroy, false, (GraphExec))                                                          \
  X(encodeTiled, cuTensorMapEncodeTiled, false,                                                                        \
    (TensorMap *, int, uint32_t, void *, const uint64_t *, const uint64_t *, const uint32_t *, const uint32_t *, int,  \
     int, int, int))

/// The functions of one driver library.
struct Api {
#define TW_FIELD(field, symbol, required, parameters) Result(*field) parameters = nullptr;
  TW_CUDA_FUNCTIONS(TW_FIELD)
#undef TW_FIELD
};

} // namespace tilewright::cuda

#endif // TILEWRIGHT_RUNTIME_CUDA_API_H
