//===- PackedWeights.h - The packed form of weights -------------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PACKEDWEIGHTS_H
#define TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PACKEDWEIGHTS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"

#include <optional>

namespace tilewright {

/// Emits the packing of `source` along `position`: [.., N, ..] to [N / panel, .., panel], the last panel zero-padded.
mlir::Value emitPack(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value source, unsigned position,
                     int64_t panel);

/// The weights of @main in panels. Each is packed once per dimension, by a function @load_K that weights of equal type
/// share; what @main takes then is the packed weight.
class PackedWeights {
public:
  PackedWeights(mlir::ModuleOp module, mlir::func::FuncOp main, mlir::RewriterBase &rewriter, int64_t panel)
      : module(module), main(main), rewriter(rewriter), panel(panel) {}

  /// True if `value` is a weight whose dimension `position` can be cut into panels, perhaps seen through reshapes that
  /// leave that dimension alone.
  bool canPack(mlir::Value value, unsigned position) { return behind(value, position).has_value(); }

  /// The packed form of such a value: [N / panel, the other dimensions, panel].
  mlir::Value pack(mlir::Value value, unsigned position);

  /// Lets computations that pick elements of a weight by number pick them from its panels, where nothing else reads the
  /// original: an embedding table that is the output matrix, too, is bound once. What runs along a whole weight keeps
  /// the original, since it would stride through panels.
  void readPanelsInGathers();

  /// Takes raw weights that only packing read from the arguments of @main; their names stay in the packed ones.
  void dropUnused();

private:
  /// An argument of @main and one of its dimensions.
  using Dimension = std::pair<mlir::BlockArgument, unsigned>;

  /// The dimension of a weight that `position` of `value` is.
  std::optional<Dimension> behind(mlir::Value value, unsigned position);
  mlir::Value packedArgument(Dimension key);
  /// Views of raw weights whose packed forms are read instead.
  void eraseUnusedReshapes();
  mlir::StringAttr loaderFor(mlir::RankedTensorType type, unsigned position, mlir::Location loc);

  mlir::ModuleOp module;
  mlir::func::FuncOp main;
  mlir::RewriterBase &rewriter;
  int64_t panel;
  llvm::MapVector<Dimension, mlir::Value> packedOf;
  llvm::StringMap<mlir::StringAttr> loaders;
};

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PACKEDWEIGHTS_H
