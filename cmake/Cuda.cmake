# CUDA: the kernels of kernels/cuda as a static library without LibTorch. Sets TT_CUDA, true where they are part of the build.
#
#   thinktune_kernels_cuda   launchers of kernels/cuda/*.h, compiled by nvcc for all architectures
#
# AUTO: where nvcc and the libraries of LibTorch's CUDA side are found. These are gigabytes, which scripts/setup.sh gets only
# where it is asked to (--cuda) or sees NVIDIA's driver: a toolkit alone (a laptop, a container) costs nobody a download. A
# build with sanitizers has no CUDA, unless asked for. ON (the preset cuda) needs nvcc and these libraries, and no GPU.
set(THINKTUNE_CUDA AUTO CACHE STRING "CUDA: ON, OFF, or AUTO (where nvcc and LibTorch's CUDA libraries are found)")
set_property(CACHE THINKTUNE_CUDA PROPERTY STRINGS ON OFF AUTO)
string(TOUPPER "${THINKTUNE_CUDA}" _cuda)
if(NOT _cuda MATCHES "^(ON|OFF|AUTO)$")
  message(FATAL_ERROR "THINKTUNE_CUDA is ${THINKTUNE_CUDA}; it takes ON, OFF or AUTO.")
endif()

set(TT_CUDA FALSE)
if(NOT _cuda STREQUAL "OFF")
  find_program(THINKTUNE_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(_cuda STREQUAL "ON" AND NOT THINKTUNE_NVCC)
    message(FATAL_ERROR "THINKTUNE_CUDA=ON, but nvcc is neither on PATH nor in /usr/local/cuda/bin. Install the CUDA 13.0 toolkit, or set CUDA_HOME.")
  endif()
  if(_cuda STREQUAL "ON")
    set(TT_CUDA TRUE)
  elseif(THINKTUNE_NVCC AND NOT THINKTUNE_SANITIZE)
    # The last of third_party/requirements-cuda.txt stands for all of them; LibTorch.cmake looks for each.
    file(GLOB_RECURSE _nvshmem "${THINKTUNE_SITE_PACKAGES}/nvidia/*/libnvshmem_host.so.3")
    if(_nvshmem)
      set(TT_CUDA TRUE)
    else()
      message(STATUS "nvcc is here (${THINKTUNE_NVCC}), LibTorch's CUDA libraries are not: scripts/setup.sh --cuda gets them")
    endif()
  endif()
endif()
message(STATUS "CUDA: ${TT_CUDA} (THINKTUNE_CUDA=${_cuda})")
if(NOT TT_CUDA)
  return()
endif()

# Ampere to Blackwell as machine code; PTX of the last for what comes after.
set(CMAKE_CUDA_ARCHITECTURES "80-real;86-real;89-real;90-real;100-real;120" CACHE STRING "GPU architectures of the kernels")
set(CMAKE_CUDA_COMPILER "${THINKTUNE_NVCC}")
set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
if(CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
enable_language(CUDA)
# CMake 3.25 does not know that nvcc has C++20.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
find_package(CUDAToolkit 13.0 REQUIRED)

# Few files, each with several kernels: nvcc takes its time for a file six times, once for each architecture.
file(GLOB _cuda_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/kernels/cuda/*.cu")
add_library(thinktune_kernels_cuda_objects OBJECT ${_cuda_sources})
target_include_directories(thinktune_kernels_cuda_objects PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}")
# Warnings of the kernels are errors.
target_compile_options(thinktune_kernels_cuda_objects PRIVATE "-Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers;-Werror=all-warnings")

file(GLOB _cuda_host_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/kernels/cuda/*.cpp")
add_library(thinktune_kernels_cuda STATIC $<TARGET_OBJECTS:thinktune_kernels_cuda_objects> ${_cuda_host_sources})
target_include_directories(thinktune_kernels_cuda PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}")
# The runtime is the shared one that LibTorch's wheel names (LibTorch.cmake links it): a program has that one and no second, neither
# the toolkit's nor a static one. kernels_cuda_test, which has no LibTorch, has the static one.
target_include_directories(thinktune_kernels_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(thinktune_kernels_cuda PUBLIC thinktune_core)
set_target_properties(thinktune_kernels_cuda PROPERTIES CUDA_RUNTIME_LIBRARY None LINKER_LANGUAGE CXX)
