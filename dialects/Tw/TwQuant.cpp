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
enum class Format { Unknown, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, Int8, Int4 };

Format formatOf(FormatAttr format) {
  return llvm::StringSwitch<Format>(format.getName().getValue())
      .Case("q4_0", Format::Q4_0)
      .Case("q4_1", Format::Q4_1)
      .Case("q5_0", Format::Q5_0)
      .Case("q5_1", Format::Q5_1)
      .Case("q8_0", Format::Q8_0)
      .Case("q4_k", Format::Q4_K)
      .Case("q5_k", Format::Q5_K)
      .Case("q6_k", Format::Q6_K)
      .Case("int8", Format::Int8)
      .Case("int4", Format::Int4)
      .Default(Format::Unknown);
}

bool isGeneral(Format format) { return format == Format::Int8 || format == Format::Int4; }

/// Bits of a weight inside a byte of storage.
struct Bits {
  /// Where the byte is, in terms of the loops; empty where the format has no such bits.
  SmallVector<AffineExpr> at;
  /// The shift that brings the bits down: the sum of loop index times factor.
  SmallVector<std::pair<unsigned, int64_t>> shift;
  /// What is kept of the byte after the shift; 0 keeps all of it, with its sign.
  int64_t mask = 0;
};

/// The loops are row (of any size) and `loops`.
struct Layout {
  /// Sizes of the loops after the row.
  SmallVector<int64_t> loops;
  /// The shape of storage after the row.
  SmallVector<int64_t> storageShape;
  /// The low bits of a weight, and those above 4.
  Bits low, high;
  /// The loops that index scales and mins, and the shape that their row is viewed in; empty for the one it has.
  SmallVector<int64_t> scaleLoops, scaleShape;
  /// What is taken off the stored integer.
  int64_t middle = 0;
};

/// Makes the layout of a matrix with `columns` columns; `scaleRank` tells int8 and int4 what shares a scale. So many
/// columns are taken `together` where a whole row does; 0 for all of them.
Layout layoutOf(MLIRContext *context, Format format, int64_t columns, int64_t scaleRank, int64_t scaleColumns,
                int64_t together) {
  AffineExpr n, g, i, j, k, l;
  bindDims(context, n, g, i, j, k, l);
  int64_t groups = columns / 32;
  switch (format) {
  case Format::Q4_0:
  case Format::Q4_1:
    // Group, half, byte.
    return {{groups, 2, 16}, {groups, 16}, {{n, g, j}, {{2, 4}}, 15}, {}, {0, 1}, {}, format == Format::Q4_0 ? 8 : 0};
  case Format::Q5_0:
  case Format::Q5_1:
    // Group, half, half of the 16 bytes, byte: the last is also a bit of the byte that holds fifth bits.
    return {{groups, 2, 2, 8},
            {groups, 20},
            {{n, g, j * 8 + k}, {{2, 4}}, 15},
            {{n, g, i * 2 + j + 16}, {{4, 1}}, 1},
            {0, 1},
            {},
            format == Format::Q5_0 ? 16 : 0};
  case Format::Q8_0:
    return {{groups, 32}, {groups, 32}, {{n, g, i}, {}, 0}, {}, {0, 1}, {}};
  case Format::Q4_K:
    // Pair of groups, half, byte.
    return {{groups / 2, 2, 32}, {groups / 2, 32}, {{n, g, j}, {{2, 4}}, 15}, {}, {0, 1, 2}, {groups / 2, 2}};
  case Format::Q5_K:
    // Block, pair, half, byte; the bit of the byte that holds fifth bits is the group.
    return {{groups / 8, 4, 2, 32},
            {groups / 8, 160},
            {{n, g, i * 32 + k}, {{3, 4}}, 15},
            {{n, g, k + 128}, {{2, 2}, {3, 1}}, 1},
            {0, 1, 2, 3},
            {groups / 8, 4, 2}};
  case Format::Q6_K:
    // 128 weights, nibble, half of the 64 bytes, group, byte.
    return {{groups / 4, 2, 2, 2, 16},
            {groups / 4, 96},
            {{n, g, j * 32 + k * 16 + l}, {{2, 4}}, 15},
            {{n, g, k * 16 + l + 64}, {{2, 4}, {3, 2}}, 3},
            {0, 1, 2, 3, 4},
            {groups / 4, 2, 2, 2},
            32};
  default:
    break;
  }
  // Per tensor and per channel are one group per row, unless the format says otherwise.
  int64_t count = scaleRank == 2 ? scaleColumns : together > 0 ? columns / together : 1;
  int64_t group = columns / std::max<int64_t>(count, 1);
  SmallVector<int64_t> scaleLoops;
  for (int64_t loop = 0; loop < scaleRank; ++loop)
    scaleLoops.push_back(loop);
  if (format == Format::Int8)
    return {{count, group}, {columns}, {{n, g, i}, {}, 0}, {}, scaleLoops, {}};
  return {{count, group / 2, 2}, {columns / 2}, {{n, g, i}, {{3, 4}}, 15}, {}, scaleLoops, {}};
}

