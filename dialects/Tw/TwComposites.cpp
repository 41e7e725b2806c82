//===- TwComposites.cpp - The formulas of composite ops ---------------------===//
//
// Each formula is written as one would on paper, with `Formula` for the notation: broadcasts are explicit in the IR and
// implicit here.
//
//===----------------------------------------------------------------------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"

#include <cmath>

using namespace mlir;
using namespace tilewright::tw;

namespace {
class Formula {
public:
  Formula(OpBuilder &builder, Location loc) : builder(builder), loc(loc) {}

  static RankedTensorType typeOf(Value value) { return llvm::cast<RankedTensorType>(value.getType()); }
  static Type elementOf(Value value) { return typeOf(value).getElementType(); }

  template <typename Op, typename... Args> Value make(Args &&...args) {
    return Op::create(builder, loc, std::forward<Args>(args)...)->getResult(0);
  }

  Value cast(Value x, Type element) { return elementOf(x) == element ? x : make<CastOp>(typeOf(x).clone(element), x); }
  /// Half-precision values as f32.
  Value widen(Value x) { return cast(x, common::accumulatorType(elementOf(x))); }

  Value number(Type element, double value) {
    auto type = RankedTensorType::get({}, element);
    Attribute attr = isa<FloatType>(element) ? Attribute(builder.getFloatAttr(element, value))
                                             : Attribute(builder.getIntegerAttr(element, (int64_t)value));
    return make<arith::ConstantOp>(DenseElementsAttr::get(type, attr));
  }
  /// `x` repeated to the shape of `like`; dimension i of `x` is dimension dims[i] of `like`.
  Value repeat(Value x, Value like, ArrayRef<int64_t> dims = {}) {
    auto [shape, sizes] = common::splitSizes(common::dimSizes(builder, loc, like));
    return make<BroadcastOp>(RankedTensorType::get(shape, elementOf(x)), x, sizes, builder.getDenseI64ArrayAttr(dims));
  }
  Value repeat(double value, Value like) { return repeat(number(elementOf(like), value), like); }
  /// A reduction over `dims`, repeated to the shape of `x`.
  template <typename Op> Value repeated(Value x, ArrayRef<int64_t> dims) {
    return repeat(make<Op>(x, dims), x, others(x, dims));
  }
  Value reshape(Value x, ArrayRef<OpFoldResult> sizes) {
    auto [shape, dynamic] = common::splitSizes(sizes);
    return make<ReshapeOp>(RankedTensorType::get(shape, elementOf(x)), x, dynamic);
  }
  SmallVector<OpFoldResult> sizes(Value x) { return common::dimSizes(builder, loc, x); }
  OpFoldResult size(int64_t value) { return builder.getIndexAttr(value); }

  static SmallVector<int64_t> others(Value x, ArrayRef<int64_t> dims) {
    SmallVector<int64_t> kept;
    for (int64_t dim = 0; dim < typeOf(x).getRank(); ++dim)
      if (!llvm::is_contained(dims, dim))
        kept.push_back(dim);
    return kept;
  }

  /// How many elements `dims` hold, as a number of type `element`.
  Value count(Value x, ArrayRef<int64_t> dims, Type element) {
    int64_t known = 1;
    Value unknown;
    for (int64_t dim : dims) {
      if (!typeOf(x).isDynamicDim(dim)) {
        known *= typeOf(x).getDimSize(dim);
        continue;
      }
      Value size = make<DimOp>(x, dim);
      unknown = unknown ? make<arith::MulIOp>(unknown, size) : size;
    }
    if (!unknown)
      return number(element, (double)known);
    if (known != 1)
      unknown = make<arith::MulIOp>(unknown, arith::ConstantIndexOp::create(builder, loc, known).getResult());
    return cast(make<FromIndexOp>(unknown), element);
  }

  Value mean(Value x, ArrayRef<int64_t> dims) {
    Value sum = make<SumOp>(x, dims);
    return make<DivOp>(sum, repeat(count(x, dims, elementOf(x)), sum));
  }

  Value softmax(Value x, int64_t axis) {
    Value shifted = make<SubOp>(x, repeated<ReduceMaxOp>(x, axis));
    Value weights = make<ExpOp>(shifted);
    // One division a row: the total is at least 1, so its reciprocal costs half a unit in the last place.
    Value scale = make<ReciprocalOp>(make<SumOp>(weights, ArrayRef<int64_t>(axis)));
    return make<MulOp>(weights, repeat(scale, x, others(x, axis)));
  }

