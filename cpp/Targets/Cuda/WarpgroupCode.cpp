//===- WarpgroupCode.cpp - What kernels of warpgroups share -----------------===//
#include "Targets/Cuda/WarpgroupCode.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

static Value assemblyOf(OpBuilder &code, Location loc, TypeRange results, const Twine &text, StringRef constraints,
                        ValueRange operands) {
  auto op =
      LLVM::InlineAsmOp::create(code, loc, results, operands, text.str(), constraints, /*has_side_effects=*/true,
                                /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                                LLVM::AsmDialectAttr::get(code.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr());
  return results.empty() ? Value() : op->getResult(0);
}

void WarpgroupCode::assembly(const Twine &text, StringRef constraints, ValueRange operands) {
  assemblyOf(code, place, {}, text, constraints, operands);
}

Value WarpgroupCode::i32(int64_t value) {
  return arith::ConstantOp::create(code, place, code.getI32IntegerAttr(value));
}

Value WarpgroupCode::isEqual(Value a, Value b) {
  return arith::CmpIOp::create(code, place, arith::CmpIPredicate::eq, a, b);
}

WarpgroupCode::Turn WarpgroupCode::after(const Turn &turn, const BarrierRing &ring) {
  Value next = plus(turn.stage, i32(1)), wraps = isEqual(next, i32(ring.stages));
  Value flipped = arith::XOrIOp::create(code, place, turn.parity, i32(1));
  return {arith::SelectOp::create(code, place, wraps, i32(0), next),
          arith::SelectOp::create(code, place, wraps, flipped, turn.parity)};
}

void WarpgroupCode::prepare(Value barrier, int64_t arrivals) {
  assembly("mbarrier.init.shared::cta.b64 [$0], " + Twine(arrivals) + ";", "r,~{memory}", {barrier});
}

void WarpgroupCode::prepare(const BarrierRing &ring, int64_t readers) {
  for (int64_t stage = 0; stage < ring.stages; ++stage) {
    prepare(full(ring, i32(stage)), 1);
    prepare(empty(ring, i32(stage)), readers);
  }
}

/// A label is known within its braces only, but the assembler wants it unique in a function, too.
void WarpgroupCode::wait(Value barrier, Value parity) {
  assembly("{\n.reg .pred done;\nWAIT_${:uid}:\nmbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1;\n"
           "@!done bra WAIT_${:uid};\n}",
           "r,r,~{memory}", {barrier, parity});
}

void WarpgroupCode::expect(Value barrier, int64_t bytes) {
  assembly("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], " + Twine(bytes) + ";", "r,~{memory}", {barrier});
}

void WarpgroupCode::waitUntilEmpty(const BarrierRing &ring, const Turn &turn) {
  wait(empty(ring, turn.stage), arith::XOrIOp::create(code, place, turn.parity, i32(1)));
}

/// What the barrier orders is what `wgmma` read before and what copies will write: no thread's own accesses, so that it need
/// not wait for those of others to be seen.
void WarpgroupCode::release(const BarrierRing &ring, Value stage, Value lane) {
  Value none = arith::ConstantOp::create(code, place, code.getZeroAttr(lane.getType()));
  auto one = scf::IfOp::create(code, place, isEqual(lane, none));
  OpBuilder::InsertionGuard guard(code);
  code.setInsertionPointToStart(one.thenBlock());
  assembly("mbarrier.arrive.shared::cta.b64 _, [$0];", "r,~{memory}", {empty(ring, stage)});
}

std::string WarpgroupCode::coordinates(ValueRange subscripts, Values &operands, std::string &constraints) {
  std::string places;
  for (Value value : llvm::reverse(subscripts)) {
    places += (places.empty() ? "$" : ", $") + std::to_string(operands.size());
    operands.push_back(asI32(value));
    constraints += ",r";
  }
  return places;
}

void WarpgroupCode::copyBox(Value to, Value map, Value barrier, ValueRange subscripts, int64_t sharers) {
  Values operands{to, map, barrier};
  std::string constraints = "r,l,r";
  std::string places = coordinates(subscripts, operands, constraints);
  std::string text = "cp.async.bulk.tensor." + std::to_string(subscripts.size()) +
                     "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes";
  std::string rest = " [$0], [$1, {" + places + "}], [$2]";
  if (sharers > 1) {
    text += ".multicast::cluster";
    rest += ", $" + std::to_string(operands.size());
    constraints += ",h";
    operands.push_back(arith::ConstantOp::create(code, place, code.getI16IntegerAttr((1 << sharers) - 1)));
  }
  assembly(text + rest + ";", constraints + ",~{memory}", operands);
}

/// "Matrix-Descriptor Format" of the PTX ISA: address, distance of blocks of 64 rows or columns (1 for rows of 128 bytes along
/// the depth), distance of 8 permuted rows, in units of 16 bytes.
Value WarpgroupCode::descriptor(Value start, int64_t leading) {
  int64_t eight = 8 * kSpanBytes / 16;
  Value address = arith::ShRUIOp::create(code, place, start, i32(4));
  Value fixed = arith::ConstantOp::create(
      code, place, code.getI64IntegerAttr(int64_t{1} << 62 | eight << 32 | (leading / 16) << 16));
  return arith::OrIOp::create(code, place, arith::ExtUIOp::create(code, place, code.getI64Type(), address), fixed);
}

/// All products in one piece of assembly: until the wait at its end the sums belong to the tensor cores, and nothing may come
/// between.
SmallVector<Value> WarpgroupCode::multiply(const Chain &chain, ValueRange sums, ValueRange left, Value right) {
  int64_t count = chain.columns / 2, used = count + sums.size();
  bool isDescribed = left.size() == 1;
  auto list = [](int64_t first, int64_t size) {
    std::string text = "{";
    for (int64_t i = 0; i < size; ++i)
      text += (i ? ", $" : "$") + std::to_string(first + i);
    return text + "}";
  };
  auto turned = [](bool is) { return is ? ", 1" : ", 0"; };
  // Only elements of 16 bits can be turned, and of the left factor only those in shared memory.
  std::string layouts = chain.depth != kInstructionBytes / 2
                            ? ""
                            : (isDescribed ? turned(chain.leftTurned) : "") + std::string(turned(chain.rightTurned));
  std::string second = "$" + std::to_string(used + left.size());
  std::string text = "{\n.reg .b64 left, right;\n.reg .pred add, first;\nsetp.eq.u32 add, 0, 0;\n";
  text += sums.empty() ? "setp.ne.u32 first, 0, 0;\n" : "setp.eq.u32 first, 0, 0;\n";
  text += "wgmma.fence.sync.aligned;\n";
  for (auto [number, step] : llvm::enumerate(chain.steps)) {
    std::string factor = isDescribed ? "left" : list(used + 4 * number, 4);
    if (isDescribed)
      text += "add.u64 left, $" + std::to_string(used) + ", " + std::to_string(step.left / 16) + ";\n";
    text += "add.u64 right, " + second + ", " + std::to_string(step.right / 16) + ";\n";
    text += "wgmma.mma_async.sync.aligned.m64n" + std::to_string(chain.columns) + "k" + std::to_string(chain.depth) +
            ".f32" + chain.types + " " + list(0, count) + ", " + factor + ", right, " + (number ? "add" : "first") +
            ", 1, 1" + layouts + ";\n";
  }
  text += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n}";
  std::string constraints;
  for (int64_t i = 0; i < count; ++i)
    constraints += "=f,";
  for (size_t i = 0; i < sums.size(); ++i)
    constraints += std::to_string(i) + ",";
  for (size_t i = 0; i < left.size(); ++i)
    constraints += isDescribed ? "l," : "r,";
  constraints += "l,~{memory}";

  Values operands(sums);
  llvm::append_range(operands, left);
  operands.push_back(right);
  SmallVector<Type> types(count, code.getF32Type());
  auto all = LLVM::LLVMStructType::getLiteral(code.getContext(), types);
  Value result = assemblyOf(code, place, all, text, constraints, operands);
  Values next;
  for (int64_t i = 0; i < count; ++i)
    next.push_back(LLVM::ExtractValueOp::create(code, place, code.getF32Type(), result, ArrayRef<int64_t>{i}));
  return next;
}

