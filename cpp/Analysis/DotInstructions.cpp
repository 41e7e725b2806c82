//===- DotInstructions.cpp - What a target sums up at once ----------------===//
//
// Definitions stand in the header.
//
//===----------------------------------------------------------------------===//
#include "Analysis/DotInstructions.h"

#include "Tw/TwDialect.h"

using namespace mlir;
using namespace tilewright;

DotInstructions::DotInstructions(ModuleOp module) {
  auto target = module->getAttrOfType<tw::TargetAttr>("tw.target");
  if (!target)
    return;
  auto has = [&](StringRef fact, int64_t group) {
    auto value = target.getFacts().getAs<IntegerAttr>(fact);
    return value && value.getInt() == group;
  };
  bf16 = has("group_bf16", 2);
  i8 = has("group_i8", 4);
}