  OpBuilder &builder;
  Location loc;
};
} // namespace

using Results = FailureOr<SmallVector<Value>>;
static Results one(Value value) { return SmallVector<Value>{value}; }

Results MeanOp::decompose(OpBuilder &builder) {
  Formula f(builder, getLoc());
  return one(f.cast(f.mean(f.widen(getInput()), getDims()), getType().getElementType()));
}

Results VarOp::decompose(OpBuilder &builder) {
  Formula f(builder, getLoc());
  Value x = f.widen(getInput());
  ArrayRef<int64_t> dims = getDims();
  Value centred = f.make<SubOp>(x, f.repeat(f.mean(x, dims), x, Formula::others(x, dims)));
  Value sum = f.make<SumOp>(f.make<SquareOp>(centred), dims);
  Value count = f.count(x, dims, Formula::elementOf(x));
  double correction = getCorrection().convertToDouble();
  if (correction != 0)
    count = f.make<SubOp>(count, f.number(Formula::elementOf(x), correction));
  return one(f.cast(f.make<DivOp>(sum, f.repeat(count, sum)), getType().getElementType()));
}

Results SoftmaxOp::decompose(OpBuilder &builder) {
  Formula f(builder, getLoc());
  return one(f.cast(f.softmax(f.widen(getInput()), getAxis()), getType().getElementType()));
}

Results LogSoftmaxOp::decompose(OpBuilder &builder) {
  Formula f(builder, getLoc());
  Value x = f.widen(getInput());
  int64_t axis = getAxis();
  Value shifted = f.make<SubOp>(x, f.repeated<ReduceMaxOp>(x, axis));
  Value total = f.make<LogOp>(f.make<SumOp>(f.make<ExpOp>(shifted), ArrayRef<int64_t>(axis)));
  Value result = f.make<SubOp>(shifted, f.repeat(total, x, Formula::others(x, axis)));
  return one(f.cast(result, getType().getElementType()));
}

Results LayerNormOp::decompose(OpBuilder &builder) {
  Formula f(builder, getLoc());
  Value x = f.widen(getInput());
  int64_t last = getType().getRank() - 1;
  SmallVector<int64_t> rows = Formula::others(x, last);
  Value centred = f.make<SubOp>(x, f.repeat(f.mean(x, last), x, rows));
  Value variance = f.mean(f.make<SquareOp>(centred), last);
  Value scale = f.make<RsqrtOp>(f.make<AddOp>(variance, f.repeat(getEps().convertToDouble(), variance)));
  Value result = f.make<MulOp>(centred, f.repeat(scale, x, rows));
  if (getWeight())
    result = f.make<MulOp>(result, f.repeat(f.widen(getWeight()), x, last));
  if (getBias())
    result = f.make<AddOp>(result, f.repeat(f.widen(getBias()), x, last));
  return one(f.cast(result, getType().getElementType()));
}

Results RmsNormOp::decompose(OpBuilder &builder) {
  Formula f(builder, getLoc());
  Value x = f.widen(getInput());
  int64_t last = getType().getRank() - 1;
  Value power = f.mean(f.make<SquareOp>(x), last);
  Value scale = f.make<RsqrtOp>(f.make<AddOp>(power, f.repeat(getEps().convertToDouble(), power)));
  Value result = f.make<MulOp>(x, f.repeat(scale, x, Formula::others(x, last)));
  result = f.make<MulOp>(result, f.repeat(f.widen(getWeight()), x, last));
  return one(f.cast(result, getType().getElementType()));
}

/// Which keys each query sees: [S, T], true where t <= s + T - S.
static Value causalVisibility(Formula &f, OpFoldResult queries, OpFoldResult keys) {
  Type i32 = f.builder.getI32Type();
  auto [shape, sizes] = common::splitSizes({queries, keys});
  auto type = RankedTensorType::get(shape, i32);
  Value s = f.make<IotaOp>(type, sizes, 0), t = f.make<IotaOp>(type, sizes, 1);
  Value keyCount = getValueOrCreateConstantIndexOp(f.builder, f.loc, keys);
  Value queryCount = getValueOrCreateConstantIndexOp(f.builder, f.loc, queries);
  Value ahead = f.cast(f.make<FromIndexOp>(f.make<arith::SubIOp>(keyCount, queryCount)), i32);
  return f.make<CompareOp>(t, f.make<AddOp>(s, f.repeat(ahead, s)), "le");
}

