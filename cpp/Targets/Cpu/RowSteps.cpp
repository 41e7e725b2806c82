//===- RowSteps.cpp - In which steps a loop over rows treats a row --------===//
//
// A walk along a row starts a new stage where it needs what another walk of the same row has found, or has written
// elsewhere than at the place where both are. Everything else belongs to the latest stage that it needs something of.
// Iterations of the result execute stages of different rows in any order, so that all they may share is memory that is
// only read, results that only one stage writes, and buffers that begin anew with each row: they become rings.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/RowSteps.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace tilewright::overlap;

namespace {

/// Stages at most: each holds vectors and constants of its own in registers.
constexpr int64_t kMostStages = 4;

/// One read or write of memory.
struct Access {
  Operation *op;
  Value root; ///< an argument of the kernel or an allocation
  bool writes;
};

bool sameBound(Value lhs, Value rhs) {
  std::optional<int64_t> l = getConstantIntValue(lhs), r = getConstantIntValue(rhs);
  return lhs == rhs || (l && r && *l == *r);
}

bool sameBounds(scf::ForOp lhs, scf::ForOp rhs) {
  return sameBound(lhs.getLowerBound(), rhs.getLowerBound()) && sameBound(lhs.getUpperBound(), rhs.getUpperBound()) &&
         sameBound(lhs.getStep(), rhs.getStep());
}

/// The argument of the kernel or the allocation that a buffer is a view of; null for others.
Value rootOf(Value buffer) {
  while (Operation *op = buffer.getDefiningOp()) {
    if (isa<memref::AllocaOp>(op))
      return buffer;
    if (!isa<memref::SubViewOp, memref::CastOp, memref::ExpandShapeOp, memref::CollapseShapeOp>(op))
      return {};
    buffer = op->getOperand(0);
  }
  auto argument = cast<BlockArgument>(buffer);
  return isa<func::FuncOp>(argument.getOwner()->getParentOp()) ? buffer : Value();
}

Value bufferOf(Operation *op) {
  if (auto read = dyn_cast<vector::TransferReadOp>(op))
    return read.getBase();
  if (auto write = dyn_cast<vector::TransferWriteOp>(op))
    return write.getBase();
  if (auto load = dyn_cast<memref::LoadOp>(op))
    return load.getMemRef();
  if (auto store = dyn_cast<memref::StoreOp>(op))
    return store.getMemRef();
  return {};
}

/// Where an access along a row is: the loop's position and so many elements, or always at the same place.
struct Place {
  Value fixed; ///< null where the place moves
  int64_t constant = 0;
  bool operator==(const Place &other) const { return fixed == other.fixed && constant == other.constant; }
};

Place placeOf(Value index, Value position) {
  if (index == position)
    return {};
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return {index, *constant};
  if (auto sum = index.getDefiningOp<arith::AddIOp>()) {
    std::optional<int64_t> offset = getConstantIntValue(sum.getRhs());
    if (sum.getLhs() == position && offset)
      return {Value(), *offset};
  }
  return {index, 0};
}

class Analysis {
public:
  explicit Analysis(RowSteps &steps) : steps(steps), rows(steps.rows) {}

  bool run() {
    if (rows.getNumRegionIterArgs() != 0 || !findWalks() || !findAccesses() || !checkMemory())
      return false;
    // A result that a later stage writes as well waits for that stage.
    for (int round = 0; round < kMostStages; ++round) {
      met.clear();
      for (Member &member : steps.members)
        if (!assign(member))
          return false;
      if (writeTogether())
        return count() && carry();
    }
    return false;
  }

private:
  Member *memberOf(Operation *op) {
    Operation *inBody = rows.getBody()->findAncestorOpInBlock(*op);
    auto found = numbers.find(inBody);
    return found == numbers.end() ? nullptr : &steps.members[found->second];
  }

  bool findWalks() {
    SmallVector<scf::ForOp> loops(rows.getBody()->getOps<scf::ForOp>());
    scf::ForOp model;
    int64_t most = 1;
    for (scf::ForOp loop : loops) {
      int64_t same = llvm::count_if(loops, [&](scf::ForOp other) { return sameBounds(loop, other); });
      if (same > most && rows.isDefinedOutsideOfLoop(loop.getLowerBound()) &&
          rows.isDefinedOutsideOfLoop(loop.getUpperBound()) && rows.isDefinedOutsideOfLoop(loop.getStep())) {
        most = same;
        model = loop;
      }
    }
    if (!model)
      return false;
    steps.model = model;
    for (Operation &op : rows.getBody()->without_terminator()) {
      auto loop = dyn_cast<scf::ForOp>(op);
      numbers[&op] = steps.members.size();
      steps.members.push_back({&op, /*walk=*/loop && sameBounds(loop, model)});
    }
    return true;
  }

