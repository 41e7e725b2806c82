//===- TwInterfaces.td - The doors by which an op is lowered ----*- tablegen -*-===//
#ifndef TW_INTERFACES_TD
#define TW_INTERFACES_TD

include "mlir/IR/OpBase.td"

def Tw_StructuredOpInterface : OpInterface<"StructuredOpInterface"> {
  let description = [{
    Door 1: the operation is a perfect loop nest. It states its loops, how they index inputs and outputs, the initial
    value of each output and the scalar computation of one point; one pattern (`tw-to-linalg`) lowers all of them to
    `linalg.generic`. The defaults describe an elementwise operation.

    Values that the methods receive have signless element types, while the types of the operation itself keep `ui`: the
    body asks the operation where the sign matters. The first `getNumResults()` outputs of the loop nest are the
    results; further outputs (the best value of an argmax, the running sum of a cumsum) are dropped.
  }];
  let cppNamespace = "::tilewright::tw";
  let methods = [
    InterfaceMethod<"The tensors that the loop nest reads, as views of the operands if need be.",
      "::llvm::SmallVector<::mlir::Value>", "getLoopInputs",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "::mlir::ValueRange":$operands), "", [{
        return common::tensorOperands(operands);
      }]>,
    InterfaceMethod<"How the loops index the inputs and then the outputs.",
      "::llvm::SmallVector<::mlir::AffineMap>", "getLoopMaps", (ins), "", [{
        return common::identityMaps($_op.getOperation());
      }]>,
    InterfaceMethod<"The kind of each loop.",
      "::llvm::SmallVector<::mlir::utils::IteratorType>", "getLoopIterators", (ins), "", [{
        return common::parallelIterators($_op.getLoopMaps());
      }]>,
    InterfaceMethod<"The size of a loop that indexes no dimension of an input on its own.",
      "::mlir::OpFoldResult", "getLoopSize",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "unsigned":$loop, "::mlir::ValueRange":$operands),
      "", [{ return ::mlir::OpFoldResult(); }]>,
    InterfaceMethod<"The value that an output starts from; null where the body never reads it.",
      "::mlir::TypedAttr", "getLoopInit", (ins "unsigned":$output), "", [{ return ::mlir::TypedAttr(); }]>,
    InterfaceMethod<"The element type in which an output is accumulated (signless).",
      "::mlir::Type", "getLoopElementType", (ins "unsigned":$output), "", [{
        return common::signlessElementType($_op.getOperation()->getResult(output).getType());
      }]>,
    InterfaceMethod<"Computes one point: `scalars` are the elements of the inputs, then of the outputs so far.",
      "::llvm::SmallVector<::mlir::Value>", "buildLoopBody",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "::mlir::ValueRange":$scalars,
           "::mlir::ValueRange":$operands)>,
    InterfaceMethod<"Turns the output of the loop nest into the result, where they differ in shape.",
      "::mlir::Value", "finishLoopResult",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "::mlir::Value":$output), "", [{
        return output;
      }]>,
    InterfaceMethod<"Whether the loops must run in their order (a scan), so that nobody splits or vectorises them.",
      "bool", "isLoopOrdered", (ins), "", [{ return false; }]>
  ];
}

def Tw_CompositeOpInterface : OpInterface<"CompositeOpInterface"> {
  let description = [{
    Door 2: the operation is a formula over other operations of the dialect. `tw-normalize` replaces it, unless the target
    keeps it. An operation that needs this in some cases only (a padded convolution) says so in `isComposite`.
  }];
  let cppNamespace = "::tilewright::tw";
  let methods = [
    InterfaceMethod<"Whether this instance has to be decomposed.", "bool", "isComposite", (ins), "", [{ return true; }]>,
    InterfaceMethod<"Builds the formula at the insertion point; one value per result.",
      "::llvm::FailureOr<::llvm::SmallVector<::mlir::Value>>", "decompose", (ins "::mlir::OpBuilder &":$builder)>
  ];
}

#endif // TW_INTERFACES_TD
