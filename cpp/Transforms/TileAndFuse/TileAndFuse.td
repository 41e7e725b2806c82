//===- TileAndFuse.td - Tile kernels as their configs say -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_TILEANDFUSE_TD
#define TW_TRANSFORMS_TILEANDFUSE_TD

include "mlir/Pass/PassBase.td"

def TileAndFusePass : Pass<"tw-tile-and-fuse", "::mlir::func::FuncOp"> {
  let summary = "Tile kernels as their configs say";
  let description = [{
    The root becomes a `scf.forall` over its workgroup tiles with all producers fused; then every operation with register tiles
    becomes `scf.for` loops, tagged `tw.peel`, with the producers fused that have none of their own.

    Where a tile sets what lies beyond a column to -inf (`column <= sum of row indices and scalars`), its maxima and, after
    the exponential, its sums and products end at the bound of the tile's last row, rounded up to 32 columns: a causal tile
    computes half of the scores on average. Infinities and NaN in what masked columns would be multiplied with, or what is
    the same for all columns of a row would divide them by, are then not seen.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect", "::mlir::affine::AffineDialect"];
}

#endif // TW_TRANSFORMS_TILEANDFUSE_TD
