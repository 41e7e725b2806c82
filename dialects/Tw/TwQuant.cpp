//===- TwQuant.cpp - Quantisation formats -----------------------------------===//
//
// Each format is a loop nest over (row, group, ..., element); `Layout` holds the sizes and how the planes are indexed.
//
//===----------------------------------------------------------------------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tilewright::tw;
using tilewright::tw::common::sizesMayAgree;

namespace {
enum class Format { Unknown, Q4_0, Q4_1, Q8_0, Q4_K, Int8, Int4 };

Format formatOf(FormatAttr format) {
  return llvm::StringSwitch<Format>(format.getName().getValue())
      .Case("q4_0", Format::Q4_0)
      .Case("q4_1", Format::Q4_1)
      .Case("q8_0", Format::Q8_0)
      .Case("q4_k", Format::Q4_K)
      .Case("int8", Format::Int8)
      .Case("int4", Format::Int4)
      .Default(Format::Unknown);
}

/// The loops are row (of any size) and `loops`.
struct Layout {
  /// Sizes of the loops after the row.
  SmallVector<int64_t> loops;
  /// The loop that chooses a half of the byte, or -1.
  int64_t half = -1;
  /// The loops (0 is the row) that index storage, and the shape of storage after the row.
  SmallVector<int64_t> storageLoops;
  SmallVector<int64_t> storageShape;
  /// The loops that index scales and mins.
  SmallVector<int64_t> scaleLoops;
};

/// The layout of a matrix with `columns` columns; `scaleRank` tells int8 and int4 what shares a scale.
Layout layoutOf(Format format, int64_t columns, int64_t scaleRank, int64_t scaleColumns) {
  int64_t groups = columns / 32;
  switch (format) {
  case Format::Q4_0:
  case Format::Q4_1:
    return {{groups, 2, 16}, 2, {0, 1, 3}, {groups, 16}, {0, 1}};
  case Format::Q8_0:
    return {{groups, 32}, -1, {0, 1, 2}, {groups, 32}, {0, 1}};
  case Format::Q4_K:
    // Scales are viewed as [row, pair, half].
    return {{groups / 2, 2, 32}, 2, {0, 1, 3}, {groups / 2, 32}, {0, 1, 2}};
  default:
    break;
  }
  // Per tensor and per channel are one group per row.
  int64_t count = scaleRank == 2 ? scaleColumns : 1, group = columns / std::max<int64_t>(count, 1);
  SmallVector<int64_t> scaleLoops;
  for (int64_t loop = 0; loop < scaleRank; ++loop)
    scaleLoops.push_back(loop);
  if (format == Format::Int8)
    return {{count, group}, -1, {0, 1, 2}, {columns}, scaleLoops};
  return {{count, group / 2, 2}, 3, {0, 1, 2}, {columns / 2}, scaleLoops};
}

Layout layoutOf(DequantizeOp op) {
  RankedTensorType scales = op.getScales().getType();
  return layoutOf(formatOf(op.getFormat()), op.getType().getDimSize(1), scales.getRank(),
                  scales.getRank() == 2 ? scales.getDimSize(1) : 1);
}

/// What a row of columns must be a multiple of.
int64_t blockOf(Format format, int64_t scaleColumns) {
  switch (format) {
  case Format::Q4_K:
    return 256;
  case Format::Int8:
    return scaleColumns;
  case Format::Int4:
    return 2 * scaleColumns;
  default:
    return 32;
  }
}
} // namespace

