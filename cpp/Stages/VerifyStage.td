//===- VerifyStage.td - Check a stage's promise -----------------*- tablegen -*-===//
#ifndef TW_STAGES_VERIFYSTAGE_TD
#define TW_STAGES_VERIFYSTAGE_TD

include "mlir/Pass/PassBase.td"

def VerifyStagePass : Pass<"tw-verify-stage", "::mlir::ModuleOp"> {
  let summary = "Check that a module keeps its stage's promise";
  let description = [{
    Every operation must be one that the stage allows, in the place where it allows it. A violation is a bug of ours: the
    error names the operation, the stage and the rule.
  }];
  let options = [
    Option<"stage", "stage", "std::string", /*default=*/"\"\"", "Name of the stage; empty for the module's `tw.stage`">
  ];
}

#endif // TW_STAGES_VERIFYSTAGE_TD
