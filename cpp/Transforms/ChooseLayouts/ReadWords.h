//===- ReadWords.h - Numbers of a few bits are taken out of words -*- C++ -*-===//
//
// A byte of a weight may hold several numbers. Read byte by byte, each byte has to be widened before its numbers can be
// moved into place; four bytes that share a 32-bit lane are in place but for a shift:
//
//   float((extui(s[n, g, k]) >> 4 h) & 15)
// becomes, with loops k -> (i, k) of four trips and of a fourth as many,
//   float(((w[n, g, k] >> 8 i) >> 4 h) & 15)
//
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_READWORDS_H
#define TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_READWORDS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <optional>

namespace tilewright {

/// What matches: an input of bytes that hold more than one number each, and the loop along its last dimension.
struct StoredNumbers {
  mlir::OpOperand *storage;
  unsigned loop;
  mlir::arith::ExtUIOp widened; ///< what the body makes of a byte
};

std::optional<StoredNumbers> matchStoredNumbers(mlir::linalg::GenericOp op);

/// Replaces a contraction, whose loop is split; `words` is the storage in panels of words, read by `wordsMap`. Other
/// operands that run along the loop are viewed with their dimension split. Returns what took its place.
mlir::linalg::GenericOp emitSplitLoop(mlir::RewriterBase &rewriter, mlir::linalg::GenericOp op,
                                      const StoredNumbers &numbers, mlir::Value words, mlir::AffineMap wordsMap);

/// Rewrites the body of an operation that reads words where `numbers` read bytes, and keeps the loop: the map of its
/// operand has to divide the loop by four.
void emitBytesOfWords(mlir::RewriterBase &rewriter, mlir::linalg::GenericOp op, mlir::BlockArgument word,
                      mlir::arith::ExtUIOp widened, unsigned loop);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_READWORDS_H
