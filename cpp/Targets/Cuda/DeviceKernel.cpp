//===- DeviceKernel.cpp - One kernel while it is written --------------------===//
#include "Targets/Cuda/DeviceKernel.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {
constexpr unsigned kGlobalMemory = 1, kSharedMemory = 3;

/// `index` arithmetic is that of LLVM's i64; addresses take it as such.
Value asI64(OpBuilder &builder, Location loc, Value value) {
  return arith::IndexCastOp::create(builder, loc, builder.getI64Type(), value);
}

/// Of so many neighbours that begin at a multiple of them: arrays begin on a boundary of 16 bytes, no more.
unsigned alignmentOf(Type element, int64_t lanes) {
  return std::min<int64_t>(16, std::max<int64_t>(1, element.getIntOrFloatBitWidth() / 8) * lanes);
}
} // namespace

memref::GetGlobalOp cuda::constantArray(Value array) {
  // Views of all of it begin where it begins.
  while (Operation *view = array.getDefiningOp()) {
    if (!isa<memref::CastOp, memref::ExpandShapeOp, memref::CollapseShapeOp>(view))
      break;
    array = view->getOperand(0);
  }
  return array.getDefiningOp<memref::GetGlobalOp>();
}

DeviceKernel::DeviceKernel(Operation *anchor, gpu::GPUModuleOp device, StringRef name)
    : host(anchor), inside(anchor->getContext()), loc(anchor->getLoc()), device(device) {
  OpBuilder module = OpBuilder::atBlockEnd(device.getBody());
  function = func::FuncOp::create(module, loc, name, module.getFunctionType({}, {}));
  function->setAttr("tw.device", module.getUnitAttr());
  inside.setInsertionPointToStart(function.addEntryBlock());
  auto i32 = inside.getI32Type();
  auto asIndex = [&](Value number) { return arith::IndexCastUIOp::create(inside, loc, inside.getIndexType(), number); };
  thread = asIndex(NVVM::ThreadIdXOp::create(inside, loc, i32));
  block = asIndex(NVVM::BlockIdXOp::create(inside, loc, i32));
}

Value DeviceKernel::threadId() { return thread; }
Value DeviceKernel::blockId() { return block; }

Value DeviceKernel::addArgument(Value operand, Type type, DictionaryAttr attributes) {
  operands.push_back(operand);
  unsigned number = function.getNumArguments();
  (void)function.insertArgument(number, type, attributes, loc);
  return function.getArgument(number);
}

Value DeviceKernel::pass(Value value) {
  if (Value known = passed.lookup(value))
    return known;
  Operation *def = value.getDefiningOp();
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(&function.front());
  if (def && def->hasTrait<OpTrait::ConstantLike>())
    return passed[value] = inside.clone(*def)->getResult(0);
  if (!value.getType().isInteger(1))
    return passed[value] = addArgument(value, value.getType());
  // An argument takes whole bytes.
  Value byte = addArgument(arith::ExtUIOp::create(host, loc, host.getI8Type(), value), host.getI8Type());
  return passed[value] = arith::TruncIOp::create(inside, loc, inside.getI1Type(), byte);
}

Value DeviceKernel::index(OpFoldResult value) {
  if (auto number = getConstantIntValue(value))
    return index(*number);
  return pass(cast<Value>(value));
}

OpFoldResult DeviceKernel::size(Value array, int64_t dim) {
  auto type = cast<MemRefType>(array.getType());
  if (!type.isDynamicDim(dim))
    return host.getIndexAttr(type.getDimSize(dim));
  Value &known = sizes[{array, dim}];
  if (!known)
    known = memref::DimOp::create(host, loc, array, dim);
  return known;
}

