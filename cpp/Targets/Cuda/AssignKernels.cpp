//===- AssignKernels.cpp - Which device kernel a computation becomes ------===//
//
// In:  stage tiled: linalg operations with #tw.config.
// Out: stage vector: each says with `tw.lowering` how threads share it.
// Here, because a GPU has no stage of vector code of its own: the operation stays whole until threads take it apart.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Cuda.h"

#include "Tw/TwDialect.h"

namespace tilewright {
#define GEN_PASS_DEF_CUDAASSIGNKERNELSPASS
#include "Targets/Cuda/Cuda.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

SmallVector<int64_t> cuda::tileOf(Operation *op) {
  auto tile = op->getAttrOfType<DenseI64ArrayAttr>("tw.tile");
  return tile ? llvm::to_vector(tile.asArrayRef()) : SmallVector<int64_t>();
}

namespace {

struct CudaAssignKernelsPass : tilewright::impl::CudaAssignKernelsPassBase<CudaAssignKernelsPass> {
  void runOnOperation() override {
    getOperation().walk([](linalg::LinalgOp op) {
      auto config = op->getAttrOfType<tw::ConfigAttr>("tw.config");
      // What was marked before is sequential by construction: a thread keeps the order. Only running totals are made of parts.
      bool ordered = op->hasAttr("tw.lowering") && !(config && config.getLowering() == cuda::kRuns);
      StringAttr points = StringAttr::get(op->getContext(), cuda::kPoints);
      op->setAttr("tw.lowering", config && !ordered ? config.getLowering() : points);
      if (config && !ordered && !config.getTile().empty())
        op->setAttr("tw.tile", DenseI64ArrayAttr::get(op->getContext(), config.getTile()));
    });
  }
};

} // namespace
