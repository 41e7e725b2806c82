//===- Contraction.h - Which loop nests are contractions --------*- C++ -*-===//
//
// Fusion, layouts and grouping ask the same questions of a loop nest. They are answered here once, from loops and
// indexing maps alone: once dequantisation or an activation was fused into a body, no pattern of operations tells a
// contraction any more. `OpFacts.contracts` in targets/facts.py is the same definition on the side of `select`.
//
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_ANALYSIS_CONTRACTION_H
#define TILEWRIGHT_ANALYSIS_CONTRACTION_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <optional>

namespace tilewright {

/// True for a reduction that reads at least two inputs again and again: each lacks a parallel loop. Scalars do not count.
/// Whatever its body holds is computed once per multiply-add, so this is the hottest code of a program.
///
///   out[m, n] += a[m, k] * b[k, n]      yes: `a` lacks n, `b` lacks m
///   out[m]    += a[m, k] * x[k]         no: every element of `a` is read once
///   out[m]    += (a[m, k] - mean[m])^2  no: nothing is read again
bool contracts(mlir::linalg::LinalgOp op);

/// The loop that panels are cut along: the last dimension of the single result of a reduction, where some input has the
/// loop and some other lacks it. Wider than `contracts`: a matrix-vector product gains from a packed matrix, too.
std::optional<unsigned> columnLoop(mlir::linalg::LinalgOp op);

/// How often each element of `operand` is read: the trips of the parallel loops that it lacks; `kDynamic` if unknown.
int64_t timesRead(mlir::linalg::LinalgOp op, mlir::OpOperand &operand);

} // namespace tilewright

#endif // TILEWRIGHT_ANALYSIS_CONTRACTION_H