  bool findAccesses() {
    for (Member &member : steps.members) {
      SmallVectorImpl<Access> &found = accesses[member.op];
      WalkResult result = member.op->walk([&](Operation *op) {
        if (Value buffer = bufferOf(op)) {
          Value root = rootOf(buffer);
          found.push_back({op, root, isa<vector::TransferWriteOp, memref::StoreOp>(op)});
          return root ? WalkResult::advance() : WalkResult::interrupt();
        }
        bool control = isa<scf::ForOp, scf::IfOp>(op);
        return control || isMemoryEffectFree(op) ? WalkResult::advance() : WalkResult::interrupt();
      });
      if (result.wasInterrupted())
        return false;
    }
    return true;
  }

  /// Whether a value is the same for all rows.
  bool sameForAllRows(Value value) {
    if (rows.isDefinedOutsideOfLoop(value))
      return true;
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      auto loop = dyn_cast<scf::ForOp>(argument.getOwner()->getParentOp());
      return loop && loop != rows && argument == loop.getInductionVar() && sameForAllRows(loop.getLowerBound()) &&
             sameForAllRows(loop.getUpperBound()) && sameForAllRows(loop.getStep());
    }
    Operation *op = value.getDefiningOp();
    return op->getNumRegions() == 0 && isPure(op) &&
           llvm::all_of(op->getOperands(), [&](Value operand) { return sameForAllRows(operand); });
  }

  /// A buffer that nobody else knows, in which every row accesses the same elements: what a row reads there it has
  /// written, since the first one has.
  bool beginsAnew(Value buffer) {
    auto type = cast<MemRefType>(buffer.getType());
    if (!buffer.getDefiningOp<memref::AllocaOp>() || !type.hasStaticShape() || !type.getLayout().isIdentity())
      return false;
    return llvm::all_of(buffer.getUses(), [&](OpOperand &use) {
      Operation *op = use.getOwner();
      if (bufferOf(op) != buffer || !rows->isProperAncestor(op))
        return false;
      for (Operation *around = op->getParentOp(); around != rows; around = around->getParentOp())
        if (!isa<scf::ForOp>(around) || !llvm::all_of(cast<scf::ForOp>(around).getLoopRegions(), [&](Region *region) {
              return sameForAllRows(region->getArgument(0));
            }))
          return false;
      // Values that are written may be anything; places may not.
      auto write = dyn_cast<vector::TransferWriteOp>(op);
      auto store = dyn_cast<memref::StoreOp>(op);
      Value written = write ? write.getVector() : store ? store.getValue() : Value();
      return llvm::all_of(op->getOperands(),
                          [&](Value operand) { return operand == written || sameForAllRows(operand); });
    });
  }

  bool checkMemory() {
    llvm::SmallMapVector<Value, std::pair<bool, bool>, 4> uses; // read, written
    for (Member &member : steps.members)
      for (const Access &access : accesses[member.op])
        (access.writes ? uses[access.root].second : uses[access.root].first) = true;
    for (auto &[root, use] : uses) {
      if (!use.second)
        continue;
      if (beginsAnew(root))
        steps.rings.push_back({root, 0, 0});
      else if (use.first)
        return false;
      else
        results.push_back(root);
    }
    return true;
  }

  /// Whether what `first` writes is what `second` reads in the same turn of a common loop.
  bool meet(Member &first, Member &second) {
    auto one = cast<scf::ForOp>(first.op), two = cast<scf::ForOp>(second.op);
    std::optional<int64_t> step = getConstantIntValue(one.getStep());
    SmallVector<std::pair<Operation *, Operation *>> found;
    for (const Access &later : accesses[two]) {
      bool shared = false;
      vector::TransferWriteOp match;
      auto read = dyn_cast<vector::TransferReadOp>(later.op);
      for (const Access &earlier : accesses[one]) {
        if (earlier.root != later.root || !(earlier.writes || later.writes) || apart(earlier, later))
          continue;
        shared = true;
        auto write = dyn_cast<vector::TransferWriteOp>(earlier.op);
        if (!read || !write || !step || read->getParentOp() != two || write->getParentOp() != one)
          return false;
        if (!fillsItsTurn(write, one, *step))
          return false;
        bool same = llvm::all_of(llvm::zip_equal(write.getIndices(), read.getIndices()), [&](auto both) {
          return placeOf(std::get<0>(both), one.getInductionVar()) == placeOf(std::get<1>(both), two.getInductionVar());
        });
        if (same && write.getBase() == read.getBase() && write.getVectorType() == read.getVectorType() &&
            write.getPermutationMap() == read.getPermutationMap() && !read.getMask() && !read.hasOutOfBoundsDim())
          match = write;
        else if (!besides(write, one, read, two))
          return false;
      }
      if (shared && !match)
        return false;
      if (match)
        found.push_back({read, match});
    }
    for (auto [read, write] : found)
      met[read] = write;
    return true;
  }

