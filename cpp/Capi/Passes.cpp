//===- Passes.cpp - One line per pass folder ---------------------------------===//
#include "Capi/Registration.h"
#include "Conversion/TwToLinalg/TwToLinalg.h"
#include "Stages/VerifyStage.h"
#include "Transforms/ChooseLayouts/ChooseLayouts.h"
#include "Transforms/FormKernels/FormKernels.h"
#include "Transforms/FuseElementwise/FuseElementwise.h"
#include "Transforms/MakeShapes/MakeShapes.h"
#include "Transforms/MaterializeSlices/MaterializeSlices.h"
#include "Transforms/Normalize/Normalize.h"
#include "Transforms/Peel/Peel.h"
#include "Transforms/TileAndFuse/TileAndFuse.h"
#include "Transforms/Vectorize/Vectorize.h"

void tilewright::registerTilewrightPasses() {
  registerChooseLayoutsPass();
  registerFormKernelsPass();
  registerFuseElementwisePass();
  registerMakeShapesPass();
  registerMaterializeSlicesPass();
  registerNormalizePass();
  registerPeelPass();
  registerTileAndFusePass();
  registerTwToLinalgPass();
  registerVerifyStagePass();
  registerVectorizePass();
}