View DeviceKernel::view(Value array) {
  if (auto known = views.find(array); known != views.end())
    return known->second;
  auto type = cast<MemRefType>(array.getType());
  View view;
  view.element = type.getElementType();
  view.dense = type.getLayout().isIdentity();
  auto [strides, offset] = type.getStridesAndOffset();
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(&function.front());
  if (memref::GetGlobalOp constant = constantArray(array))
    view.pointer = repeatConstant(constant);
  else
    view.pointer = addArgument(array, LLVM::LLVMPointerType::get(type.getContext(), kGlobalMemory));
  SmallVector<Value> dynamic;
  if (llvm::any_of(strides, ShapedType::isDynamic))
    llvm::append_range(dynamic, memref::ExtractStridedMetadataOp::create(host, loc, array).getStrides());
  for (auto [dim, stride] : llvm::enumerate(strides))
    view.strides.push_back(ShapedType::isDynamic(stride) ? pass(dynamic[dim]) : index(stride));
  return views[array] = view;
}

/// Constants of host code lie in its memory; the device gets its own.
Value DeviceKernel::repeatConstant(memref::GetGlobalOp constant) {
  auto origin = SymbolTable::lookupNearestSymbolFrom<memref::GlobalOp>(constant, constant.getNameAttr());
  std::string name = ("constant_" + constant.getName()).str();
  auto known = device.lookupSymbol<LLVM::GlobalOp>(name);
  if (!known) {
    auto value = cast<DenseElementsAttr>(origin.getConstantInitValue());
    Type type = value.getElementType();
    for (int64_t size : llvm::reverse(value.getType().getShape()))
      type = LLVM::LLVMArrayType::get(type, size);
    Attribute initial = value.getType().getRank() ? Attribute(value) : value.getSplatValue<Attribute>();
    OpBuilder module = OpBuilder::atBlockBegin(device.getBody());
    known = LLVM::GlobalOp::create(module, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal, name, initial,
                                   /*alignment=*/16, kGlobalMemory);
  }
  return LLVM::AddressOfOp::create(inside, loc, known);
}

Value DeviceKernel::address(const View &view, ValueRange indices) {
  Value offset;
  for (auto [index, stride] : llvm::zip_equal(indices, view.strides)) {
    Value term =
        isConstantIntValue(stride, 1) ? Value(index) : arith::MulIOp::create(inside, loc, index, stride).getResult();
    offset = offset ? arith::AddIOp::create(inside, loc, offset, term).getResult() : term;
  }
  if (!offset)
    return view.pointer;
  return LLVM::GEPOp::create(inside, loc, view.pointer.getType(), view.element, view.pointer,
                             ArrayRef<LLVM::GEPArg>{asI64(inside, loc, offset)});
}

Value DeviceKernel::load(const View &view, ValueRange indices, int64_t lanes) {
  Type type = lanes == 1 ? view.element : VectorType::get({lanes}, view.element);
  return LLVM::LoadOp::create(inside, loc, type, address(view, indices), alignmentOf(view.element, lanes));
}

void DeviceKernel::store(Value value, const View &view, ValueRange indices) {
  auto vector = dyn_cast<VectorType>(value.getType());
  LLVM::StoreOp::create(inside, loc, value, address(view, indices),
                        alignmentOf(view.element, vector ? vector.getNumElements() : 1));
}

Value DeviceKernel::shared(Type element, int64_t elements, int64_t alignment) {
  OpBuilder module = OpBuilder::atBlockBegin(device.getBody());
  auto type = LLVM::LLVMArrayType::get(element, elements);
  std::string name = (function.getName() + "_shared_" + Twine(sharedCount++)).str();
  auto global = LLVM::GlobalOp::create(module, loc, type, /*isConstant=*/false, LLVM::Linkage::Internal, name,
                                       Attribute(), alignment, kSharedMemory);
  return LLVM::AddressOfOp::create(inside, loc, global);
}

