//===- PassPointers.cpp - Calls pass pointers instead of descriptors --------===//
//
// In:  functions, calls and launches with memref arguments; the entries exist (tw-emit-entry).
// Out: the same with a pointer per buffer and the sizes and strides that its type leaves open. Callees describe a buffer to
//      themselves again, where constants fold; callers need no description of what they only hand on.
// Here, first in stage `llvm`: a host function of a thousand calls would otherwise be a hundred thousand operations on
// descriptors, for every pass that follows and for LLVM.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Iterators.h"

namespace tilewright {
#define GEN_PASS_DEF_CPUPASSPOINTERSPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// What of a buffer its type leaves open, and a call therefore passes beside the pointer to its first element.
struct OpenPieces {
  SmallVector<int64_t> sizes, strides;

  explicit OpenPieces(MemRefType type) {
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      if (type.isDynamicDim(dim))
        sizes.push_back(dim);
    if (type.getLayout().isIdentity())
      return; // the strides follow from the sizes
    auto [known, offset] = type.getStridesAndOffset();
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      if (ShapedType::isDynamic(known[dim]))
        strides.push_back(dim);
  }
  size_t count() const { return sizes.size() + strides.size(); }
};

/// Finds pointers, sizes and strides of the buffers of one function, with as few operations as their definitions allow.
class BufferReader {
public:
  explicit BufferReader(const LLVMTypeConverter &converter)
      : converter(converter), builder(&converter.getContext()),
        pointerType(LLVM::LLVMPointerType::get(&converter.getContext())) {}

  void knowPointer(Value buffer, Value pointer) { pointers[buffer] = pointer; }
  void knowSize(Value buffer, int64_t dim, Value size) { sizes[{buffer, dim}] = size; }

  /// Appends what the parameter type `type` wants to know of `buffer`; new operations stand before `call`.
  void append(Operation *call, Value buffer, MemRefType type, SmallVectorImpl<Value> &operands) {
    operands.push_back(pointer(buffer));
    OpenPieces open(type);
    builder.setInsertionPoint(call);
    for (int64_t dim : open.sizes)
      operands.push_back(size(call->getLoc(), buffer, dim));
    for (int64_t dim : open.strides)
      operands.push_back(stride(call->getLoc(), buffer, dim));
  }

private:
  const LLVMTypeConverter &converter;
  OpBuilder builder;
  LLVM::LLVMPointerType pointerType;
  DenseMap<Value, Value> pointers;
  DenseMap<std::pair<Value, int64_t>, Value> sizes;

  /// The pointer to the first element; it stands behind the definition of `buffer`, so that every later use can share it.
  Value pointer(Value buffer) {
    if (Value known = pointers.lookup(buffer))
      return known;
    OpBuilder::InsertionGuard guard(builder);
    Operation *op = buffer.getDefiningOp();
    Value result;
    if (isa_and_nonnull<memref::CastOp, memref::ExpandShapeOp, memref::CollapseShapeOp>(op)) {
      result = pointer(op->getOperand(0));
    } else if (auto view = dyn_cast_or_null<memref::ViewOp>(op)) {
      Value source = pointer(view.getSource());
      builder.setInsertionPointAfterValue(buffer);
      result = advance(source, builder.getI8Type(), view.getByteShift());
    } else if (auto subview = dyn_cast_or_null<memref::SubViewOp>(op); subview && hasKnownStart(subview)) {
      Value source = pointer(subview.getSource());
      builder.setInsertionPointAfterValue(buffer);
      result = advance(source, converter.convertType(subview.getType().getElementType()), start(subview));
    } else {
      builder.setInsertionPointAfterValue(buffer);
      result = fromDescriptor(buffer);
    }
    pointers[buffer] = result;
    return result;
  }

  static bool hasKnownStart(memref::SubViewOp subview) {
    auto [strides, offset] = subview.getSourceType().getStridesAndOffset();
    return llvm::all_of(llvm::zip(subview.getMixedOffsets(), strides), [](auto pair) {
      return isZeroInteger(std::get<0>(pair)) || !ShapedType::isDynamic(std::get<1>(pair));
    });
  }

