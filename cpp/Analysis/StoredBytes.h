//===- StoredBytes.h - Products of integers in bytes ------------*- C++ -*-===//
//
// Rows that were rounded to bytes times weights that are stored in bytes are sums of products of small integers, if
// nothing but the integers changes inside a group. These are the questions that passes ask about the two sides.
//
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_ANALYSIS_STOREDBYTES_H
#define TILEWRIGHT_ANALYSIS_STOREDBYTES_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

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

/// Whether the unsigned `value` of a body is made of the argument `byte` by steps that can be taken for all bytes of a
/// word at once: bits that are shifted down are masked before a neighbour's would count.
bool isBytewise(mlir::linalg::GenericOp op, mlir::Value value, mlir::Value byte);

/// Whether `op` dequantises integers that lie one in a byte, or in a nibble of it, along its innermost loop, with
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