Layout layoutOf(DequantizeOp op) {
  RankedTensorType scales = op.getScales().getType();
  return layoutOf(op.getContext(), formatOf(op.getFormat()), op.getType().getDimSize(1), scales.getRank(),
                  scales.getRank() == 2 ? scales.getDimSize(1) : 1, op.getFormat().getGroup());
}

/// What a row of columns must be a multiple of.
int64_t blockOf(Format format, int64_t scaleColumns) {
  switch (format) {
  case Format::Q4_K:
  case Format::Q5_K:
  case Format::Q6_K:
    return 256;
  case Format::Int8:
    return scaleColumns;
  case Format::Int4:
    return 2 * scaleColumns;
  default:
    return 32;
  }
}

/// Whether the format needs mins; int8 and int4 may have some.
bool needsMins(Format format) {
  return format == Format::Q4_1 || format == Format::Q5_1 || format == Format::Q4_K || format == Format::Q5_K;
}
} // namespace

/// (c2) for storage and scales of a matrix `type`.
static LogicalResult verifyPlanes(Operation *op, Format format, RankedTensorType matrix, RankedTensorType storage,
                                  RankedTensorType scales) {
  int64_t rows = matrix.getDimSize(0), columns = matrix.getDimSize(1);
  if (scales.getRank() > 2 || (!isGeneral(format) && scales.getRank() != 2))
    return op->emitOpError("(c2) scales have the wrong rank: ") << scales;
  int64_t scaleColumns = scales.getRank() == 2 ? scales.getDimSize(1) : 1;
  if (ShapedType::isDynamic(scaleColumns) || scaleColumns <= 0 || columns % blockOf(format, scaleColumns))
    return op->emitOpError("(c2) ") << columns << " columns do not fit the blocks of the format";
  Layout layout = layoutOf(op->getContext(), format, columns, scales.getRank(), scaleColumns, /*together=*/0);
  bool isSigned = format == Format::Q8_0 || format == Format::Int8;
  Type byte = IntegerType::get(op->getContext(), 8, isSigned ? IntegerType::Signless : IntegerType::Unsigned);
  if (storage.getElementType() != byte || storage.getRank() == 0 || !sizesMayAgree(storage.getDimSize(0), rows) ||
      storage.getShape().drop_front() != ArrayRef(layout.storageShape))
    return op->emitOpError("(c2) storage ") << storage << " does not fit the format and " << matrix;
  if (!isa<FloatType>(scales.getElementType()) ||
      (scales.getRank() >= 1 && !sizesMayAgree(scales.getDimSize(0), rows)) ||
      (!isGeneral(format) && scaleColumns != columns / (format == Format::Q6_K ? 16 : 32)))
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
  int64_t group = getFormat().getGroup(), unit = format == Format::Int4 ? 2 : 1;
  if (isGeneral(format) && getScales().getType().getRank() < 2 &&
      (group < 0 || (group > 0 && (getType().getDimSize(1) % group || group % unit))))
    return emitOpError("(c5) ") << getType().getDimSize(1) << " columns are no groups of " << group;
  bool needs = needsMins(format), takes = needs || isGeneral(format);
  if ((needs && !getMins()) || (getMins() && !takes))
    return emitOpError("(c3) mins are ") << (needs ? "missing" : "not part of the format");
  if (getMins() && getMins().getType().getShape() != getScales().getType().getShape())
    return emitOpError("(c3) mins and scales must have the same shape");
  return success();
}

