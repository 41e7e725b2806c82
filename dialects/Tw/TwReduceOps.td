//===- TwReduceOps.td - Many points to one ----------------------*- tablegen -*-===//
#ifndef TW_REDUCE_OPS_TD
#define TW_REDUCE_OPS_TD

include "Tw/TwOpBase.td"

/// `init` returns the value to start from (type: the accumulator's), `body` combines `x` into the accumulator `y`.
class Tw_ReduceOp<string mnemonic, string title, Type tensor, code init, code body, string more = "">
    : Tw_StructuredOp<mnemonic, ["getLoopMaps", "getLoopIterators", "getLoopInit", "getLoopElementType"],
                      [InferTypeOpAdaptor]> {
  let summary = title;
  let description = title # [{ over the dimensions `dims`, which the result does not have. }] # more # [{

    (c1) each of `dims` is a dimension of `input`, and they increase.
    (c2) `result` has the other dimensions of `input`, in order, and its element type.

    Example:
    ```mlir
    %r = tw.}] # mnemonic # [{ %x dims = [1] : tensor<?x4x}] # !if(!eq(tensor, Tw_BoolTensor), "i1", "f32") # [{> -> tensor<?x}] # !if(!eq(tensor, Tw_BoolTensor), "i1", "f32") # [{>
    ```
  }];
  let arguments = (ins tensor:$input, DenseI64ArrayAttr:$dims);
  let results = (outs tensor:$result);
  let assemblyFormat = "$input `dims` `=` $dims attr-dict `:` type($input) `->` type($result)";
  let extraClassDefinition = shapes # [{
    ::llvm::LogicalResult $cppClass::inferReturnTypes(
        ::mlir::MLIRContext *context, std::optional<::mlir::Location> loc, Adaptor adaptor,
        ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      return common::inferReduction(loc, "tw.}] # mnemonic # [{", adaptor.getInput().getType(), adaptor.getDims(), types);
    }
    ::llvm::SmallVector<::mlir::AffineMap> $cppClass::getLoopMaps() {
      return common::reductionMaps(getInput().getType(), getDims(), 1);
    }
    ::llvm::SmallVector<::mlir::utils::IteratorType> $cppClass::getLoopIterators() {
      return common::reductionIterators(getInput().getType(), getDims());
    }
    ::mlir::Type $cppClass::getLoopElementType(unsigned output) {
      return common::accumulatorType(getInput().getType().getElementType());
    }
    ::mlir::TypedAttr $cppClass::getLoopInit(unsigned output) {
      common::ReductionInit init(getInput().getType().getElementType());
      }] # init # [{
    }
    ::llvm::SmallVector<::mlir::Value> $cppClass::buildLoopBody(
        ::mlir::OpBuilder &builder, ::mlir::Location loc, ::mlir::ValueRange scalars, ::mlir::ValueRange operands) {
      return common::combine(builder, loc, getInput().getType().getElementType(), scalars,
        [&](ScalarBuilder &s, ::mlir::Value x, ::mlir::Value y) -> ::mlir::Value {
          }] # body # [{
        });
    }
  }];
}

def Tw_SumOp : Tw_ReduceOp<"sum", "Sum", Tw_NumTensor, [{ return init.number(0); }], [{ return s.add(y, x); }],
  "Half-precision floats are accumulated in f32.">;
def Tw_ProdOp : Tw_ReduceOp<"prod", "Product", Tw_NumTensor, [{ return init.number(1); }], [{ return s.mul(y, x); }],
  "Half-precision floats are accumulated in f32.">;
def Tw_ReduceMaxOp : Tw_ReduceOp<"reduce_max", "Maximum", Tw_NumTensor, [{ return init.lowest(); }],
  [{ return s.max(y, x); }], "NaN wins; of nothing: the lowest value.">;
def Tw_ReduceMinOp : Tw_ReduceOp<"reduce_min", "Minimum", Tw_NumTensor, [{ return init.highest(); }],
  [{ return s.min(y, x); }], "NaN wins; of nothing: the highest value.">;
