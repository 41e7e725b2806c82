//===- VerifyStage.cpp - Check a stage's promise --------------------------===//
//
// In:  a module at any stage. Out: the same module, or an error per broken
// rule. Here between any two stages: the doorman of each room.
//===----------------------------------------------------------------------===//
#include "Stages/VerifyStage.h"
#include "Stages/Legality.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"

namespace tilewright {
#define GEN_PASS_DEF_VERIFYSTAGEPASS
#include "Stages/VerifyStage.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

struct VerifyStage : tilewright::impl::VerifyStagePassBase<VerifyStage> {
  using VerifyStagePassBase::VerifyStagePassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    std::string name = stage;
    if (name.empty())
      if (auto carried = module->getAttrOfType<StringAttr>("tw.stage"))
        name = carried.getValue().str();
    if (name.empty()) {
      module.emitError("carries no tw.stage: pass stage=NAME");
      return signalPassFailure();
    }
    StageRule rule = findStageRule(name);
    if (!rule) {
      module.emitError("unknown stage '") << name << "'; stages are " << llvm::join(stageNames(), ", ");
      return signalPassFailure();
    }
    bool broken = false;
    module.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (std::optional<std::string> verdict = rule(op)) {
        op->emitOpError("is illegal at stage '") << name << "': " << *verdict;
        broken = true;
      }
      // What a linalg operation does inside is its own business.
      return isa<linalg::LinalgOp>(op) ? WalkResult::skip() : WalkResult::advance();
    });
    if (broken)
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};

} // namespace
