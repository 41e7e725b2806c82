# Writes OUT: a C string literal that hashes the C++ and TableGen sources below ROOT.
file(GLOB_RECURSE sources ${ROOT}/cpp/*.cpp ${ROOT}/cpp/*.h ${ROOT}/cpp/*.td ${ROOT}/dialects/*.td ${ROOT}/dialects/*.cpp
  ${ROOT}/dialects/*.h)
list(SORT sources)
set(all "")
foreach(source ${sources})
  file(SHA256 ${source} hash)
  string(APPEND all ${hash})
endforeach()
string(SHA256 id "${all}")
string(SUBSTRING ${id} 0 16 id)
file(WRITE ${OUT} "\"${id}\"\n")