Results AttentionOp::decompose(OpBuilder &builder) {
  // The heads of q that share a head of k and v become a dimension of their own: [B, Hkv, G, S, D].
  Formula f(builder, getLoc());
  Value q = getQ(), k = getK(), v = getV();
  Type element = getType().getElementType(), wide = common::accumulatorType(element);
  int64_t heads = getQ().getType().getDimSize(1), shared = getK().getType().getDimSize(1), group = heads / shared;
  SmallVector<OpFoldResult> qSizes = f.sizes(q), kSizes = f.sizes(k);
  auto grouped = [&](Value x, int64_t outer) {
    SmallVector<OpFoldResult> sizes = f.sizes(x);
    sizes[1] = f.size(outer);
    sizes.insert(sizes.begin() + 2, f.size(group));
    return f.reshape(x, sizes);
  };
  if (group != 1)
    q = grouped(q, shared);
  double scale = getScale().convertToDouble();
  // Folded on q where this rounds no more than on the scores, which are the larger tensor.
  if (wide == element && scale != 1)
    q = f.make<MulOp>(q, f.repeat(scale, q));

  int64_t rank = Formula::typeOf(q).getRank();
  SmallVector<OpFoldResult> scoreSizes = f.sizes(q);
  scoreSizes.back() = kSizes[2];
  SmallVector<int64_t> shape = common::splitSizes(scoreSizes).first, batch{0, 1};
  Value scores = f.make<DotGeneralOp>(RankedTensorType::get(shape, wide), q, k, batch, batch,
                                      ArrayRef<int64_t>(rank - 1), ArrayRef<int64_t>(3), StringAttr());
  if (wide != element && scale != 1)
    scores = f.make<MulOp>(scores, f.repeat(scale, scores));

  if (Value mask = getMask()) {
    RankedTensorType type = Formula::typeOf(mask);
    SmallVector<int64_t> dims{0, 1, rank - 2, rank - 1};
    if (group != 1 && type.getDimSize(1) != 1) {
      mask = grouped(mask, shared);
      dims = {0, 1, 2, 3, 4};
    }
    scores = f.make<AddOp>(scores, f.repeat(f.cast(mask, wide), scores, dims));
  }
  // A single query is the last one: it sees all keys.
  if (getCausal() && getConstantIntValue(qSizes[2]) != 1) {
    Value visible = f.repeat(causalVisibility(f, qSizes[2], kSizes[2]), scores, {rank - 2, rank - 1});
    scores = f.make<SelectOp>(visible, scores, f.repeat(-INFINITY, scores));
  }
  Value weights = f.cast(f.softmax(scores, rank - 1), element);
  shape.back() = getV().getType().getDimSize(3);
  Value result = f.make<DotGeneralOp>(RankedTensorType::get(shape, element), weights, v, batch, batch,
                                      ArrayRef<int64_t>(rank - 1), ArrayRef<int64_t>(2), StringAttr());
  if (group == 1)
    return one(result);
  qSizes[3] = f.sizes(v)[3];
  return one(f.reshape(result, qSizes));
}

/// Packs integers below 16 of two neighbours along `dim` (of size 2) into a byte, the first low.
static Value packNibbles(Formula &f, Value q, int64_t dim, Type byte) {
  RankedTensorType type = Formula::typeOf(q);
  Value position = f.make<IotaOp>(type, common::splitSizes(f.sizes(q)).second, dim);
  // 1 for the first of the two, 16 for the second.
  Value factor = f.make<AddOp>(f.make<MulOp>(position, f.repeat(15, q)), f.repeat(1, q));
  return f.cast(f.make<SumOp>(f.make<MulOp>(q, factor), ArrayRef<int64_t>(dim)), byte);
}

