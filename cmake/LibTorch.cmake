# LibTorch from the PyPI wheel, as imported targets of our own: the wheel's CMake package insists on a CUDA toolkit that a CPU
# build does not need. libtorch_cpu names libcudart.so.13 and libcupti.so.13, so their folders go on the run path.
#
#   thinktune_torch   headers, libtorch_cpu, libc10; in a build with CUDA libtorch_cuda and libc10_cuda too

set(_torch "${THINKTUNE_SITE_PACKAGES}/torch")
if(NOT EXISTS "${_torch}/include/ATen/ATen.h")
  message(FATAL_ERROR "LibTorch is not in ${_torch}. Run scripts/setup.sh, or set THINKTUNE_SITE_PACKAGES.")
endif()

file(READ "${_torch}/version.py" _version)
string(REGEX MATCH "__version__ = '([^']+)'" _version "${_version}")
set(TORCH_VERSION "${CMAKE_MATCH_1}")

file(GLOB_RECURSE _cudart "${THINKTUNE_SITE_PACKAGES}/nvidia/*/libcudart.so.13")
file(GLOB_RECURSE _cupti "${THINKTUNE_SITE_PACKAGES}/nvidia/*/libcupti.so.13")
if(NOT _cudart OR NOT _cupti)
  message(FATAL_ERROR "libcudart.so.13 or libcupti.so.13 is not below ${THINKTUNE_SITE_PACKAGES}/nvidia. Run scripts/setup.sh.")
endif()
list(GET _cudart 0 _cudart)
list(GET _cupti 0 _cupti)
cmake_path(GET _cudart PARENT_PATH _cudart_folder)
cmake_path(GET _cupti PARENT_PATH _cupti_folder)

add_library(torch_c10 SHARED IMPORTED)
set_target_properties(torch_c10 PROPERTIES IMPORTED_LOCATION "${_torch}/lib/libc10.so")
add_library(torch_cpu SHARED IMPORTED)
set_target_properties(torch_cpu PROPERTIES IMPORTED_LOCATION "${_torch}/lib/libtorch_cpu.so")

# LibTorch brings headers of a newer fmt, whose functions it does not export: ours must be found first.
find_path(THINKTUNE_FMT_INCLUDE fmt/format.h REQUIRED)
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/fmt_first")
file(CREATE_LINK "${THINKTUNE_FMT_INCLUDE}/fmt" "${CMAKE_BINARY_DIR}/fmt_first/fmt" SYMBOLIC)

add_library(thinktune_torch INTERFACE)
target_include_directories(thinktune_torch SYSTEM INTERFACE "${CMAKE_BINARY_DIR}/fmt_first" "${_torch}/include" "${_torch}/include/torch/csrc/api/include")
# at::parallel_for lives in headers, and without OpenMP it is a plain loop on one thread. The wheel brings its libgomp, which
# libtorch_cpu has loaded already: one pool of threads for its operations and for ours.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  message(FATAL_ERROR "LibTorch's threads are libgomp's: build with g++ (CXX=g++), not ${CMAKE_CXX_COMPILER_ID}. Only the fuzz preset takes clang.")
endif()
target_compile_options(thinktune_torch INTERFACE -fopenmp)
# --no-as-needed: the operators register themselves when libtorch_cpu is loaded.
target_link_libraries(thinktune_torch INTERFACE torch_cpu torch_c10 "${_torch}/lib/libgomp.so.1")
target_link_options(thinktune_torch INTERFACE
  "LINKER:-rpath,${_torch}/lib" "LINKER:-rpath,${_cudart_folder}" "LINKER:-rpath,${_cupti_folder}"
  "LINKER:-rpath-link,${_torch}/lib:${_cudart_folder}:${_cupti_folder}"
  "LINKER:--disable-new-dtags")

# libtorch_cuda names a dozen of NVIDIA's libraries: those of the wheels that the torch wheel's metadata asks for.
if(TT_CUDA)
  foreach(library cublas.so.13 cudnn.so.9 cufile.so.0 cusparseLt.so.0 nccl.so.2 nvshmem_host.so.3 nvrtc.so.13)
    file(GLOB_RECURSE _found "${THINKTUNE_SITE_PACKAGES}/nvidia/*/lib${library}")
    if(NOT _found)
      message(FATAL_ERROR "lib${library}, which libtorch_cuda needs, is not below ${THINKTUNE_SITE_PACKAGES}/nvidia. Run scripts/setup.sh --cuda.")
    endif()
    list(GET _found 0 _found)
    cmake_path(GET _found PARENT_PATH _folder)
    list(APPEND _cuda_folders "${_folder}")
  endforeach()
  list(REMOVE_DUPLICATES _cuda_folders)
  foreach(library torch_cuda c10_cuda)
    add_library(${library} SHARED IMPORTED)
    set_target_properties(${library} PROPERTIES IMPORTED_LOCATION "${_torch}/lib/lib${library}.so")
  endforeach()
  # Nothing of ours calls libtorch_cuda by name but the files *_cuda.cpp; its operators register themselves when it is loaded.
  target_link_libraries(thinktune_torch INTERFACE "-Wl,--push-state,--no-as-needed" torch_cuda c10_cuda "${_cudart}" "-Wl,--pop-state")
  list(JOIN _cuda_folders ":" _cuda_path)
  target_link_options(thinktune_torch INTERFACE "LINKER:-rpath,${_cuda_path}" "LINKER:-rpath-link,${_cuda_path}")
endif()

# One precompiled header for all torch-facing code: ATen alone takes most of a file's compile time.
file(WRITE "${CMAKE_BINARY_DIR}/torch_pch.cpp" "// carries the precompiled header\n")
add_library(thinktune_torch_pch STATIC "${CMAKE_BINARY_DIR}/torch_pch.cpp")
# fmt and spdlog only for their compile definitions: gcc refuses a precompiled header that was made without them.
target_link_libraries(thinktune_torch_pch PUBLIC thinktune_torch fmt::fmt spdlog::spdlog)
target_precompile_headers(thinktune_torch_pch PRIVATE
  <ATen/ATen.h> <torch/csrc/autograd/custom_function.h> <fmt/format.h> <string> <vector> <map> <span> <filesystem> <functional> <memory>)

function(tt_use_torch_headers target)
  target_link_libraries(${target} PUBLIC thinktune_torch)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")  # CMake gives executables -fPIE, which gcc takes for another precompiled header
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  target_precompile_headers(${target} REUSE_FROM thinktune_torch_pch)
endfunction()
