# Quick incremental builds where the tools are at hand; nothing here changes what is built.
find_program(TW_CCACHE ccache)
if(TW_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${TW_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${TW_CCACHE}")
endif()
# g++ takes only a linker that is called ld.lld, so a versioned one gets a link of that name.
find_program(TW_LLD NAMES ld.lld ld.lld-22 ld.lld-21 ld.lld-20 ld.lld-19)
if(TW_LLD)
  file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/linker")
  file(CREATE_LINK "${TW_LLD}" "${CMAKE_BINARY_DIR}/linker/ld.lld" SYMBOLIC)
  add_link_options("-fuse-ld=lld" "-B${CMAKE_BINARY_DIR}/linker")
endif()