  /// Elements from the start of the source to the start of its part.
  OpFoldResult start(memref::SubViewOp subview) {
    auto [strides, offset] = subview.getSourceType().getStridesAndOffset();
    Location loc = subview.getLoc();
    int64_t fixed = 0;
    Value moving;
    for (auto [distance, stride] : llvm::zip(subview.getMixedOffsets(), strides)) {
      if (auto number = getConstantIntValue(distance)) {
        fixed += *number == 0 ? 0 : *number * stride;
        continue;
      }
      Value step = arith::ConstantIndexOp::create(builder, loc, stride);
      Value part = arith::MulIOp::create(builder, loc, cast<Value>(distance), step);
      moving = moving ? arith::AddIOp::create(builder, loc, moving, part).getResult() : part;
    }
    if (!moving)
      return builder.getIndexAttr(fixed);
    Value rest = arith::ConstantIndexOp::create(builder, loc, fixed);
    return arith::AddIOp::create(builder, loc, moving, rest).getResult();
  }

  Value advance(Value base, Type element, OpFoldResult count) {
    Location loc = base.getLoc();
    auto number = getConstantIntValue(count);
    if (number && *number == 0)
      return base;
    if (number && llvm::isInt<32>(*number))
      return LLVM::GEPOp::create(builder, loc, pointerType, element, base,
                                 ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(*number)});
    Value index = number ? arith::ConstantIndexOp::create(builder, loc, *number).getResult() : cast<Value>(count);
    index = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), index);
    return LLVM::GEPOp::create(builder, loc, pointerType, element, base, ArrayRef<LLVM::GEPArg>{index});
  }

  Value fromDescriptor(Value buffer) {
    auto type = cast<MemRefType>(buffer.getType());
    Location loc = buffer.getLoc();
    auto cast = buffer.getDefiningOp<UnrealizedConversionCastOp>();
    Value descriptor =
        cast ? cast.getOperand(0)
             : UnrealizedConversionCastOp::create(builder, loc, converter.convertType(type), buffer).getResult(0);
    constexpr int64_t kAligned = 1, kOffset = 2; // positions in a descriptor
    Value aligned = builder.createOrFold<LLVM::ExtractValueOp>(loc, descriptor, kAligned);
    auto [strides, offset] = type.getStridesAndOffset();
    Type element = converter.convertType(type.getElementType());
    if (!ShapedType::isDynamic(offset))
      return advance(aligned, element, builder.getIndexAttr(offset));
    Value distance = builder.createOrFold<LLVM::ExtractValueOp>(loc, descriptor, kOffset);
    return LLVM::GEPOp::create(builder, loc, pointerType, element, aligned, ArrayRef<LLVM::GEPArg>{distance});
  }

  Value constant(Location loc, int64_t value) { return arith::ConstantIndexOp::create(builder, loc, value); }

  Value size(Location loc, Value buffer, int64_t dim) {
    auto type = cast<MemRefType>(buffer.getType());
    if (!type.isDynamicDim(dim))
      return constant(loc, type.getDimSize(dim));
    if (Value known = sizes.lookup({buffer, dim}))
      return known;
    if (auto cast = buffer.getDefiningOp<memref::CastOp>())
      return size(loc, cast.getSource(), dim);
    if (auto expand = buffer.getDefiningOp<memref::ExpandShapeOp>())
      return dyn_cast<Value>(expand.getMixedOutputShape()[dim]);
    if (auto collapse = buffer.getDefiningOp<memref::CollapseShapeOp>()) {
      Value product;
      SmallVector<ReassociationIndices> groups = collapse.getReassociationIndices();
      for (int64_t inner : groups[dim])
        product = multiply(loc, product, size(loc, collapse.getSrc(), inner));
      return product;
    }
    return builder.createOrFold<memref::DimOp>(loc, buffer, dim);
  }

  Value stride(Location loc, Value buffer, int64_t dim) {
    auto type = cast<MemRefType>(buffer.getType());
    auto [strides, offset] = type.getStridesAndOffset();
    if (!ShapedType::isDynamic(strides[dim]))
      return constant(loc, strides[dim]);
    if (auto cast = buffer.getDefiningOp<memref::CastOp>())
      return stride(loc, cast.getSource(), dim);
    if (type.getLayout().isIdentity()) {
      Value product;
      for (int64_t inner = dim + 1; inner < type.getRank(); ++inner)
        product = multiply(loc, product, size(loc, buffer, inner));
      return product ? product : constant(loc, 1);
    }
    if (auto subview = buffer.getDefiningOp<memref::SubViewOp>(); subview && subview.getDroppedDims().none()) {
      OpFoldResult step = subview.getMixedStrides()[dim];
      Value source = stride(loc, subview.getSource(), dim);
      if (isOneInteger(step))
        return source;
      auto number = getConstantIntValue(step);
      return multiply(loc, source, number ? constant(loc, *number) : cast<Value>(step));
    }
    return memref::ExtractStridedMetadataOp::create(builder, loc, buffer).getStrides()[dim];
  }

  Value multiply(Location loc, Value a, Value b) { return a ? arith::MulIOp::create(builder, loc, a, b) : b; }
};

