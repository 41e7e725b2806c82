# Makes the SDK's imported MLIR targets link static LLVM components.
#
# The wheels were built against libLLVM.so, so every exported MLIR target names the shared library `LLVM`. A wheel that
# bundles the compiler must not need that 136 MB file at run time: the name is replaced by an interface target that lists
# the static components which are used.
llvm_map_components_to_libnames(TW_LLVM_LIBS
  Core Support IRReader IRPrinter BitReader BitWriter AsmParser Passes Target TargetParser MC Analysis CodeGen
  OrcJIT Remarks FrontendOpenMP X86CodeGen X86AsmParser X86Desc X86Info Linker IPO
  NVPTXCodeGen NVPTXDesc NVPTXInfo ${TW_EXTRA_LLVM_COMPONENTS})
add_library(TwLLVMStatic INTERFACE)
target_link_libraries(TwLLVMStatic INTERFACE ${TW_LLVM_LIBS})

foreach(target ${MLIR_EXPORTED_TARGETS})
  foreach(property INTERFACE_LINK_LIBRARIES MLIR_AGGREGATE_DEP_LIBS_IMPORTED)
    get_target_property(libs ${target} ${property})
    if(libs)
      list(TRANSFORM libs REPLACE "^LLVM$" "TwLLVMStatic")
      list(TRANSFORM libs REPLACE "^\\$<LINK_ONLY:LLVM>$" "$<LINK_ONLY:TwLLVMStatic>")
      set_target_properties(${target} PROPERTIES ${property} "${libs}")
    endif()
  endforeach()
endforeach()