  /// Whether in one turn of a common loop `read` reads nothing of what `write` writes.
  bool besides(vector::TransferWriteOp write, scf::ForOp one, vector::TransferReadOp read, scf::ForOp two) {
    if (read.getIndices().empty() || read.getVectorType().getRank() != 1 ||
        !read.getPermutationMap().isMinorIdentity() || write.getBase() != read.getBase())
      return false;
    Place written = placeOf(write.getIndices().back(), one.getInductionVar()),
          wanted = placeOf(read.getIndices().back(), two.getInductionVar());
    return !written.fixed && !wanted.fixed &&
           (wanted.constant >= written.constant + write.getVectorType().getNumElements() ||
            written.constant >= wanted.constant + read.getVectorType().getNumElements());
  }

  /// Whether no other turn of the loop writes where this one does.
  bool fillsItsTurn(vector::TransferWriteOp write, scf::ForOp loop, int64_t step) {
    if (write.getMask() || write.hasOutOfBoundsDim() || write.getVectorType().getRank() != 1 ||
        !write.getPermutationMap().isMinorIdentity() || write.getIndices().empty())
      return false;
    Place place = placeOf(write.getIndices().back(), loop.getInductionVar());
    return !place.fixed && place.constant >= 0 && place.constant + write.getVectorType().getNumElements() <= step &&
           llvm::all_of(write.getIndices().drop_back(),
                        [&](Value index) { return loop.isDefinedOutsideOfLoop(index); });
  }

  /// Chooses the stage of a member from those before it.
  bool assign(Member &member) {
    SmallVector<Member *> producers;
    member.op->walk([&](Operation *op) {
      for (Value operand : op->getOperands())
        if (Operation *made = operand.getDefiningOp();
            made && rows->isProperAncestor(made) && !member.op->isAncestor(made))
          producers.push_back(memberOf(made));
    });
    bool pure = member.op->getNumRegions() == 0 && isPure(member.op);
    member.everywhere = pure && llvm::all_of(producers, [](Member *producer) { return producer->everywhere; });
    if (member.everywhere)
      return true;
    int64_t stage = least.lookup(member.op);
    for (Member *producer : producers)
      if (!producer->everywhere)
        stage = std::max(stage, producer->stage + (member.walk && (producer->walk || producer->after)));
    // What touches the same memory, one of them to write.
    SmallVector<Member *> before;
    for (Member &other : steps.members) {
      if (other.op == member.op)
        break;
      if (!conflict(other, member))
        continue;
      before.push_back(&other);
      bool next = member.walk && (other.after || (other.walk && !meet(other, member)));
      stage = std::max(stage, other.stage + next);
    }
    member.stage = stage;
    auto waits = [&](Member *other) {
      return !other->everywhere && other->stage == stage && (other->walk || other->after);
    };
    member.after = !member.walk && (llvm::any_of(producers, waits) || llvm::any_of(before, waits));
    return stage < kMostStages;
  }

  bool conflict(Member &lhs, Member &rhs) {
    for (const Access &one : accesses[lhs.op])
      for (const Access &two : accesses[rhs.op])
        if (one.root == two.root && (one.writes || two.writes) && !apart(one, two))
          return true;
    return false;
  }

  /// Elements of the innermost dimension that an access reaches: those of a walk in all its turns.
  struct Reach {
    int64_t begin, end;
  };
  std::optional<Reach> reachOf(const Access &access) {
    auto read = dyn_cast<vector::TransferReadOp>(access.op);
    auto write = dyn_cast<vector::TransferWriteOp>(access.op);
    if ((!read && !write) || access.root != bufferOf(access.op))
      return std::nullopt;
    VectorType type = read ? read.getVectorType() : write.getVectorType();
    AffineMap map = read ? read.getPermutationMap() : write.getPermutationMap();
    OperandRange indices = read ? read.getIndices() : write.getIndices();
    if (type.getRank() != 1 || !map.isMinorIdentity() || indices.empty())
      return std::nullopt;
    auto loop = dyn_cast<scf::ForOp>(access.op->getParentOp());
    Place place = placeOf(indices.back(), loop ? loop.getInductionVar() : Value());
    if (place.fixed) {
      std::optional<int64_t> constant = getConstantIntValue(place.fixed);
      return constant ? std::optional(Reach{*constant, *constant + type.getNumElements()}) : std::nullopt;
    }
    std::optional<int64_t> lower = getConstantIntValue(loop.getLowerBound()),
                           upper = getConstantIntValue(loop.getUpperBound()),
                           step = getConstantIntValue(loop.getStep());
    if (!lower || !upper || !step || *upper <= *lower)
      return std::nullopt;
    int64_t last = *lower + (*upper - *lower - 1) / *step * *step;
    return Reach{*lower + place.constant, last + place.constant + type.getNumElements()};
  }

