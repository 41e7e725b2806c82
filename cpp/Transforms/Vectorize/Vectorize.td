//===- Vectorize.td - linalg on slices becomes loops of vectors -*- tablegen -*-===//
#ifndef TW_VECTORIZE_TD
#define TW_VECTORIZE_TD

include "mlir/Pass/PassBase.td"

def VectorizePass : Pass<"tw-vectorize", "::mlir::func::FuncOp"> {
  let summary = "Turn every linalg op on slices into loops of 1-d vectors";
  let description = [{
    Generates the micro-kernels. For each linalg op with `#tw.config<... lowering = "vector">`:

    - the loop `lane` runs on `vector` lanes; parallel loops of small static size around it are unrolled into a register
      tile, the others become `scf.for` over tensors;
    - accumulators of reductions are vector `iter_args`, read before and written after the reduction loops;
    - where the lane loop is itself a reduction, `unroll` partial vectors are kept and combined in a fixed tree at the end;
    - where totals on the way are results (cumsum), lanes along the sum are added up in log2(`vector`) steps, lanes along
      another loop one after the other; float products of neighbours are not made, since they may overflow where the
      product in order does not;
    - remainders along the lanes are masked, or scalar where an operand is not contiguous along the lanes; main parts
      have no mask;
    - an elementwise consumer of the same register tile takes the accumulators from registers.

    An op whose configuration is missing or says `loops` is left and marked `tw.lowering = "loops"`; so is one that cannot
    be vectorised, after a remark that says why.

    Example: `tw-opt --tw-vectorize` turns a tile `linalg.generic` of 8 x 32 f32 with k reduced and lane = 1, vector = 16
    into `scf.for %k … iter_args(16 x vector<16xf32>)` with two `vector.transfer_read` and eight `tensor.extract`.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::vector::VectorDialect"];
  let statistics = [
    Statistic<"numVectorized", "vectorized", "linalg ops that became vector code">,
    Statistic<"numLeft", "left-as-loops", "linalg ops that stay loops">,
    Statistic<"numForwarded", "forwarded", "reads of a tensor that were taken from registers">
  ];
}

#endif // TW_VECTORIZE_TD
