//===- ReadWords.cpp - Numbers of a few bits are taken out of words -------===//
//
// What is matched and made stands in the header. Bits that are shifted down are masked before a neighbour's would
// count, so that a word that is shifted to a byte of it does for that byte.
//===----------------------------------------------------------------------===//
#include "Transforms/ChooseLayouts/ReadWords.h"
#include "Transforms/ChooseLayouts/Panels.h"

#include "Analysis/StoredBytes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tilewright;

namespace {

constexpr int64_t kByteBits = 8;

/// Whether every use of `widened`, a byte that runs along `loop`, takes some bits of it, and one of them not the lowest.
bool holdsNumbers(linalg::GenericOp op, arith::ExtUIOp widened, unsigned loop) {
  bool anyShift = false;
  auto isBits = [&](Operation *user) {
    std::optional<Bytewise> number = isa<arith::AndIOp>(user) ? bytewise(op, user->getResult(0), loop) : std::nullopt;
    return number && number->isOf(cast<BlockArgument>(widened.getIn()));
  };
  for (Operation *user : widened->getUsers()) {
    auto shift = dyn_cast<arith::ShRUIOp>(user);
    anyShift |= bool(shift);
    if (shift ? shift.getLhs() != widened || !llvm::all_of(shift->getUsers(), isBits) : !isBits(user))
      return false;
  }
  return anyShift;
}

/// Where `loop` stands alone in `map`; nothing if it does not, `~0u` if the map does not depend on it.
std::optional<unsigned> placeOf(AffineMap map, unsigned loop) {
  std::optional<unsigned> place = ~0u;
  for (auto [i, result] : llvm::enumerate(map.getResults())) {
    if (!result.isFunctionOfDim(loop))
      continue;
    if (*place != ~0u || !isa<AffineDimExpr>(result))
      return std::nullopt;
    place = i;
  }
  return place;
}

/// `value` with dimension `place` split into words and the bytes of a word.
Value viewSplit(RewriterBase &rewriter, Location loc, Value value, unsigned place) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<ReassociationIndices> groups;
  SmallVector<int64_t> shape;
  SmallVector<OpFoldResult> sizes;
  for (auto [i, size] : llvm::enumerate(tensor::getMixedSizes(rewriter, loc, value))) {
    groups.push_back({static_cast<int64_t>(shape.size())});
    if (i != place) {
      shape.push_back(type.getDimSize(i));
      sizes.push_back(size);
      continue;
    }
    groups.back().push_back(shape.size() + 1);
    shape.append({type.getDimSize(i) / kWordBytes, kWordBytes});
    sizes.append({rewriter.getIndexAttr(type.getDimSize(i) / kWordBytes), rewriter.getIndexAttr(kWordBytes)});
  }
  return tensor::ExpandShapeOp::create(rewriter, loc, type.clone(shape), value, groups, sizes);
}

} // namespace

std::optional<StoredNumbers> tilewright::matchStoredNumbers(linalg::GenericOp op) {
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    BlockArgument byte = op.getMatchingBlockArgument(input);
    if (!byte.getType().isInteger(kByteBits) || !byte.hasOneUse() || map.getNumResults() < 2 ||
        !map.isProjectedPermutation())
      continue;
    unsigned loop = cast<AffineDimExpr>(map.getResults().back()).getPosition();
    auto widened = dyn_cast<arith::ExtUIOp>(*byte.getUsers().begin());
    if (!widened || !widened.getType().isInteger(32) || !holdsNumbers(op, widened, loop))
      continue;
    int64_t size = op.getStaticLoopRanges()[loop];
    if (ShapedType::isDynamic(size) || size == 0 || size % kWordBytes != 0)
      continue;
    // What else runs along the loop can be viewed in words, too.
    bool isPlain = llvm::all_of(op->getOpOperands(), [&](OpOperand &operand) {
      std::optional<unsigned> place = placeOf(op.getMatchingIndexingMap(&operand), loop);
      bool hasSize = place && (*place == ~0u || !cast<ShapedType>(operand.get().getType()).isDynamicDim(*place));
      return place && hasSize;
    });
    bool isCounted = llvm::any_of(op.getBody()->getOps<linalg::IndexOp>(),
                                  [&](linalg::IndexOp index) { return index.getDim() == loop; });
    if (isPlain && !isCounted)
      return StoredNumbers{input, loop, widened};
  }
  return std::nullopt;
}

linalg::GenericOp tilewright::emitSplitLoop(RewriterBase &rewriter, linalg::GenericOp op, const StoredNumbers &numbers,
                                            Value words, AffineMap wordsMap) {
  Location loc = op.getLoc();
  rewriter.setInsertionPoint(op);
  // The loop over the words comes last: a short loop before it is unrolled inside of it.
  unsigned byteLoop = numbers.loop, wordLoop = op.getNumLoops();
  AffineExpr byte = rewriter.getAffineDimExpr(byteLoop), word = rewriter.getAffineDimExpr(wordLoop);
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (OpOperand &operand : op->getOpOperands()) {
    bool isStorage = &operand == numbers.storage;
    AffineMap map = isStorage ? wordsMap : op.getMatchingIndexingMap(&operand);
    Value value = isStorage ? words : operand.get();
    SmallVector<AffineExpr> results;
    for (AffineExpr result : map.getResults())
      results.push_back(result.replace(byte, word));
    unsigned place = isStorage ? ~0u : *placeOf(map, byteLoop);
    if (place != ~0u) {
      value = viewSplit(rewriter, loc, value, place);
      results.insert(results.begin() + place + 1, byte);
    }
    maps.push_back(AffineMap::get(wordLoop + 1, 0, results, op.getContext()));
    if (op.isDpsInput(&operand))
      inputs.push_back(value);
  }
  SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
  kinds.push_back(kinds[byteLoop]);
  Type number = op.getMatchingBlockArgument(numbers.storage).getType();
  auto result = linalg::GenericOp::create(
      rewriter, loc, op.getResultTypes(), inputs, op.getOutputs(), maps, kinds,
      [&](OpBuilder &b, Location l, ValueRange args) {
        IRMapping mapping;
        mapping.map(op.getBody()->getArguments(), args);
        for (Operation &inner : op.getBody()->without_terminator()) {
          if (&inner != numbers.widened) {
            b.clone(inner, mapping);
            continue;
          }
          Value stored = args[numbers.storage->getOperandNumber()];
          mapping.map(inner.getResult(0), emitShifted(b, l, stored, linalg::IndexOp::create(b, l, byteLoop), number));
        }
        SmallVector<Value> yielded;
        for (Value value : op.getBody()->getTerminator()->getOperands())
          yielded.push_back(mapping.lookupOrDefault(value));
        linalg::YieldOp::create(b, l, yielded);
      });
  result->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  rewriter.replaceOp(op, result);
  return result;
}

void tilewright::emitBytesOfWords(RewriterBase &rewriter, linalg::GenericOp op, BlockArgument word,
                                  arith::ExtUIOp widened, unsigned loop) {
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(widened);
  Location loc = widened.getLoc();
  Value index = linalg::IndexOp::create(rewriter, loc, loop);
  Value inWord =
      arith::RemUIOp::create(rewriter, loc, index, arith::ConstantIndexOp::create(rewriter, loc, kWordBytes));
  Type byte = word.getType();
  word.setType(rewriter.getI32Type());
  rewriter.replaceOp(widened, emitShifted(rewriter, loc, word, inWord, byte));
}