Value DeviceKernel::dynamicShared(int64_t bytes) {
  constexpr llvm::StringLiteral name = "tw_dynamic_shared";
  auto known = device.lookupSymbol<LLVM::GlobalOp>(name);
  if (!known) {
    OpBuilder module = OpBuilder::atBlockBegin(device.getBody());
    auto type = LLVM::LLVMArrayType::get(module.getI8Type(), 0);
    known = LLVM::GlobalOp::create(module, loc, type, /*isConstant=*/false, LLVM::Linkage::External, name, Attribute(),
                                   /*alignment=*/1024, kSharedMemory);
  }
  function->setAttr("tw.shared", host.getI64IntegerAttr(bytes));
  return LLVM::AddressOfOp::create(inside, loc, known);
}

Value DeviceKernel::tensorMap(Value array, ArrayRef<int64_t> box, int64_t swizzle, Type type) {
  if (!type)
    type = getElementTypeOrSelf(array.getType());
  auto map = host.getDictionaryAttr({host.getNamedAttr("box", host.getDenseI64ArrayAttr(box)),
                                     host.getNamedAttr("swizzle", host.getI64IntegerAttr(swizzle)),
                                     host.getNamedAttr("type", TypeAttr::get(type))});
  return addArgument(array, LLVM::LLVMPointerType::get(host.getContext()),
                     host.getDictionaryAttr(host.getNamedAttr("tw.tensor_map", map)));
}

Value DeviceKernel::sharedAddress(Value base, Type element, Value position) {
  return LLVM::GEPOp::create(inside, loc, base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{asI64(inside, loc, position)});
}

void DeviceKernel::barrier() { NVVM::Barrier0Op::create(inside, loc); }

SmallVector<Value> DeviceKernel::delinearise(Value linear, ArrayRef<OpFoldResult> extents) {
  SmallVector<Value> parts(extents.size());
  for (int64_t dim = extents.size() - 1; dim >= 0; --dim) {
    if (isConstantIntValue(extents[dim], 1)) {
      parts[dim] = index(int64_t{0});
      continue;
    }
    bool outermost =
        llvm::all_of(extents.take_front(dim), [](OpFoldResult size) { return isConstantIntValue(size, 1); });
    if (outermost) {
      parts[dim] = linear;
      for (int64_t rest = 0; rest < dim; ++rest)
        parts[rest] = index(int64_t{0});
      break;
    }
    Value size = index(extents[dim]);
    parts[dim] = arith::RemUIOp::create(inside, loc, linear, size);
    linear = arith::DivUIOp::create(inside, loc, linear, size);
  }
  return parts;
}

OpFoldResult DeviceKernel::product(ArrayRef<OpFoldResult> factors) {
  int64_t known = 1;
  Value rest;
  for (OpFoldResult factor : factors) {
    if (auto number = getConstantIntValue(factor)) {
      known *= *number;
      continue;
    }
    Value value = cast<Value>(factor);
    rest = rest ? arith::MulIOp::create(host, loc, rest, value).getResult() : value;
  }
  if (!rest)
    return host.getIndexAttr(known);
  if (known == 1)
    return rest;
  return arith::MulIOp::create(host, loc, rest, arith::ConstantIndexOp::create(host, loc, known)).getResult();
}

OpFoldResult DeviceKernel::ceilDiv(OpFoldResult value, int64_t by) {
  if (auto number = getConstantIntValue(value))
    return host.getIndexAttr((*number + by - 1) / by);
  return arith::CeilDivUIOp::create(host, loc, cast<Value>(value), arith::ConstantIndexOp::create(host, loc, by))
      .getResult();
}

void DeviceKernel::launch(OpFoldResult blocks, int64_t threads) {
  OpBuilder atEnd = OpBuilder::atBlockEnd(&function.front());
  func::ReturnOp::create(atEnd, loc);
  function->setAttr("tw.threads", host.getI64IntegerAttr(threads));
  rt::LaunchKernelOp::create(host, loc, function.getName(), getValueOrCreateConstantIndexOp(host, loc, blocks), threads,
                             operands);
}
