//===- TwRtDialect.cpp - What compiled code asks of the runtime -----------------===//
#include "TwRt/TwRtDialect.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace tilewright::rt;

#include "TwRt/TwRtDialect.cpp.inc"

#define GET_OP_CLASSES
#include "TwRt/TwRtOps.cpp.inc"

void TwRtDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "TwRt/TwRtOps.cpp.inc"
      >();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto body = symbols.lookupNearestSymbolFrom<FunctionOpInterface>(*this, getBodyAttr());
  if (!body)
    return emitOpError("names no function: ") << getBodyAttr(); // c1
  ArrayRef<Type> types = body.getArgumentTypes();
  // Past the lowering of functions a memref is several arguments: nothing is left to compare.
  if (!body->getName().getStringRef().starts_with("func."))
    return success();
  size_t own = getCaptures().size() + 2;
  if (types.size() != own && types.size() != own + 1)
    return emitOpError("body takes ") << types.size() << " arguments, expected the captures and a range"; // c2
  types = types.take_back(own);
  for (auto [type, capture] : llvm::zip(types, getCaptures()))
    if (type != capture.getType())
      return emitOpError("captures ") << capture.getType() << " where the body takes " << type; // c2
  if (!types[own - 2].isIndex() || !types[own - 1].isIndex())
    return emitOpError("body must end with the range's begin and end, of type index"); // c2
  return success();
}
