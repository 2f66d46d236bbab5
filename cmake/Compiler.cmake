# Flags of every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# nvcc takes none of g++'s flags: what concerns C++ says so.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wno-missing-field-initializers;-fdiagnostics-color=auto>")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -g1")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -DNDEBUG -g1")  # of the sanitizers, which name files and lines by -g1

set(THINKTUNE_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread; empty for none")
if(THINKTUNE_SANITIZE)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${THINKTUNE_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
  add_link_options(-fsanitize=${THINKTUNE_SANITIZE})
endif()

option(THINKTUNE_FUZZ "Only the fuzz targets, with clang's libFuzzer (preset fuzz)" OFF)
if(THINKTUNE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # counts the edges that an input reaches; only the targets link the engine
elseif(THINKTUNE_SANITIZE)
  # What the sanitizers are told, in every program.
  string(REGEX MATCH "address|thread" _sanitizer "${THINKTUNE_SANITIZE}")
  add_library(thinktune_sanitizer OBJECT "${CMAKE_CURRENT_SOURCE_DIR}/tests/support/sanitizers/${_sanitizer}.cpp")
  link_libraries(thinktune_sanitizer)
endif()

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  # ccache looks into precompiled headers only when told that their clocks and macros may differ.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
endif()
