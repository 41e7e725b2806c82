//===- EmitEntry.cpp - The entry points of the ABI --------------------------===//
//
// In:  functions with memref arguments; the runtime table comes first (tw-cpu-threads).
// Out: the same behind `tw_main`, `tw_shapes`, `tw_load_K`, which take the ABI's arrays (cpp/Runtime/Abi.h).
// Here, before the conversion to LLVM: only memref types still say how arrays are shaped.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"

namespace tilewright {
#define GEN_PASS_DEF_EMITENTRYPASS
#include "Targets/Cpu/Cpu.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Builds one entry point.
class EntryBuilder {
public:
  EntryBuilder(OpBuilder &builder, Location loc, const LLVMTypeConverter &converter)
      : builder(builder), loc(loc), converter(converter), pointer(LLVM::LLVMPointerType::get(builder.getContext())),
        array(LLVM::LLVMStructType::getLiteral(builder.getContext(), {pointer, pointer, pointer})) {}

  /// The memref that entry `number` of the array list `list` describes.
  Value unpack(Value list, int64_t number, MemRefType type) {
    Value data = field(list, number, 0);
    Value dims = type.hasStaticShape() ? Value() : field(list, number, 1);
    auto descriptor = MemRefDescriptor::poison(builder, loc, converter.convertType(type));
    descriptor.setAllocatedPtr(builder, loc, data);
    descriptor.setAlignedPtr(builder, loc, data);
    descriptor.setConstantOffset(builder, loc, 0);
    Value stride = number64(1);
    for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
      Value size = type.isDynamicDim(dim) ? load(builder.getI64Type(), dims, builder.getI64Type(), dim)
                                          : number64(type.getDimSize(dim));
      descriptor.setSize(builder, loc, dim, size);
      descriptor.setStride(builder, loc, dim, stride);
      if (dim > 0)
        stride = LLVM::MulOp::create(builder, loc, stride, size);
    }
    return asMemRef(descriptor, type);
  }

  /// The arena at `scratch`. Its size is the caller's business: views do not look at it.
  Value unpackArena(Value scratch, MemRefType type) {
    auto descriptor = MemRefDescriptor::poison(builder, loc, converter.convertType(type));
    descriptor.setAllocatedPtr(builder, loc, scratch);
    descriptor.setAlignedPtr(builder, loc, scratch);
    descriptor.setConstantOffset(builder, loc, 0);
    descriptor.setConstantSize(builder, loc, 0, INT64_MAX);
    descriptor.setConstantStride(builder, loc, 0, 1);
    return asMemRef(descriptor, type);
  }

  void storeIndex(Value list, int64_t number, Value index) {
    Value value = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), index);
    LLVM::StoreOp::create(builder, loc, value, at(list, builder.getI64Type(), number));
  }

private:
  OpBuilder &builder;
  Location loc;
  const LLVMTypeConverter &converter;
  LLVM::LLVMPointerType pointer;
  LLVM::LLVMStructType array;

  Value number64(int64_t value) {
    return LLVM::ConstantOp::create(builder, loc, builder.getI64Type(), builder.getI64IntegerAttr(value));
  }
  Value at(Value base, Type element, int64_t number) {
    return LLVM::GEPOp::create(builder, loc, pointer, element, base,
                               ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(number)});
  }
  Value load(Type type, Value base, Type element, int64_t number) {
    return LLVM::LoadOp::create(builder, loc, type, at(base, element, number));
  }
  Value field(Value list, int64_t number, int32_t which) {
    Value place = LLVM::GEPOp::create(builder, loc, pointer, array, list,
                                      ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(number), which});
    return LLVM::LoadOp::create(builder, loc, pointer, place);
  }
  Value asMemRef(Value descriptor, MemRefType type) {
    return UnrealizedConversionCastOp::create(builder, loc, type, descriptor).getResult(0);
  }
};

/// Finds file, line and column in any kind of location, and the function that a name scope gives.
struct Position {
  StringRef file = "", function = "";
  int64_t line = 0, column = 0;

  void read(Location loc) {
    if (auto place = dyn_cast<FileLineColLoc>(loc)) {
      if (file.empty()) {
        file = place.getFilename().strref();
        line = place.getLine();
        column = place.getColumn();
      }
    } else if (auto name = dyn_cast<NameLoc>(loc)) {
      if (function.empty())
        function = name.getName().strref();
      read(name.getChildLoc());
    } else if (auto call = dyn_cast<CallSiteLoc>(loc)) {
      read(call.getCallee());
      if (file.empty())
        read(call.getCaller());
    } else if (auto fused = dyn_cast<FusedLoc>(loc)) {
      for (Location inner : fused.getLocations())
        if (file.empty())
          read(inner);
    }
  }
};

