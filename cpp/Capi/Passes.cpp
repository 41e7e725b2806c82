//===- Passes.cpp - One line per pass folder ---------------------------------===//
#include "Capi/Registration.h"
#include "Conversion/TwToLinalg/TwToLinalg.h"
#include "Stages/VerifyStage.h"
#include "Targets/Cpu/Cpu.h"
#include "Targets/Cuda/Cuda.h"
#include "Transforms/Bufferize/Bufferize.h"
#include "Transforms/CarryBuffers/CarryBuffers.h"
#include "Transforms/ChooseLayouts/ChooseLayouts.h"
#include "Transforms/FactorSums/FactorSums.h"
#include "Transforms/FormKernels/FormKernels.h"
#include "Transforms/FuseElementwise/FuseElementwise.h"
#include "Transforms/MakeShapes/MakeShapes.h"
#include "Transforms/MaterializeSlices/MaterializeSlices.h"
#include "Transforms/Normalize/Normalize.h"
#include "Transforms/OutputsToArguments/OutputsToArguments.h"
#include "Transforms/Peel/Peel.h"
#include "Transforms/PinSizes/PinSizes.h"
#include "Transforms/PlanMemory/PlanMemory.h"
#include "Transforms/ScaleProducts/ScaleProducts.h"
#include "Transforms/SplitReductions/SplitReductions.h"
#include "Transforms/StoreBools/StoreBools.h"
#include "Transforms/TileAndFuse/TileAndFuse.h"
#include "Transforms/Vectorize/Vectorize.h"

void tilewright::registerTilewrightPasses() {
  registerBufferizePass();
  registerCarryBuffersPass();
  registerChooseLayoutsPass();
  registerCpuPasses();
  registerCudaPasses();
  registerFactorSumsPass();
  registerFormKernelsPass();
  registerFuseElementwisePass();
  registerMakeShapesPass();
  registerMaterializeSlicesPass();
  registerNormalizePass();
  registerOutputsToArgumentsPass();
  registerPeelPass();
  registerPinSizesPass();
  registerPlanMemoryPass();
  registerScaleProductsPass();
  registerSplitReductionsPass();
  registerStoreBoolsPass();
  registerTileAndFusePass();
  registerTwToLinalgPass();
  registerVectorizePass();
  registerVerifyStagePass();
}
