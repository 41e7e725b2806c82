//===- Panels.cpp - The layout that contractions read ---------------------===//
//
// In:  a tensor and the dimensions to cut. Out: computations that make its panels, all of them structured: packing at
// run time is a kernel like any other.
//===----------------------------------------------------------------------===//
#include "Transforms/ChooseLayouts/Panels.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

using namespace mlir;
using namespace tilewright;

namespace {

constexpr int64_t kWordBits = 32;
/// From so many bytes on, a padded copy of a whole tensor takes more time than another loop to compile.
constexpr int64_t kLargeBytes = int64_t{1} << 24;
/// Turns four signed bytes into unsigned ones that are larger by 128, and back.
constexpr int32_t kFlipBytes = static_cast<int32_t>(0x80808080);

/// Puts neighbours along `depth` of a tensor in panels into words.
Value emitWords(RewriterBase &rewriter, Location loc, Value panels, unsigned depth) {
  auto type = cast<RankedTensorType>(panels.getType());
  int64_t group = groupOf(type.getElementType()), rank = type.getRank();
  // Sizes of the destination, so that nothing keeps a copy that is not read.
  auto transpose = panels.getDefiningOp<linalg::TransposeOp>();
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, transpose ? transpose.getInit() : panels);
  sizes[depth] = affine::makeComposedFoldedAffineApply(rewriter, loc, rewriter.getAffineSymbolExpr(0).floorDiv(group),
                                                       {sizes[depth]});
  Value empty = tensor::EmptyOp::create(rewriter, loc, sizes, rewriter.getI32Type());
  AffineMap written = rewriter.getMultiDimIdentityMap(rank);

  // Rows that lie one after the other already are read where they lie, without the copy in between.
  Value source = panels;
  AffineMap read = written;
  if (transpose && transpose.getPermutation().back() == rank - 1) {
    source = transpose.getInput();
    read = AffineMap::getPermutationMap(transpose.getPermutation(), rewriter.getContext());
    read = inversePermutation(read);
  }
  SmallVector<AffineMap> maps;
  for (int64_t i = 0; i < group; ++i)
    maps.push_back(read.replace(getAffineDimExpr(depth, rewriter.getContext()),
                                getAffineDimExpr(depth, rewriter.getContext()) * group + i, rank, 0));
  maps.push_back(written);
  SmallVector<utils::IteratorType> kinds(rank, utils::IteratorType::parallel);
  Value words =
      linalg::GenericOp::create(rewriter, loc, empty.getType(), SmallVector<Value>(group, source), empty, maps, kinds,
                                [](OpBuilder &b, Location l, ValueRange args) {
                                  linalg::YieldOp::create(b, l, emitWord(b, l, args.drop_back(), /*isUnsigned=*/true));
                                })
          .getResult(0);
  if (source != panels)
    rewriter.eraseOp(transpose);
  return words;
}

} // namespace

int64_t tilewright::groupOf(Type element) { return kWordBits / element.getIntOrFloatBitWidth(); }

RankedTensorType tilewright::packedType(RankedTensorType type, Panels panels, int64_t width) {
  SmallVector<int64_t> shape(type.getShape());
  Type element = type.getElementType();
  if (panels.depth) {
    shape[*panels.depth] = llvm::divideCeil(shape[*panels.depth], groupOf(element));
    element = IntegerType::get(type.getContext(), kWordBits);
  }
  int64_t count = llvm::divideCeil(shape[panels.column], width);
  return RankedTensorType::get(panelOrder<int64_t>(shape, panels.column, count, width), element);
}

Value tilewright::padToMultiple(RewriterBase &rewriter, Location loc, Value source, unsigned dim, int64_t multiple) {
  auto type = cast<RankedTensorType>(source.getType());
  SmallVector<int64_t> shape(type.getShape());
  if (shape[dim] % multiple == 0)
    return source;
  shape[dim] = llvm::alignTo(shape[dim], multiple);
  SmallVector<OpFoldResult> low(type.getRank(), rewriter.getIndexAttr(0)), high(low);
  high[dim] = rewriter.getIndexAttr(shape[dim] - type.getDimSize(dim));
  Value zero = arith::ConstantOp::create(rewriter, loc, rewriter.getZeroAttr(type.getElementType()));
  return tensor::PadOp::create(rewriter, loc, type.clone(shape), source, low, high, zero);
}

