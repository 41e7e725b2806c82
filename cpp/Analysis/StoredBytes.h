//===- StoredBytes.h - Products of integers in bytes ------------*- C++ -*-===//
//
// Rows that were rounded to bytes times weights that are stored in bytes are sums of products of small integers, if
// nothing but the integers changes inside a group. These are the questions that passes ask about the two sides.
//
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_ANALYSIS_STOREDBYTES_H
#define TILEWRIGHT_ANALYSIS_STOREDBYTES_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SetVector.h"

#include <optional>

namespace tilewright {

/// Bytes of a 32-bit word, the group of one inner product.
constexpr int64_t kWordBytes = 4;

/// A tensor of numbers that a computation rounds to bytes, each times the scale of its group.
struct RoundedToBytes {
  mlir::linalg::GenericOp producer;
  mlir::Value integer; ///< i8, in the body of the producer
  mlir::Value scale;   ///< float, in the body; the same along the innermost dimension
  mlir::Value view;    ///< what is read: the producer's result, or an expand_shape of it
};

/// Looks at what makes `value`.
std::optional<RoundedToBytes> roundedToBytes(mlir::Value value);

/// Whether `op` has an input, other than `weight`, that was rounded to bytes.
bool readsRoundedBytes(mlir::linalg::GenericOp op, mlir::OpOperand *weight = nullptr);

/// Whether `map` reads neighbours one after the other along `loop`, in whole words: the last result is the loop and
/// multiples of a word, and nothing else depends on it.
bool runsInWords(mlir::AffineMap map, unsigned loop);

/// The map that reads the words of what such a map reads; `loop` counts words.
mlir::AffineMap inWords(mlir::AffineMap map, unsigned loop);

/// Where a bit for each of eight steps lies.
struct BytesOfBits {
  mlir::AffineMap map;              ///< reads the word that the byte belongs to
  llvm::SmallVector<int64_t> place; ///< the byte's number in the word: a factor for each loop, and a constant
};

/// Looks at the map of an operand of bytes, for loops of the sizes `ranges`. Nothing if loops that choose the byte leave its
/// word.
std::optional<BytesOfBits> bytesOfBits(mlir::AffineMap map, llvm::ArrayRef<int64_t> ranges);

/// How an unsigned number of at most eight bits is made of stored bytes by steps that can be taken for four neighbours
/// along a loop at once: what is shifted down is masked before a neighbour's bits would count, and sums fit a byte.
struct Bytewise {
  llvm::SmallSetVector<mlir::BlockArgument, 2> words; ///< bytes that run along the loop
  llvm::SmallSetVector<mlir::BlockArgument, 2> bits;  ///< bytes of which each step of the loop takes a bit
  int64_t most = 0;                                   ///< the number is no larger

  /// Whether the number is made of `byte` alone.
  bool isOf(mlir::BlockArgument byte) const { return bits.empty() && words.size() == 1 && words.front() == byte; }
};

/// Looks at `value` of the body of `op`.
std::optional<Bytewise> bytewise(mlir::linalg::GenericOp op, mlir::Value value, unsigned loop);

/// Whether `shift` is the step of `loop`, so that a byte that it is shifted by gives a bit for each step.
bool shiftsByStep(mlir::arith::ShRUIOp shift, unsigned loop);

/// Whether `op` dequantises integers that `bytewise` can take for four neighbours along its innermost loop at once, with
/// scales that do not change along it.
bool dequantisesBytes(mlir::linalg::GenericOp op);

/// The unsigned bits of a signed integer and what is to be taken from them.
struct Offset {
  mlir::Value bits; ///< the bits, or a signed byte, whose unsigned form is larger by `middle`
  int64_t middle = 0;
  bool isSignedByte = false;
};

/// The integer that `conversion` makes a float of.
std::optional<Offset> offsetOf(mlir::Operation *conversion);

} // namespace tilewright

#endif // TILEWRIGHT_ANALYSIS_STOREDBYTES_H