struct EmitEntryPass : tilewright::impl::EmitEntryPassBase<EmitEntryPass> {
  void numberChecks(ModuleOp module) {
    OpBuilder builder(&getContext());
    // The dialect's own check has a scalar condition since stage `linalg`.
    SmallVector<Operation *> checks;
    module.walk([&](Operation *op) {
      if (op->getName().getStringRef() == "tw.check")
        checks.push_back(op);
    });
    for (Operation *op : checks) {
      builder.setInsertionPoint(op);
      auto message = op->getAttrOfType<StringAttr>("message");
      cf::AssertOp::create(builder, op->getLoc(), op->getOperand(0),
                           message ? message : builder.getStringAttr("check failed"));
      op->erase();
    }
    SmallVector<Attribute> table;
    module.walk([&](cf::AssertOp check) {
      Position position;
      position.read(check.getLoc());
      check->setAttr("tw.location", builder.getI32IntegerAttr(table.size()));
      table.push_back(builder.getArrayAttr(
          {builder.getStringAttr(position.file), builder.getI64IntegerAttr(position.line),
           builder.getI64IntegerAttr(position.column), builder.getStringAttr(position.function), check.getMsgAttr()}));
    });
    module->setAttr("tw.locations", builder.getArrayAttr(table));
  }

  void addStatus(func::FuncOp func) {
    Type status = IntegerType::get(&getContext(), 32);
    auto ret = cast<func::ReturnOp>(func.front().getTerminator());
    OpBuilder builder(ret);
    Value ok = arith::ConstantOp::create(builder, ret.getLoc(), builder.getI32IntegerAttr(0));
    func::ReturnOp::create(builder, ret.getLoc(), ok);
    ret.erase();
    func.setFunctionType(builder.getFunctionType(func.getArgumentTypes(), {status}));
  }

  func::FuncOp createEntry(OpBuilder &builder, func::FuncOp inner, ArrayRef<Type> arguments) {
    auto entry = func::FuncOp::create(builder, inner.getLoc(), ("tw_" + inner.getName()).str(),
                                      builder.getFunctionType(arguments, {builder.getI32Type()}));
    entry->setAttr("tw.entry", builder.getUnitAttr());
    if (Attribute target = inner->getAttr("tw.target"))
      entry->setAttr("tw.target", target);
    builder.setInsertionPointToStart(entry.addEntryBlock());
    return entry;
  }

  LogicalResult emitHost(func::FuncOp inner, const LLVMTypeConverter &converter) {
    OpBuilder builder(&getContext());
    builder.setInsertionPointToEnd(getOperation().getBody());
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    func::FuncOp entry = createEntry(builder, inner, {pointer, pointer, pointer, pointer});
    EntryBuilder make(builder, inner.getLoc(), converter);
    SmallVector<Value> operands;
    int64_t inputs = 0;
    for (unsigned i = 0, e = inner.getNumArguments(); i < e; ++i) {
      auto type = dyn_cast<MemRefType>(inner.getArgument(i).getType());
      if (inner.getArgAttr(i, "tw.rt"))
        operands.push_back(entry.getArgument(0));
      else if (!type)
        return inner.emitOpError("takes ") << inner.getArgument(i).getType() << ": entries pass arrays only";
      else if (auto number = inner.getArgAttrOfType<IntegerAttr>(i, "tw.output"))
        operands.push_back(make.unpack(entry.getArgument(2), number.getInt(), type));
      else if (inner.getArgAttr(i, "tw.arena"))
        operands.push_back(make.unpackArena(entry.getArgument(3), type));
      else
        operands.push_back(make.unpack(entry.getArgument(1), inputs++, type));
    }
    auto call = func::CallOp::create(builder, inner.getLoc(), inner, operands);
    func::ReturnOp::create(builder, inner.getLoc(), call.getResults());
    return success();
  }

  LogicalResult emitShapes(func::FuncOp inner, const LLVMTypeConverter &converter) {
    OpBuilder builder(&getContext());
    builder.setInsertionPointToEnd(getOperation().getBody());
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    func::FuncOp entry = createEntry(builder, inner, {pointer, pointer});
    EntryBuilder make(builder, inner.getLoc(), converter);
    SmallVector<Value> operands;
    for (Type type : inner.getArgumentTypes()) {
      if (!isa<MemRefType>(type))
        return inner.emitOpError("takes ") << type << ": entries pass arrays only";
      operands.push_back(make.unpack(entry.getArgument(0), operands.size(), cast<MemRefType>(type)));
    }
    auto call = func::CallOp::create(builder, inner.getLoc(), inner, operands);
    for (auto [number, index] : llvm::enumerate(call.getResults()))
      make.storeIndex(entry.getArgument(1), number, index);
    Value ok = arith::ConstantOp::create(builder, inner.getLoc(), builder.getI32IntegerAttr(0));
    func::ReturnOp::create(builder, inner.getLoc(), ok);
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    LLVMTypeConverter converter(&getContext());
    numberChecks(module);
    for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (func.isExternal())
        continue;
      bool host = func->hasAttr("tw.host") || func->hasAttr("tw.load");
      if (!host && !func->hasAttr("tw.shapes"))
        continue;
      if (host)
        addStatus(func);
      if (auto aliases = func->getAttrOfType<DenseI64ArrayAttr>("tw.alias"); aliases && func.getName() == "main")
        module->setAttr("tw.aliases", Builder(&getContext()).getI64ArrayAttr(aliases.asArrayRef()));
      func.setPrivate();
      if (failed(host ? emitHost(func, converter) : emitShapes(func, converter)))
        return signalPassFailure();
    }
  }
};

} // namespace