def Tw_AnyOp : Tw_ReduceOp<"any", "Disjunction", Tw_BoolTensor, [{ return init.number(0); }],
  [{ return s.make<::mlir::arith::OrIOp>(y, x); }]>;
def Tw_AllOp : Tw_ReduceOp<"all", "Conjunction", Tw_BoolTensor, [{ return init.number(1); }],
  [{ return s.make<::mlir::arith::AndIOp>(y, x); }]>;

class Tw_CompositeReduceOp<string mnemonic, string title>
    : Tw_ValueOp<mnemonic, [InferTypeOpAdaptor, DeclareOpInterfaceMethods<Tw_CompositeOpInterface>]> {
  let summary = title;
  let results = (outs Tw_FloatTensor:$result);
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::inferReturnTypes(
        ::mlir::MLIRContext *context, std::optional<::mlir::Location> loc, Adaptor adaptor,
        ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      return common::inferReduction(loc, "tw.}] # mnemonic # [{", adaptor.getInput().getType(), adaptor.getDims(), types);
    }
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return common::reifyReduction(getOperation(), builder, getInput(), getDims(), shapes);
    }
  }];
}

def Tw_MeanOp : Tw_CompositeReduceOp<"mean", "Arithmetic mean"> {
  let description = [{
    The mean over the dimensions `dims`; of nothing: NaN. Half-precision floats are accumulated in f32.

    (c1) each of `dims` is a dimension of `input`, and they increase.
    (c2) `result` has the other dimensions of `input`, in order, and its element type.

    Example:
    ```mlir
    %r = tw.mean %x dims = [1] : tensor<?x4xf32> -> tensor<?xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input, DenseI64ArrayAttr:$dims);
  let assemblyFormat = "$input `dims` `=` $dims attr-dict `:` type($input) `->` type($result)";
}

def Tw_VarOp : Tw_CompositeReduceOp<"var", "Variance"> {
  let description = [{
    The mean of squared differences from the mean (two passes), divided by the count minus `correction`.

    (c1) each of `dims` is a dimension of `input`, and they increase.
    (c2) `result` has the other dimensions of `input`, in order, and its element type.

    Example:
    ```mlir
    %r = tw.var %x dims = [1] {correction = 1.0} : tensor<?x4xf32> -> tensor<?xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input, DenseI64ArrayAttr:$dims, DefaultValuedAttr<F64Attr, "0.0">:$correction);
  let assemblyFormat = "$input `dims` `=` $dims attr-dict `:` type($input) `->` type($result)";
}

class Tw_ArgOp<string mnemonic, string title, string order>
    : Tw_StructuredOp<mnemonic, ["getLoopMaps", "getLoopIterators", "getLoopInit", "getLoopElementType"],
                      [InferTypeOpAdaptor]> {
  let summary = title;
  let description = title # [{ along dimension `axis`, which the result does not have. The first of equal values counts,
    and the first NaN before anything else.

    (c1) `axis` is a dimension of `input`.
    (c2) `result` has the other dimensions of `input`, in order, and element type i64.

    Example:
    ```mlir
    %r = tw.}] # mnemonic # [{ %x axis = 1 : tensor<?x4xf32> -> tensor<?xi64>
    ```
  }];
  let arguments = (ins Tw_NumTensor:$input, I64Attr:$axis);
  let results = (outs RankedTensorOf<[I64]>:$result);
  let assemblyFormat = "$input `axis` `=` $axis attr-dict `:` type($input) `->` type($result)";
  let extraClassDefinition = shapes # [{
    ::llvm::LogicalResult $cppClass::inferReturnTypes(
        ::mlir::MLIRContext *context, std::optional<::mlir::Location> loc, Adaptor adaptor,
        ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      return common::inferReduction(loc, "tw.}] # mnemonic # [{", adaptor.getInput().getType(), adaptor.getAxis(), types,
                                    ::mlir::IntegerType::get(context, 64));
    }
    ::llvm::SmallVector<::mlir::AffineMap> $cppClass::getLoopMaps() {
      return common::reductionMaps(getInput().getType(), getAxis(), 2);
    }
    ::llvm::SmallVector<::mlir::utils::IteratorType> $cppClass::getLoopIterators() {
      return common::reductionIterators(getInput().getType(), getAxis());
    }
    ::mlir::Type $cppClass::getLoopElementType(unsigned output) {
      if (output == 0)
        return ::mlir::IntegerType::get(getContext(), 64);
      return common::accumulatorType(getInput().getType().getElementType());
    }
    ::mlir::TypedAttr $cppClass::getLoopInit(unsigned output) {
      common::ReductionInit init(getInput().getType().getElementType());
      if (output == 0)
        return common::ReductionInit(::mlir::IntegerType::get(getContext(), 64)).highest();
      return }] # !if(!eq(order, "gt"), "init.lowest()", "init.highest()") # [{;
    }
    ::llvm::SmallVector<::mlir::Value> $cppClass::buildLoopBody(
        ::mlir::OpBuilder &builder, ::mlir::Location loc, ::mlir::ValueRange scalars, ::mlir::ValueRange operands) {
      return common::pickBest(builder, loc, getInput().getType().getElementType(), scalars, getAxis(), "}] # order # [{");
    }
  }];
}
def Tw_ArgmaxOp : Tw_ArgOp<"argmax", "Position of the maximum", "gt">;
def Tw_ArgminOp : Tw_ArgOp<"argmin", "Position of the minimum", "lt">;

