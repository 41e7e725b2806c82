# tilewright_add_pass(NAME sources... LINK_LIBS libs...): the pass folder NAME: NAME.td, its generated header, its library.
# The library is called Tilewright<NAME> and is remembered, so that registration links every pass there is.
function(tilewright_add_pass name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  set(LLVM_TARGET_DEFINITIONS ${name}.td)
  mlir_tablegen(${name}.h.inc -gen-pass-decls -name ${name})
  add_public_tablegen_target(Tilewright${name}IncGen)
  add_mlir_library(Tilewright${name} ${ARG_UNPARSED_ARGUMENTS}
    DEPENDS Tilewright${name}IncGen TilewrightTwIncGen
    LINK_LIBS PUBLIC TilewrightTw MLIRIR MLIRPass MLIRTransformUtils ${ARG_LINK_LIBS})
  set_property(GLOBAL APPEND PROPERTY TILEWRIGHT_PASS_LIBS Tilewright${name})
endfunction()