LogicalResult QuantizeOp::verify() {
  Format format = formatOf(getFormat());
  if (!isGeneral(format) && format != Format::Q8_0 && format != Format::Q4_0 && format != Format::Q4_1)
    return emitOpError("(c1) cannot quantise to ") << getFormat();
  auto input = cast<RankedTensorType>(getInput().getType());
  if (input.getRank() != 2 || input.isDynamicDim(1))
    return emitOpError("(c2) the input must be a matrix with a static number of columns, not ") << input;
  if (failed(verifyPlanes(*this, format, input, cast<RankedTensorType>(getStorage().getType()),
                          cast<RankedTensorType>(getScales().getType()))))
    return emitOpError("(c3) the planes do not fit the format");
  if (needsMins(format) != bool(getMins()) || (getMins() && getMins().getType() != getScales().getType()))
    return emitOpError("(c4) mins are given for q4_1 only, and have the type of the scales");
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

// The inputs are storage, scales, mins if there are some, and storage once more where a second byte holds high bits.
SmallVector<Value> DequantizeOp::getLoopInputs(OpBuilder &builder, Location loc, ValueRange operands) {
  SmallVector<Value> inputs(operands.begin(), operands.end());
  Layout layout = layoutOf(*this);
  if (isGeneral(formatOf(getFormat())))
    inputs[0] = splitColumns(builder, loc, inputs[0], {layout.loops[0], layout.loops[1]});
  if (!layout.scaleShape.empty())
    for (Value &plane : MutableArrayRef(inputs).drop_front())
      plane = splitColumns(builder, loc, plane, layout.scaleShape);
  if (!layout.high.at.empty())
    inputs.push_back(inputs[0]);
  return inputs;
}

SmallVector<AffineMap> DequantizeOp::getLoopMaps() {
  MLIRContext *context = getContext();
  Layout layout = layoutOf(*this);
  unsigned loops = layout.loops.size() + 1;
  SmallVector<AffineExpr> scales;
  for (int64_t dim : layout.scaleLoops)
    scales.push_back(getAffineDimExpr(dim, context));
  SmallVector<AffineMap> maps{AffineMap::get(loops, 0, layout.low.at, context),
                              AffineMap::get(loops, 0, scales, context)};
  if (getMins())
    maps.push_back(maps.back());
  if (!layout.high.at.empty())
    maps.push_back(AffineMap::get(loops, 0, layout.high.at, context));
  maps.push_back(AffineMap::getMultiDimIdentityMap(loops, context));
  return maps;
}

OpFoldResult DequantizeOp::getLoopSize(OpBuilder &builder, Location, unsigned loop, ValueRange) {
  return builder.getIndexAttr(layoutOf(*this).loops[loop - 1]);
}

Type DequantizeOp::getLoopElementType(unsigned) { return getType().getElementType(); }

/// The bits of a weight in `byte`, as i32.
static Value takeBits(OpBuilder &builder, Location loc, Value byte, const Bits &bits) {
  if (bits.mask == 0)
    return byte;
  ScalarBuilder integers(builder, loc, builder.getI32Type());
  Value shift;
  for (auto [loop, factor] : bits.shift) {
    Value index = arith::IndexCastOp::create(builder, loc, builder.getI32Type(),
                                             linalg::IndexOp::create(builder, loc, loop).getResult());
    Value term = integers.mul(index, integers.constant(byte, factor));
    shift = shift ? integers.add(shift, term) : term;
  }
  return integers.make<arith::AndIOp>(integers.make<arith::ShRUIOp>(byte, shift), integers.constant(byte, bits.mask));
}

SmallVector<Value> DequantizeOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange) {
  Format format = formatOf(getFormat());
  Layout layout = layoutOf(*this);
  Type target = getType().getElementType(), wide = common::accumulatorType(target), i32 = builder.getI32Type();
  ScalarBuilder integers(builder, loc, i32), s(builder, loc, wide);
  // 32-bit integers: as many lanes as the floats that they become.
  auto widened = [&](Value byte) {
    return ScalarBuilder(builder, loc, getStorage().getType().getElementType()).cast(byte, i32);
  };
  Value q = takeBits(builder, loc, widened(scalars[0]), layout.low);
  if (!layout.high.at.empty()) {
    Value high = takeBits(builder, loc, widened(scalars[getMins() ? 3 : 2]), layout.high);
    q = integers.add(q, integers.mul(high, integers.constant(q, 16)));
  }
  if (layout.middle != 0)
    q = integers.sub(q, integers.constant(q, layout.middle));
  if (format == Format::Int4) // sign of four bits
    q = integers.sub(integers.make<arith::XOrIOp>(q, integers.constant(q, 8)), integers.constant(q, 8));
  auto number = [&](Value value, RankedTensorType plane) {
    return ScalarBuilder(builder, loc, plane.getElementType()).cast(value, wide);
  };
  Value scale = number(scalars[1], getScales().getType());
  Value weight = integers.cast(q, wide);
  Value min = getMins() ? number(scalars[2], getMins().getType()) : Value();
  if (isGeneral(format))
    weight = s.mul(min ? s.sub(weight, min) : weight, scale);
  else
    weight = s.mul(scale, weight);
  if (format == Format::Q4_1 || format == Format::Q5_1)
    weight = s.add(weight, min);
  if (format == Format::Q4_K || format == Format::Q5_K)
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
