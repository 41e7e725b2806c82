//===- Passes.cpp - One line per pass folder ---------------------------------===//
#include "Capi/Registration.h"

void tilewright::registerTilewrightPasses() {
}
