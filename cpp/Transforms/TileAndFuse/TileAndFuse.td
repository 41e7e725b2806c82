//===- TileAndFuse.td - Tile kernels as their configs say -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_TILEANDFUSE_TD
#define TW_TRANSFORMS_TILEANDFUSE_TD

include "mlir/Pass/PassBase.td"

def TileAndFusePass : Pass<"tw-tile-and-fuse", "::mlir::func::FuncOp"> {
  let summary = "Tile kernels as their configs say";
  let description = [{
    The root becomes a `scf.forall` over its workgroup tiles with all producers fused; then every operation with register tiles
    becomes `scf.for` loops, tagged `tw.peel`, with the producers fused that have none of their own.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect", "::mlir::affine::AffineDialect"];
}

#endif // TW_TRANSFORMS_TILEANDFUSE_TD
