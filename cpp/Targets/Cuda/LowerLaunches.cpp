//===- LowerLaunches.cpp - Launches become calls of the runtime's table -----===//
//
// In:  host functions whose first argument is the runtime's table, with rt.launch_kernel and rt.read.
// Out: calls of the table's functions; the module says which number is which kernel.
// Here, before functions are converted: arrays still know their address and offset.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Cuda.h"

namespace tilewright {
#define GEN_PASS_DEF_CUDALOWERLAUNCHESPASS
#include "Targets/Cuda/Cuda.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Positions of the table's fields (cpp/Runtime/Abi.h).
enum TableField { kLaunch = 6, kRead = 7, kFieldCount = 8 };

struct CudaLowerLaunchesPass : tilewright::impl::CudaLowerLaunchesPassBase<CudaLowerLaunchesPass> {
  void callTable(OpBuilder &builder, Operation *op, TableField field, ArrayRef<Value> arguments) {
    Location loc = op->getLoc();
    MLIRContext *context = &getContext();
    auto pointer = LLVM::LLVMPointerType::get(context);
    SmallVector<Type> fields(kFieldCount, pointer);
    fields[0] = fields[1] = builder.getI32Type();
    auto type = LLVM::LLVMStructType::getLiteral(context, fields);
    Value table = op->getParentOfType<func::FuncOp>().getArgument(0);
    Value place = LLVM::GEPOp::create(builder, loc, pointer, type, table, ArrayRef<LLVM::GEPArg>{0, field});
    SmallVector<Value> operands{LLVM::LoadOp::create(builder, loc, pointer, place), table};
    llvm::append_range(operands, arguments);
    auto types = llvm::map_to_vector(ArrayRef<Value>(operands).drop_front(), [](Value v) { return v.getType(); });
    auto function = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types);
    LLVM::CallOp::create(builder, loc, function, operands);
  }