void WarpgroupCode::shareRoles(DeviceKernel &kernel, int64_t sumRegisters, int64_t copyRegisters,
                               llvm::function_ref<void()> consume, llvm::function_ref<void()> produce) {
  auto below = [&](int64_t threads) {
    return arith::CmpIOp::create(code, place, arith::CmpIPredicate::ult, kernel.threadId(), kernel.index(threads));
  };
  auto roles = scf::IfOp::create(code, place, below(kConsumers * kGroupThreads), true);
  OpBuilder::InsertionGuard guard(code);
  code.setInsertionPointToStart(roles.thenBlock());
  assembly("setmaxnreg.inc.sync.aligned.u32 " + Twine(sumRegisters) + ";", "~{memory}", {});
  consume();
  code.setInsertionPointToStart(roles.elseBlock());
  assembly("setmaxnreg.dec.sync.aligned.u32 " + Twine(copyRegisters) + ";", "~{memory}", {});
  auto oneWarp = scf::IfOp::create(code, place, below(kConsumers * kGroupThreads + 32));
  code.setInsertionPointToStart(oneWarp.thenBlock());
  Value elected = NVVM::ElectSyncOp::create(code, place, code.getI1Type(), Value());
  auto one = scf::IfOp::create(code, place, elected);
  code.setInsertionPointToStart(one.thenBlock());
  produce();
}