  /// Whether two accesses of one buffer never touch the same elements.
  bool apart(const Access &lhs, const Access &rhs) {
    std::optional<Reach> one = reachOf(lhs), two = reachOf(rhs);
    return one && two && (one->end <= two->begin || two->end <= one->begin);
  }

  bool accessesRoot(Member &member, Value root) {
    return llvm::any_of(accesses[member.op], [&](const Access &access) { return access.root == root; });
  }

  /// Whether each result is written in one stage, and nothing touches a row's buffer before its walks do: rings are short
  /// then. Members that would come too early are told to wait.
  bool writeTogether() {
    bool together = true;
    auto waitFor = [&](int64_t stage, Value root) {
      for (Member &member : steps.members)
        if (accessesRoot(member, root) && member.stage < stage) {
          least[member.op] = stage;
          together = false;
        }
    };
    for (Value result : results) {
      int64_t last = 0;
      for (Member &member : steps.members)
        if (accessesRoot(member, result))
          last = std::max(last, member.stage);
      waitFor(last, result);
    }
    for (Ring &ring : steps.rings) {
      std::optional<int64_t> first;
      for (Member &member : steps.members)
        if (member.walk && accessesRoot(member, ring.buffer))
          first = std::min(first.value_or(member.stage), member.stage);
      waitFor(first.value_or(0), ring.buffer);
    }
    return together;
  }

  /// How many stages there are; false where walks are in one only.
  bool count() {
    llvm::SmallDenseSet<int64_t> walked;
    for (Member &member : steps.members) {
      if (!member.everywhere)
        steps.stages = std::max(steps.stages, member.stage + 1);
      if (member.walk)
        walked.insert(member.stage);
    }
    for (Ring &ring : steps.rings) {
      int64_t first = kMostStages, last = 0;
      for (Member &member : steps.members)
        if (accessesRoot(member, ring.buffer)) {
          first = std::min(first, member.stage);
          last = std::max(last, member.stage);
        }
      ring.stage = first;
      ring.rows = last - first + 1;
    }
    return walked.size() > 1;
  }

  /// What walks of the same stage have from each other, and what later stages use.
  bool carry() {
    for (auto [read, write] : met)
      if (memberOf(read)->stage == memberOf(write)->stage)
        steps.forwarded[read] = cast<vector::TransferWriteOp>(write).getVector();
    for (Member &member : steps.members) {
      if (member.everywhere)
        continue;
      for (Value value : member.op->getResults()) {
        int64_t last = member.stage;
        for (Operation *user : value.getUsers())
          last = std::max(last, memberOf(user)->stage);
        if (last == member.stage)
          continue;
        Type type = value.getType();
        if (!getElementTypeOrSelf(type).isIntOrIndexOrFloat() || isa<ShapedType>(type) != isa<VectorType>(type))
          return false;
        steps.carried.push_back({value, member.stage, last - member.stage});
      }
    }
    llvm::stable_sort(steps.carried, [](const Carried &lhs, const Carried &rhs) { return lhs.stage < rhs.stage; });
    return true;
  }

  RowSteps &steps;
  scf::ForOp rows;
  DenseMap<Operation *, size_t> numbers;
  DenseMap<Operation *, SmallVector<Access, 4>> accesses;
  DenseMap<Operation *, Operation *> met; // reads, and the writes of other walks that they follow
  DenseMap<Operation *, int64_t> least;   // stages that writers wait for
  SmallVector<Value> results;             // arguments that are written and not read
};

} // namespace

bool RowSteps::mayHave(scf::ForOp rows) {
  SmallVector<scf::ForOp> loops(rows.getBody()->getOps<scf::ForOp>());
  return loops.size() > 1 && llvm::none_of(loops, [](scf::ForOp loop) {
           return loop.getBody()->walk([](scf::ForOp) { return WalkResult::interrupt(); }).wasInterrupted();
         });
}

std::optional<RowSteps> RowSteps::of(scf::ForOp rows) {
  RowSteps steps;
  steps.rows = rows;
  if (!Analysis(steps).run())
    return std::nullopt;
  return steps;
}