/// Describes an argument to its function: a descriptor in which everything is a constant or an argument.
Value describe(OpBuilder &builder, Location loc, const LLVMTypeConverter &converter, MemRefType type,
               ValueRange pieces) {
  auto i64 = builder.getI64Type();
  OpenPieces open(type);
  auto [strides, offset] = type.getStridesAndOffset();
  auto number = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(builder, loc, i64, builder.getI64IntegerAttr(value));
  };
  SmallVector<Value> given;
  for (Value piece : pieces.drop_front())
    given.push_back(arith::IndexCastOp::create(builder, loc, i64, piece));
  // The pointer is that of the first element; where the type says that it lies at an offset, count back.
  Value base = pieces.front();
  int64_t start = ShapedType::isDynamic(offset) ? 0 : offset;
  if (start != 0)
    base = LLVM::GEPOp::create(builder, loc, base.getType(), converter.convertType(type.getElementType()), base,
                               ArrayRef<LLVM::GEPArg>{number(-start)});
  auto descriptor = MemRefDescriptor::poison(builder, loc, converter.convertType(type));
  descriptor.setAllocatedPtr(builder, loc, base);
  descriptor.setAlignedPtr(builder, loc, base);
  descriptor.setOffset(builder, loc, number(start));
  SmallVector<Value> sizes, steps;
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    sizes.push_back(type.isDynamicDim(dim) ? Value() : number(type.getDimSize(dim)));
  for (auto [dim, size] : llvm::zip(open.sizes, given))
    sizes[dim] = size;
  Value running = type.getRank() ? number(1) : Value();
  steps.resize(type.getRank());
  for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
    if (!type.getLayout().isIdentity()) {
      auto place = llvm::find(open.strides, dim);
      steps[dim] = place == open.strides.end() ? number(strides[dim])
                                               : given[open.sizes.size() + (place - open.strides.begin())];
      continue;
    }
    steps[dim] = ShapedType::isDynamic(strides[dim]) ? running : number(strides[dim]);
    if (dim > 0)
      running =
          ShapedType::isDynamic(strides[dim - 1]) ? LLVM::MulOp::create(builder, loc, steps[dim], sizes[dim]) : Value();
  }
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    descriptor.setSize(builder, loc, dim, sizes[dim]);
    descriptor.setStride(builder, loc, dim, steps[dim]);
  }
  return UnrealizedConversionCastOp::create(builder, loc, type, Value(descriptor)).getResult(0);
}

