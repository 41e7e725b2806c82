#ifndef PYTHON_BINDINGS_TW_OPS
#define PYTHON_BINDINGS_TW_OPS
include "Tw/TwOps.td"
#endif
