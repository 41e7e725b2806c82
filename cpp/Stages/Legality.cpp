//===- Legality.cpp - What each stage allows ------------------------------===//
//
// One function per stage, in the order of the ladder. A rule answers for one
// operation: nothing if it may stand where it stands, else the sentence that
// the error shows. Operations inside linalg bodies belong to their linalg
// operation.
//===----------------------------------------------------------------------===//
#include "Stages/Legality.h"

#include "Tw/TwInterfaces.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;
using namespace tilewright;

namespace {

using Verdict = std::optional<std::string>;

StringRef dialectOf(Operation *op) { return op->getName().getDialectNamespace(); }

bool isOneOf(Operation *op, ArrayRef<StringRef> dialects) { return llvm::is_contained(dialects, dialectOf(op)); }

/// `tw` operations that host code keeps until it is lowered for a target.
bool isHostCheck(Operation *op) { return op->getName().getStringRef() == "tw.check"; }

/// The one instruction that kernels ask for by name.
bool isGroupDot(Operation *op) { return op->getName().getStringRef() == "rt.group_dot"; }

bool isDimSymbol(Operation *op) { return op->getName().getStringRef() == "tw.dim_symbol"; }

func::FuncOp functionOf(Operation *op) { return op->getParentOfType<func::FuncOp>(); }

bool isInKernel(Operation *op) {
  func::FuncOp function = functionOf(op);
  return function && function->hasAttr("tw.kernel");
}

template <typename ShapedKind> bool touches(Operation *op) {
  auto isKind = [](Type type) { return isa<ShapedKind>(type); };
  return llvm::any_of(op->getOperandTypes(), isKind) || llvm::any_of(op->getResultTypes(), isKind);
}

bool staysLoops(Operation *op) { return op->hasAttr("tw.lowering"); }

Verdict tracedRule(Operation *op) {
  if (isa<ModuleOp>(op) || isOneOf(op, {"func", "tw"}))
    return std::nullopt;
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return std::nullopt;
  bool onIndex = llvm::all_of(op->getOperandTypes(), [](Type t) { return t.isIndex() || t.isInteger(1); });
  if (dialectOf(op) == "arith" && onIndex)
    return std::nullopt;
  return "only func, tw, constants and arith on index stand here";
}

Verdict tensorRule(Operation *op) {
  if (Verdict broken = tracedRule(op))
    return broken;
  if (auto composite = dyn_cast<tw::CompositeOpInterface>(op); composite && composite.isComposite())
    return "composites are decomposed by now";
  return std::nullopt;
}

Verdict linalgRule(Operation *op) {
  if (isa<ModuleOp>(op) || isHostCheck(op) || isDimSymbol(op))
    return std::nullopt;
  if (dialectOf(op) == "tw")
    return "tw operations are lowered by now";
  if (!isOneOf(op, {"func", "linalg", "tensor", "arith", "math", "scf", "affine", "ub"}))
    return "only linalg, tensor, arith, math, scf and affine stand here";
  return std::nullopt;
}

Verdict kernelsRule(Operation *op) {
  if (Verdict broken = linalgRule(op))
    return broken;
  if (isa<linalg::LinalgOp>(op) && !isInKernel(op))
    return "the host function computes nothing: this belongs into a kernel";
  return std::nullopt;
}

Verdict tiledRule(Operation *op) {
  if (Verdict broken = kernelsRule(op))
    return broken;
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp || staysLoops(op))
    return std::nullopt;
  Attribute config = op->getAttr("tw.config");
  if (!config)
    return "a computation without a config: select has not seen it";
  return std::nullopt;
}

Verdict vectorRule(Operation *op) {
  if (isa<ModuleOp>(op) || isHostCheck(op) || isDimSymbol(op))
    return std::nullopt;
  if (isa<linalg::LinalgOp>(op) && !staysLoops(op))
    return "computations are vectors by now, or marked `tw.lowering = "
           "\"loops\"`";
  if (!isOneOf(op, {"func", "linalg", "tensor", "arith", "math", "scf", "affine", "vector", "ub"}) && !isGroupDot(op))
    return "only vector, tensor, arith, math, scf and affine stand here";
  return std::nullopt;
}

Verdict buffersRule(Operation *op) {
  if (touches<TensorType>(op))
    return "tensors are buffers by now";
  if (isa<ModuleOp>(op) || isHostCheck(op) || isDimSymbol(op))
    return std::nullopt;
  if (isa<linalg::LinalgOp>(op) && !staysLoops(op))
    return "computations are vectors by now, or marked `tw.lowering = "
           "\"loops\"`";
  if (isa<memref::AllocOp, memref::DeallocOp>(op))
    return "memory is planned: nothing is allocated while code runs";
  if (!isOneOf(op, {"func", "linalg", "memref", "arith", "math", "scf", "affine", "vector", "rt", "ub"}))
    return "only memref, vector, arith, math, scf, affine and rt stand here";
  return std::nullopt;
}

Verdict targetRule(Operation *op) {
  if (touches<TensorType>(op))
    return "tensors are buffers by now";
  if (isa<scf::ForallOp>(op))
    return "parallel loops are launches by now";
  if (isa<ModuleOp>(op) || isHostCheck(op) || isDimSymbol(op))
    return std::nullopt;
  // Entries take the ABI's arrays apart; the casts meet descriptors in `llvm`.
  if (isa<UnrealizedConversionCastOp>(op))
    return std::nullopt;
  if (isa<linalg::LinalgOp>(op))
    return "every computation is loops by now";
  if (!isOneOf(op,
               {"func", "memref", "arith", "math", "scf", "cf", "affine", "vector", "rt", "ub", "llvm", "gpu", "nvvm"}))
    return "only memref, vector, arith, math, scf, cf, affine, rt and device code stand "
           "here";
  return std::nullopt;
}

Verdict llvmRule(Operation *op) {
  // Device code is LLVM, too, in a module of its own.
  if (isa<ModuleOp>(op) || isOneOf(op, {"llvm", "nvvm"}) || op->getName().getStringRef() == "gpu.module")
    return std::nullopt;
  return "only the llvm dialect stands here";
}

struct Row {
  llvm::StringLiteral name;
  StageRule rule;
};

const Row rows[] = {{"traced", tracedRule},   {"tensor", tensorRule}, {"linalg", linalgRule},
                    {"kernels", kernelsRule}, {"tiled", tiledRule},   {"vector", vectorRule},
                    {"buffers", buffersRule}, {"target", targetRule}, {"llvm", llvmRule}};

} // namespace

StageRule tilewright::findStageRule(StringRef name) {
  for (const Row &row : rows)
    if (row.name == name)
      return row.rule;
  return nullptr;
}

ArrayRef<llvm::StringLiteral> tilewright::stageNames() {
  static const SmallVector<llvm::StringLiteral> names = [] {
    SmallVector<llvm::StringLiteral> list;
    for (const Row &row : rows)
      list.push_back(row.name);
    return list;
  }();
  return names;
}
