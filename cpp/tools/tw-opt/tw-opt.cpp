//===- tw-opt.cpp - mlir-opt with Tilewright's dialect and passes ---------===//
#include "Capi/Tilewright.h"

int main(int argc, char **argv) { return twOptMain(argc, argv); }
