//===- TwOpBase.td - Types and classes that ops are made of -----*- tablegen -*-===//
#ifndef TW_OP_BASE_TD
#define TW_OP_BASE_TD

include "mlir/IR/OpBase.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "Tw/TwDialect.td"
include "Tw/TwAttrs.td"
include "Tw/TwInterfaces.td"

//===----------------------------------------------------------------------===//
// Element and tensor types. Signed integers are signless, unsigned ones are `ui`, booleans are `i1`.
//===----------------------------------------------------------------------===//
def Tw_Float : AnyTypeOf<[F16, BF16, F32, F64], "floating-point">;
def Tw_Int : AnyTypeOf<[I8, I16, I32, I64, UI8, UI16, UI32, UI64], "integer">;
def Tw_Bool : AnyTypeOf<[I1], "boolean">;
def Tw_Num : AnyTypeOf<[Tw_Float, Tw_Int], "number">;
def Tw_IntOrBool : AnyTypeOf<[Tw_Int, I1], "integer or boolean">;
def Tw_Computable : AnyTypeOf<[Tw_Num, I1], "number or boolean">;
// Stored, moved, converted and multiplied, with sums in f32; there is no other arithmetic of them. What is too large for
// f8E4M3FN, which has no infinity, becomes NaN.
def Tw_Float8 : AnyTypeOf<[F8E4M3FN, F8E5M2], "8-bit floating-point">;
def Tw_Factor : AnyTypeOf<[Tw_Num, Tw_Float8], "number or 8-bit floating-point">;
def Tw_Any : AnyTypeOf<[Tw_Num, I1, Tw_Float8], "number or boolean">;

class Tw_TensorOf<Type element> : RankedTensorOf<[element], [], "ranked tensor">;
def Tw_FloatTensor : Tw_TensorOf<Tw_Float>;
def Tw_IntTensor : Tw_TensorOf<Tw_Int>;
def Tw_BoolTensor : Tw_TensorOf<Tw_Bool>;
def Tw_NumTensor : Tw_TensorOf<Tw_Num>;
def Tw_IntOrBoolTensor : Tw_TensorOf<Tw_IntOrBool>;
def Tw_Tensor : Tw_TensorOf<Tw_Any>;
def Tw_ComputableTensor : Tw_TensorOf<Tw_Computable>;
def Tw_FactorTensor : Tw_TensorOf<Tw_Factor>;

class Tw_Scalar<Type element> : 0DTensorOf<[element]>;

/// A condition: a rank-0 tensor of booleans.
def Tw_Flag : Type<
    CPred<"$_self == ::mlir::RankedTensorType::get({}, ::mlir::IntegerType::get($_self.getContext(), 1))">,
    "0D tensor of boolean", "::mlir::RankedTensorType">,
  BuildableType<"::mlir::RankedTensorType::get({}, $_builder.getI1Type())">;

//===----------------------------------------------------------------------===//
// Classes
//===----------------------------------------------------------------------===//
class Tw_Op<string mnemonic, list<Trait> traits = []> : Op<Tw_Dialect, mnemonic, traits>;

/// Every value operation: no side effect, and sizes of results that can be computed without computing them.
class Tw_ValueOp<string mnemonic, list<Trait> traits = []>
    : Tw_Op<mnemonic, [Pure, DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>] # traits>;

class Tw_LikeFirstOperandOp<string mnemonic, list<Trait> traits = []> : Tw_ValueOp<mnemonic, traits> {
  code shapes = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return common::reifyLikeOperand(getOperation(), builder, 0, shapes);
    }
  }];
  let extraClassDefinition = shapes;
}

/// A structured operation whose loop nest yields the results as they are.
class Tw_StructuredOp<string mnemonic, list<string> methods = [], list<Trait> traits = []>
    : Tw_ValueOp<mnemonic, [DeclareOpInterfaceMethods<Tw_StructuredOpInterface, methods>] # traits> {
  code shapes = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return common::reifyStructured(getOperation(), builder, shapes);
    }
  }];
  let extraClassDefinition = shapes;
}

#endif // TW_OP_BASE_TD