Value tilewright::emitPack(RewriterBase &rewriter, Location loc, Value source, Panels panels, int64_t width) {
  if (panels.depth)
    source = padToMultiple(rewriter, loc, source, *panels.depth,
                           groupOf(cast<RankedTensorType>(source.getType()).getElementType()));
  auto type = cast<RankedTensorType>(source.getType());
  SmallVector<int64_t> outer{panels.column};
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (i != panels.column)
      outer.push_back(i);
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, source);
  OpFoldResult count = affine::makeComposedFoldedAffineApply(
      rewriter, loc, rewriter.getAffineSymbolExpr(0).ceilDiv(width), {sizes[panels.column]});
  OpFoldResult lanes = rewriter.getIndexAttr(width);
  Value empty = tensor::EmptyOp::create(rewriter, loc, panelOrder<OpFoldResult>(sizes, panels.column, count, lanes),
                                        type.getElementType());
  Value zero = arith::ConstantOp::create(rewriter, loc, rewriter.getZeroAttr(type.getElementType()));
  auto pack = linalg::PackOp::create(rewriter, loc, source, empty, SmallVector<int64_t>{panels.column},
                                     SmallVector<OpFoldResult>{lanes}, zero, outer);
  FailureOr<linalg::LowerPackResult> lowered = linalg::lowerPack(rewriter, pack, /*lowerPadLikeWithInsertSlice=*/false);
  if (failed(lowered) || !lowered->transposeOp)
    return {};
  Value packed = lowered->transposeOp->getResult(0);
  return panels.depth ? emitWords(rewriter, loc, packed, panels.packedPosition(*panels.depth)) : packed;
}

Value tilewright::emitLargePack(RewriterBase &rewriter, Location loc, Value source, Panels panels, int64_t width) {
  auto type = cast<RankedTensorType>(source.getType());
  int64_t columns = type.getDimSize(panels.column), whole = columns / width * width;
  int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
  if (whole == columns || whole == 0 || bytes < kLargeBytes)
    return emitPack(rewriter, loc, source, panels, width);
  RankedTensorType wanted = packedType(type, panels, width);
  Value result = tensor::EmptyOp::create(rewriter, loc, wanted.getShape(), wanted.getElementType());
  for (auto [begin, end] : {std::pair(int64_t{0}, whole), std::pair(whole, columns)}) {
    SmallVector<OpFoldResult> offsets(type.getRank(), rewriter.getIndexAttr(0)),
        ones(offsets.size(), rewriter.getIndexAttr(1));
    SmallVector<OpFoldResult> sizes = getAsIndexOpFoldResult(rewriter.getContext(), type.getShape());
    offsets[panels.column] = rewriter.getIndexAttr(begin);
    sizes[panels.column] = rewriter.getIndexAttr(end - begin);
    Value part = tensor::ExtractSliceOp::create(rewriter, loc, source, offsets, sizes, ones);
    Value packed = emitPack(rewriter, loc, part, panels, width);
    if (!packed)
      return {};
    // What packs a part writes it where it belongs.
    SmallVector<OpFoldResult> at(wanted.getRank(), rewriter.getIndexAttr(0)),
        steps(at.size(), rewriter.getIndexAttr(1));
    at.front() = rewriter.getIndexAttr(begin / width);
    sizes = getAsIndexOpFoldResult(rewriter.getContext(), cast<RankedTensorType>(packed.getType()).getShape());
    auto writer = packed.getDefiningOp<DestinationStyleOpInterface>();
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPoint(writer);
    Value window = tensor::ExtractSliceOp::create(rewriter, loc, result, at, sizes, steps);
    rewriter.modifyOpInPlace(writer, [&] { writer.getDpsInitOperand(0)->set(window); });
    rewriter.setInsertionPointAfter(writer);
    result = tensor::InsertSliceOp::create(rewriter, loc, packed, result, at, sizes, steps);
  }
  return result;
}

Value tilewright::emitWord(OpBuilder &builder, Location loc, ValueRange group, bool isUnsigned) {
  Type wordType = builder.getI32Type(), element = group.front().getType();
  unsigned bits = element.getIntOrFloatBitWidth();
  Value word;
  for (auto [i, value] : llvm::enumerate(group)) {
    if (isa<FloatType>(element))
      value = arith::BitcastOp::create(builder, loc, builder.getIntegerType(bits), value);
    Value part = arith::ExtUIOp::create(builder, loc, wordType, value);
    if (i > 0) {
      Value shift = arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(i * bits));
      part = arith::ShLIOp::create(builder, loc, part, shift);
    }
    word = word ? arith::OrIOp::create(builder, loc, word, part).getResult() : part;
  }
  if (!isUnsigned || isa<FloatType>(element))
    return word;
  Value flip = arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(kFlipBytes));
  return arith::XOrIOp::create(builder, loc, word, flip);
}

Value tilewright::emitShifted(OpBuilder &builder, Location loc, Value word, Value at, Type element) {
  if (isa<IntegerType>(element)) {
    Value flip = arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(kFlipBytes));
    word = arith::XOrIOp::create(builder, loc, word, flip);
  }
  Value number = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), at);
  Value width = arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(element.getIntOrFloatBitWidth()));
  return arith::ShRUIOp::create(builder, loc, word, arith::MulIOp::create(builder, loc, number, width));
}

Value tilewright::emitElement(OpBuilder &builder, Location loc, Value word, Value at, Type element) {
  Type bits = builder.getIntegerType(element.getIntOrFloatBitWidth());
  Value part = arith::TruncIOp::create(builder, loc, bits, emitShifted(builder, loc, word, at, element));
  return isa<FloatType>(element) ? arith::BitcastOp::create(builder, loc, element, part).getResult() : part;
}