struct CpuPassPointersPass : tilewright::impl::CpuPassPointersPassBase<CpuPassPointersPass> {
  /// Gives `func` its new arguments, and the old ones back to its body.
  void takePieces(func::FuncOp func, const LLVMTypeConverter &converter, BufferReader &reader) {
    MLIRContext *context = &getContext();
    // Kernels and bodies get whole, distinct buffers: bufferisation copies whenever an operand that is written is seen by
    // another one, and two operands that are only read may share memory under `noalias`.
    bool distinct = func->hasAttr("tw.kernel") || func->hasAttr("tw.body");
    Block &entry = func.front();
    OpBuilder builder = OpBuilder::atBlockBegin(&entry);
    auto pointerType = LLVM::LLVMPointerType::get(context);
    unsigned count = entry.getNumArguments();
    SmallVector<Type> types;
    SmallVector<Attribute> attributes;
    for (unsigned i = 0; i < count; ++i) {
      BlockArgument argument = entry.getArgument(i);
      NamedAttrList named(func.getArgAttrDict(i));
      auto type = dyn_cast<MemRefType>(argument.getType());
      if (type && distinct)
        named.set(LLVM::LLVMDialect::getNoAliasAttrName(), builder.getUnitAttr());
      attributes.push_back(named.getDictionary(context));
      if (!type) {
        types.push_back(argument.getType());
        argument.replaceAllUsesWith(entry.addArgument(argument.getType(), argument.getLoc()));
        continue;
      }
      OpenPieces open(type);
      SmallVector<Value> pieces{entry.addArgument(pointerType, argument.getLoc())};
      types.push_back(pointerType);
      for (size_t piece = 0; piece < open.count(); ++piece) {
        pieces.push_back(entry.addArgument(builder.getIndexType(), argument.getLoc()));
        types.push_back(builder.getIndexType());
        attributes.push_back(builder.getDictionaryAttr({}));
      }
      Value buffer = describe(builder, argument.getLoc(), converter, type, pieces);
      reader.knowPointer(buffer, pieces.front());
      for (auto [dim, size] : llvm::zip(open.sizes, ArrayRef<Value>(pieces).drop_front()))
        reader.knowSize(buffer, dim, size);
      for (Operation *user : llvm::make_early_inc_range(argument.getUsers()))
        if (auto dim = dyn_cast<memref::DimOp>(user)) {
          auto place = dim.getConstantIndex() ? llvm::find(open.sizes, *dim.getConstantIndex()) : open.sizes.end();
          if (place != open.sizes.end()) {
            dim.replaceAllUsesWith(pieces[1 + (place - open.sizes.begin())]);
            dim.erase();
          }
        }
      argument.replaceAllUsesWith(buffer);
    }
    entry.eraseArguments(0, count);
    func.setFunctionType(FunctionType::get(context, types, func.getResultTypes()));
    func.setAllArgAttrs(attributes);
  }

  void passPieces(func::FuncOp func, const DenseMap<StringAttr, SmallVector<Type>> &parameters, BufferReader &reader) {
    auto expand = [&](Operation *op, StringAttr callee, OperandRange operands, SmallVectorImpl<Value> &pieces) {
      auto wanted = parameters.find(callee);
      for (auto [number, operand] : llvm::enumerate(operands)) {
        auto type = dyn_cast<MemRefType>(operand.getType());
        if (!type) {
          pieces.push_back(operand);
          continue;
        }
        // A launch names its captures only; the table comes before them.
        size_t first = isa<rt::LaunchOp>(op) ? 1 : 0;
        if (wanted != parameters.end() && first + number < wanted->second.size())
          type = dyn_cast<MemRefType>(wanted->second[first + number]);
        reader.append(op, operand, type, pieces);
      }
    };
    func.walk([&](Operation *op) {
      SmallVector<Value> pieces;
      if (auto call = dyn_cast<func::CallOp>(op)) {
        expand(op, call.getCalleeAttr().getAttr(), call.getOperands(), pieces);
        op->setOperands(pieces);
      } else if (auto launch = dyn_cast<rt::LaunchOp>(op)) {
        expand(op, launch.getBodyAttr().getAttr(), launch.getCaptures(), pieces);
        launch.getCapturesMutable().assign(pieces);
      }
    });
    // Descriptions that nobody asks any more, users before definitions.
    func.walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    LLVMTypeConverter converter(&getContext());
    DenseMap<StringAttr, SmallVector<Type>> parameters;
    SmallVector<func::FuncOp> functions;
    for (auto func : module.getOps<func::FuncOp>()) {
      if (func.isExternal())
        continue;
      if (llvm::any_of(func.getResultTypes(), llvm::IsaPred<BaseMemRefType>)) {
        func.emitOpError("returns a buffer: outputs are arguments by now");
        return signalPassFailure();
      }
      functions.push_back(func);
      parameters[func.getSymNameAttr()] = llvm::to_vector(func.getArgumentTypes());
    }
    for (func::FuncOp func : functions) {
      BufferReader reader(converter);
      takePieces(func, converter, reader);
      passPieces(func, parameters, reader);
    }
  }
};

} // namespace