/// Planes of q4_0 and q4_1 from groups x [N, G, 32].
static SmallVector<Value> quantizeNibbleBlocks(Formula &f, Value x, bool hasMins, Type byte, Type scaleType) {
  Value scale, min, start;
  SmallVector<int64_t> inner{2}, rows{0, 1};
  if (hasMins) {
    min = f.make<ReduceMinOp>(x, inner);
    Value range = f.make<SubOp>(f.make<ReduceMaxOp>(x, inner), min);
    scale = f.make<DivOp>(range, f.repeat(15, range));
    x = f.make<SubOp>(x, f.repeat(min, x, rows));
    start = f.repeat(0.5, x);
  } else {
    // The largest weight with its sign; the first of several.
    auto places = Formula::typeOf(x).clone(f.builder.getI64Type());
    Value place = f.make<ArgmaxOp>(f.make<AbsOp>(x), 2);
    Value position = f.make<IotaOp>(places, common::splitSizes(f.sizes(x)).second, 2);
    Value isLargest = f.make<CompareOp>(position, f.repeat(place, position, rows), "eq");
    Value largest = f.make<SumOp>(f.make<SelectOp>(isLargest, x, f.repeat(0, x)), inner);
    scale = f.make<DivOp>(largest, f.repeat(-8, largest));
    start = f.repeat(8.5, x);
  }
  Value zero = f.repeat(0, scale);
  Value inverse =
      f.make<SelectOp>(f.make<CompareOp>(scale, zero, "eq"), zero, f.make<DivOp>(f.repeat(1, scale), scale));
  Value steps = f.make<AddOp>(f.make<MulOp>(x, f.repeat(inverse, x, rows)), start);
  Value q = f.cast(steps, f.builder.getI32Type());
  q = f.make<MinOp>(q, f.repeat(15, q));
  SmallVector<OpFoldResult> sizes = f.sizes(q);
  q = f.reshape(q, {sizes[0], sizes[1], f.size(2), f.size(16)});
  SmallVector<Value> planes{packNibbles(f, q, 2, byte), f.cast(scale, scaleType)};
  if (hasMins)
    planes.push_back(f.cast(min, scaleType));
  return planes;
}

Results QuantizeOp::decompose(OpBuilder &builder) {
  Formula f(builder, getLoc());
  Value x = f.widen(getInput());
  Type wide = Formula::elementOf(x), scaleType = getScales().getType().getElementType();
  // Groups become dimensions of their own, so that each scale belongs to whole dimensions.
  auto stored = cast<RankedTensorType>(getStorage().getType()), scaled = cast<RankedTensorType>(getScales().getType());
  bool isGrouped = scaled.getRank() == 2;
  SmallVector<OpFoldResult> sizes = f.sizes(x);
  int64_t columns = Formula::typeOf(x).getDimSize(1);
  if (isGrouped) {
    int64_t groups = scaled.getDimSize(1);
    x = f.reshape(x, {sizes[0], f.size(groups), f.size(columns / groups)});
  }
  StringRef format = getFormat().getName().getValue();
  if (format == "q4_0" || format == "q4_1")
    return quantizeNibbleBlocks(f, x, format == "q4_1", stored.getElementType(), scaleType);
  bool isInt4 = format == "int4";
  double most = isInt4 ? 7 : 127;
  SmallVector<int64_t> dims;
  for (int64_t dim = scaled.getRank(); dim < Formula::typeOf(x).getRank(); ++dim)
    dims.push_back(dim);
  Value largest = f.make<ReduceMaxOp>(f.make<AbsOp>(x), dims);
  Value scale = f.cast(f.make<DivOp>(largest, f.repeat(most, largest)), scaleType);
  // The stored scale divides, so that quantising is the inverse of what dequantising does.
  Value divisor = f.repeat(f.cast(scale, wide), x, Formula::others(x, dims));
  Value zero = f.repeat(0, x);
  Value ratio = f.make<DivOp>(x, divisor);
  Value safe = f.make<SelectOp>(f.make<CompareOp>(divisor, zero, "eq"), zero, ratio);
  // A scale that was rounded down in half precision would carry the largest value out of range.
  Value rounded = f.make<RoundOp>(safe);
  rounded = f.make<MinOp>(f.make<MaxOp>(rounded, f.repeat(-most, x)), f.repeat(most, x));
  if (isInt4) {
    Value q = f.cast(rounded, builder.getI32Type());
    q = f.reshape(f.make<BitwiseAndOp>(q, f.repeat(15, q)), {sizes[0], f.size(columns / 2), f.size(2)});
    return SmallVector<Value>{packNibbles(f, q, 2, stored.getElementType()), scale};
  }
  Value storage = f.cast(rounded, stored.getElementType());
  if (storage.getType() != stored)
    storage = f.reshape(storage, sizes);
  return SmallVector<Value>{storage, scale};
}