class Tw_CumulativeOp<string mnemonic, string title, int start, code body>
    : Tw_StructuredOp<mnemonic, ["getLoopMaps", "getLoopIterators", "getLoopInit", "getLoopElementType", "isLoopOrdered"],
                      [AllTypesMatch<["input", "result"]>]> {
  let summary = title;
  let description = title # [{ along dimension `axis`, up to and including each element.

    (c1) `axis` is a dimension of `input`.
    (c2) `result` has the type of `input`.

    Example:
    ```mlir
    %r = tw.}] # mnemonic # [{ %x axis = 1 : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_NumTensor:$input, I64Attr:$axis);
  let results = (outs Tw_NumTensor:$result);
  let assemblyFormat = "$input `axis` `=` $axis attr-dict `:` type($input)";
  let hasVerifier = 1;
  let extraClassDefinition = shapes # [{
    ::llvm::LogicalResult $cppClass::verify() {
      return common::verifyAxis(getOperation(), getInput().getType(), getAxis());
    }
    ::llvm::SmallVector<::mlir::AffineMap> $cppClass::getLoopMaps() {
      auto maps = common::reductionMaps(getInput().getType(), getAxis(), 1);
      maps.insert(maps.begin(), maps.front());
      return maps;
    }
    ::llvm::SmallVector<::mlir::utils::IteratorType> $cppClass::getLoopIterators() {
      return common::reductionIterators(getInput().getType(), getAxis());
    }
    ::mlir::Type $cppClass::getLoopElementType(unsigned output) {
      ::mlir::Type type = getInput().getType().getElementType();
      return output == 0 ? common::signless(type) : common::accumulatorType(type);
    }
    ::mlir::TypedAttr $cppClass::getLoopInit(unsigned output) {
      if (output == 0)
        return {};
      return common::ReductionInit(getInput().getType().getElementType()).number(}] # start # [{);
    }
    bool $cppClass::isLoopOrdered() { return true; }
    ::llvm::SmallVector<::mlir::Value> $cppClass::buildLoopBody(
        ::mlir::OpBuilder &builder, ::mlir::Location loc, ::mlir::ValueRange scalars, ::mlir::ValueRange operands) {
      return common::accumulate(builder, loc, getInput().getType().getElementType(), scalars,
        [&](ScalarBuilder &s, ::mlir::Value x, ::mlir::Value y) -> ::mlir::Value { }] # body # [{ });
    }
  }];
}
def Tw_CumsumOp : Tw_CumulativeOp<"cumsum", "Running sum", 0, [{ return s.add(y, x); }]>;
def Tw_CumprodOp : Tw_CumulativeOp<"cumprod", "Running product", 1, [{ return s.mul(y, x); }]>;

#endif // TW_REDUCE_OPS_TD
