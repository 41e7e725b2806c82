//===- PackedWeights.h - The packed form of weights -------------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PACKEDWEIGHTS_H
#define TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PACKEDWEIGHTS_H

#include "Transforms/ChooseLayouts/Panels.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/StringMap.h"

#include <optional>

namespace tilewright {

/// The weights of @main in panels. Each is packed once per layout, by a function @load_K that weights of equal type
/// share; what @main takes then is the packed weight.
class PackedWeights {
public:
  PackedWeights(mlir::ModuleOp module, mlir::func::FuncOp main, mlir::RewriterBase &rewriter, int64_t width)
      : module(module), main(main), rewriter(rewriter), width(width) {}

  /// True if `value` is a weight that can be cut into `panels`, perhaps seen through reshapes that leave their
  /// dimensions alone.
  bool canPack(mlir::Value value, Panels panels) { return behind(value, panels).has_value(); }

  /// The packed form of such a value.
  mlir::Value pack(mlir::Value value, Panels panels);

  /// Lets computations that pick elements of a weight by number pick them from its panels, where nothing else reads the
  /// original: an embedding table that is the output matrix, too, is bound once. What runs along a whole weight keeps
  /// the original, since it would stride through panels.
  void readPanelsInGathers();

  /// Takes raw weights that only packing read from the arguments of @main; their names stay in the packed ones.
  void dropUnused();

private:
  /// An argument of @main in panels; `packed` is the argument that holds them.
  struct Weight {
    mlir::BlockArgument raw;
    Panels panels;
    mlir::Value packed;
  };

  /// The weight and the panels of it that `panels` of `value` are; not packed yet.
  std::optional<Weight> behind(mlir::Value value, Panels panels);
  mlir::Value packedArgument(mlir::BlockArgument raw, Panels panels);
  /// Views of raw weights whose packed forms are read instead.
  void eraseUnusedReshapes();
  mlir::StringAttr loaderFor(mlir::RankedTensorType type, Panels panels, mlir::Location loc);

  mlir::ModuleOp module;
  mlir::func::FuncOp main;
  mlir::RewriterBase &rewriter;
  int64_t width;
  llvm::SmallVector<Weight> weights;
  llvm::StringMap<mlir::StringAttr> loaders;
};

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PACKEDWEIGHTS_H