/// (c2) for storage and scales of a matrix `type`.
static LogicalResult verifyPlanes(Operation *op, Format format, RankedTensorType matrix, RankedTensorType storage,
                                  RankedTensorType scales) {
  int64_t rows = matrix.getDimSize(0), columns = matrix.getDimSize(1);
  bool isGeneral = format == Format::Int8 || format == Format::Int4;
  if (scales.getRank() > 2 || (!isGeneral && scales.getRank() != 2))
    return op->emitOpError("(c2) scales have the wrong rank: ") << scales;
  int64_t scaleColumns = scales.getRank() == 2 ? scales.getDimSize(1) : 1;
  if (ShapedType::isDynamic(scaleColumns) || scaleColumns <= 0 || columns % blockOf(format, scaleColumns))
    return op->emitOpError("(c2) ") << columns << " columns do not fit the blocks of the format";
  Layout layout = layoutOf(format, columns, scales.getRank(), scaleColumns);
  bool isSigned = format == Format::Q8_0 || format == Format::Int8;
  Type byte = IntegerType::get(op->getContext(), 8, isSigned ? IntegerType::Signless : IntegerType::Unsigned);
  if (storage.getElementType() != byte || storage.getRank() == 0 || !sizesMayAgree(storage.getDimSize(0), rows) ||
      storage.getShape().drop_front() != ArrayRef(layout.storageShape))
    return op->emitOpError("(c2) storage ") << storage << " does not fit the format and " << matrix;
  if (!isa<FloatType>(scales.getElementType()) ||
      (scales.getRank() >= 1 && !sizesMayAgree(scales.getDimSize(0), rows)) ||
      (!isGeneral && scaleColumns != columns / 32))
    return op->emitOpError("(c2) scales ") << scales << " do not fit the format and " << matrix;
  return success();
}

LogicalResult DequantizeOp::verify() {
  Format format = formatOf(getFormat());
  if (format == Format::Unknown)
    return emitOpError("(c1) there is no format ") << getFormat();
  if (getType().getRank() != 2 || getType().isDynamicDim(1))
    return emitOpError("(c4) the result must be a matrix with a static number of columns, not ") << getType();
  if (failed(verifyPlanes(*this, format, getType(), getStorage().getType(), getScales().getType())))
    return failure();
  bool needsMins = format == Format::Q4_1 || format == Format::Q4_K;
  bool takesMins = needsMins || format == Format::Int8 || format == Format::Int4;
  if ((needsMins && !getMins()) || (getMins() && !takesMins))
    return emitOpError("(c3) mins are ") << (needsMins ? "missing" : "not part of the format");
  if (getMins() && getMins().getType().getShape() != getScales().getType().getShape())
    return emitOpError("(c3) mins and scales must have the same shape");
  return success();
}

LogicalResult QuantizeOp::verify() {
  Format format = formatOf(getFormat());
  if (format != Format::Q8_0 && format != Format::Int8)
    return emitOpError("(c1) cannot quantise to ") << getFormat();
  auto input = cast<RankedTensorType>(getInput().getType());
  if (input.getRank() != 2 || input.isDynamicDim(1))
    return emitOpError("(c2) the input must be a matrix with a static number of columns, not ") << input;
  if (failed(verifyPlanes(*this, format, input, cast<RankedTensorType>(getStorage().getType()),
                          cast<RankedTensorType>(getScales().getType()))))
    return emitOpError("(c3) the planes do not fit the format");
  return success();
}

LogicalResult QuantizeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  for (Value result : getResults()) {
    auto &sizes = shapes.emplace_back();
    for (auto [dim, size] : llvm::enumerate(cast<RankedTensorType>(result.getType()).getShape()))
      sizes.push_back(ShapedType::isDynamic(size) ? common::dimSize(builder, getLoc(), getInput(), dim)
                                                  : OpFoldResult(builder.getIndexAttr(size)));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The loop nest of dequantize
//===----------------------------------------------------------------------===//
/// `value` with its dimension 1 split into `shape`.
static Value splitColumns(OpBuilder &builder, Location loc, Value value, ArrayRef<int64_t> shape) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<int64_t> target{type.getDimSize(0)};
  llvm::append_range(target, shape);
  SmallVector<OpFoldResult> sizes{common::dimSize(builder, loc, value, 0)};
  ReassociationIndices columns;
  for (auto [index, size] : llvm::enumerate(shape)) {
    sizes.push_back(builder.getIndexAttr(size));
    columns.push_back(index + 1);
  }
  SmallVector<ReassociationIndices> parts{{0}, columns};
  return tensor::ExpandShapeOp::create(builder, loc, type.clone(target), value, parts, sizes);
}