  /// The address of an array's first element.
  Value addressOf(OpBuilder &builder, Location loc, Value array) {
    auto type = cast<MemRefType>(array.getType());
    Value base = memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, array);
    auto [strides, offset] = type.getStridesAndOffset();
    if (offset != 0) {
      Value elements = ShapedType::isDynamic(offset)
                           ? memref::ExtractStridedMetadataOp::create(builder, loc, array).getOffset()
                           : arith::ConstantIndexOp::create(builder, loc, offset).getResult();
      int64_t bytes = (type.getElementTypeBitWidth() + 7) / 8;
      Value distance =
          arith::MulIOp::create(builder, loc, elements, arith::ConstantIndexOp::create(builder, loc, bytes));
      base = arith::AddIOp::create(builder, loc, base, distance);
    }
    Value number = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), base);
    return LLVM::IntToPtrOp::create(builder, loc, LLVM::LLVMPointerType::get(&getContext()), number);
  }

  /// Memory of the frame, whatever loop the operation stands in.
  Value frame(Operation *op, Type type, int64_t count) {
    auto function = op->getParentOfType<func::FuncOp>();
    OpBuilder builder = OpBuilder::atBlockBegin(&function.front());
    Value size = LLVM::ConstantOp::create(builder, op->getLoc(), builder.getI64IntegerAttr(count));
    return LLVM::AllocaOp::create(builder, op->getLoc(), LLVM::LLVMPointerType::get(&getContext()), type, size);
  }

  /// What a tensor map is made of, 64 bits each: address, sizes with the innermost first, strides in bytes from the second
  /// dimension on.
  Value mapOf(rt::LaunchKernelOp op, Value array) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    auto type = cast<MemRefType>(array.getType());
    int64_t rank = type.getRank();
    Value words = frame(op, builder.getI64Type(), 2 * rank);
    auto put = [&](int64_t place, Value value) {
      if (value.getType().isIndex())
        value = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), value);
      Value slot = LLVM::GEPOp::create(builder, loc, pointer, builder.getI64Type(), words,
                                       ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(place)});
      LLVM::StoreOp::create(builder, loc, value, slot);
    };
    put(0, addressOf(builder, loc, array));
    Value stride = arith::ConstantIndexOp::create(builder, loc, (type.getElementTypeBitWidth() + 7) / 8);
    for (int64_t dim = rank - 1; dim >= 0; --dim) {
      Value size = memref::DimOp::create(builder, loc, array, dim);
      put(rank - dim, size);
      stride = arith::MulIOp::create(builder, loc, stride, size);
      if (dim > 0)
        put(rank + (rank - dim), stride);
    }
    return words;
  }

  /// What a launch of this kernel wants beyond arguments: dynamic shared memory, a limit of its blocks, tensor maps,
  /// a start before the end of the launch before it.
  DictionaryAttr extrasOf(FunctionOpInterface function) {
    Builder builder(&getContext());
    SmallVector<Attribute> maps;
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      if (auto map = function.getArgAttrOfType<DictionaryAttr>(i, "tw.tensor_map")) {
        SmallVector<NamedAttribute> fields(map.getValue());
        fields.push_back(builder.getNamedAttr("parameter", builder.getI64IntegerAttr(i)));
        maps.push_back(builder.getDictionaryAttr(fields));
      }
    SmallVector<NamedAttribute> found;
    if (Attribute shared = function->getAttr("tw.shared"))
      found.push_back(builder.getNamedAttr("shared", shared));
    if (Attribute persistent = function->getAttr("tw.persistent"))
      found.push_back(builder.getNamedAttr("persistent", persistent));
    if (function->hasAttr("tw.overlap"))
      found.push_back(builder.getNamedAttr("overlap", builder.getUnitAttr()));
    if (!maps.empty()) {
      found.push_back(builder.getNamedAttr("maps", builder.getArrayAttr(maps)));
      found.push_back(builder.getNamedAttr("parameters", builder.getI64IntegerAttr(function.getNumArguments())));
    }
    return builder.getDictionaryAttr(found);
  }

  void lower(rt::LaunchKernelOp op, int64_t number, FunctionOpInterface function) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    int64_t count = std::max<int64_t>(1, op.getCaptures().size());
    Value values = frame(op, builder.getI64Type(), count), addresses = frame(op, pointer, count);
    for (auto [position, operand] : llvm::enumerate(op.getCaptures())) {
      LLVM::GEPArg place(static_cast<int32_t>(position));
      Value slot =
          LLVM::GEPOp::create(builder, loc, pointer, builder.getI64Type(), values, ArrayRef<LLVM::GEPArg>{place});
      Value value = operand;
      Value entry = LLVM::GEPOp::create(builder, loc, pointer, pointer, addresses, ArrayRef<LLVM::GEPArg>{place});
      if (function.getArgAttr(position, "tw.tensor_map")) {
        LLVM::StoreOp::create(builder, loc, mapOf(op, value), entry);
        continue;
      }
      if (isa<MemRefType>(value.getType()))
        value = addressOf(builder, loc, value);
      else if (value.getType().isIndex())
        value = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), value);
      LLVM::StoreOp::create(builder, loc, value, slot);
      LLVM::StoreOp::create(builder, loc, slot, entry);
    }
    Value kernel = LLVM::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(number));
    Value blocks = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), op.getBlocks());
    Value threads = LLVM::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(op.getThreads()));
    callTable(builder, op, kLaunch, {kernel, blocks, threads, addresses});
    op.erase();
  }

  void lower(rt::ReadOp op) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    Type type = op.getValue().getType();
    Value place = frame(op, type, 1);
    int64_t bytes = (type.getIntOrFloatBitWidth() + 7) / 8;
    Value size = LLVM::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(bytes));
    callTable(builder, op, kRead, {place, addressOf(builder, loc, op.getSource()), size});
    op.replaceAllUsesWith(LLVM::LoadOp::create(builder, loc, type, place).getResult());
    op.erase();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Builder builder(&getContext());
    SmallVector<Attribute> names;
    SmallVector<NamedAttribute> extras;
    SmallVector<FunctionOpInterface> functions;
    llvm::DenseMap<StringAttr, int64_t> numbers;
    for (auto device : module.getOps<gpu::GPUModuleOp>())
      for (Operation &op : *device.getBody())
        if (op.hasAttr("nvvm.kernel") || op.hasAttr("tw.device")) {
          auto name = op.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName());
          numbers[name] = names.size();
          names.push_back(name);
          functions.push_back(cast<FunctionOpInterface>(op));
          if (DictionaryAttr found = extrasOf(functions.back()); !found.empty())
            extras.push_back(builder.getNamedAttr(name, found));
        }
    module->setAttr("tw.device_kernels", builder.getArrayAttr(names));
    if (!extras.empty())
      module->setAttr("tw.device_extras", builder.getDictionaryAttr(extras));
    SmallVector<rt::LaunchKernelOp> launches;
    SmallVector<rt::ReadOp> reads;
    module.walk([&](rt::LaunchKernelOp op) { launches.push_back(op); });
    module.walk([&](rt::ReadOp op) { reads.push_back(op); });
    for (rt::LaunchKernelOp op : launches) {
      auto known = numbers.find(op.getKernelAttr().getAttr());
      if (known == numbers.end()) {
        op.emitOpError("names no kernel of the device: ") << op.getKernelAttr();
        return signalPassFailure();
      }
      lower(op, known->second, functions[known->second]);
    }
    for (rt::ReadOp op : reads)
      lower(op);
  }
};

} // namespace