SmallVector<Value> DequantizeOp::getLoopInputs(OpBuilder &builder, Location loc, ValueRange operands) {
  SmallVector<Value> inputs(operands.begin(), operands.end());
  Format format = formatOf(getFormat());
  Layout layout = layoutOf(*this);
  if (format == Format::Int8 || format == Format::Int4)
    inputs[0] = splitColumns(builder, loc, inputs[0], {layout.loops[0], layout.loops[1]});
  if (format == Format::Q4_K)
    for (Value &plane : MutableArrayRef(inputs).drop_front())
      plane = splitColumns(builder, loc, plane, {layout.loops[0], 2});
  return inputs;
}

SmallVector<AffineMap> DequantizeOp::getLoopMaps() {
  MLIRContext *context = getContext();
  Layout layout = layoutOf(*this);
  unsigned loops = layout.loops.size() + 1;
  auto map = [&](ArrayRef<int64_t> dims) {
    SmallVector<AffineExpr> exprs;
    for (int64_t dim : dims)
      exprs.push_back(getAffineDimExpr(dim, context));
    return AffineMap::get(loops, 0, exprs, context);
  };
  SmallVector<AffineMap> maps{map(layout.storageLoops), map(layout.scaleLoops)};
  if (getMins())
    maps.push_back(map(layout.scaleLoops));
  maps.push_back(AffineMap::getMultiDimIdentityMap(loops, context));
  return maps;
}

OpFoldResult DequantizeOp::getLoopSize(OpBuilder &builder, Location, unsigned loop, ValueRange) {
  return builder.getIndexAttr(layoutOf(*this).loops[loop - 1]);
}

Type DequantizeOp::getLoopElementType(unsigned) { return getType().getElementType(); }

SmallVector<Value> DequantizeOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange) {
  Format format = formatOf(getFormat());
  Layout layout = layoutOf(*this);
  Type target = getType().getElementType(), wide = common::accumulatorType(target), i32 = builder.getI32Type();
  ScalarBuilder integers(builder, loc, i32), s(builder, loc, wide);
  // 32-bit integers: as many lanes as the floats that they become.
  Value q = ScalarBuilder(builder, loc, getStorage().getType().getElementType()).cast(scalars[0], i32);
  if (layout.half >= 0) {
    Value half =
        arith::IndexCastOp::create(builder, loc, i32, linalg::IndexOp::create(builder, loc, layout.half).getResult());
    Value shift = integers.mul(half, integers.constant(q, 4));
    q = integers.make<arith::AndIOp>(integers.make<arith::ShRUIOp>(q, shift), integers.constant(q, 15));
  }
  if (format == Format::Q4_0)
    q = integers.sub(q, integers.constant(q, 8));
  if (format == Format::Int4) // sign of four bits
    q = integers.sub(integers.make<arith::XOrIOp>(q, integers.constant(q, 8)), integers.constant(q, 8));
  auto number = [&](Value value, RankedTensorType plane) {
    return ScalarBuilder(builder, loc, plane.getElementType()).cast(value, wide);
  };
  Value scale = number(scalars[1], getScales().getType());
  Value weight = integers.cast(q, wide);
  Value min = getMins() ? number(scalars[2], getMins().getType()) : Value();
  if (format == Format::Int8 || format == Format::Int4)
    weight = s.mul(min ? s.sub(weight, min) : weight, scale);
  else
    weight = s.mul(scale, weight);
  if (format == Format::Q4_1)
    weight = s.add(weight, min);
  if (format == Format::Q4_K)
    weight = s.sub(weight, min);
  return {s.cast(weight, target)};
}

Value DequantizeOp::finishLoopResult(OpBuilder &builder, Location loc, Value output) {
  ReassociationIndices columns;
  for (int64_t dim = 1; dim < cast<RankedTensorType>(output.getType()).getRank(); ++dim)
    columns.push_back(dim);
  SmallVector<ReassociationIndices> parts{{0}, columns};
  return tensor::CollapseShapeOp::create(builder, loc, output, parts);
}
