# The tests of the CUDA kernels (tests/kernels/cuda_*_test.cpp), twice from one text:
#
#   kernels_simt_test   the kernels compiled by g++ over tests/support/simt: everywhere, no GPU and no toolkit needed
#   ops_simt_test       the same behind src/ops/gpu_kernels_cuda.cpp, which hands tensors to them
#   kernels_cuda_test   the kernels compiled by nvcc, on the GPU; skips where there is none. It needs no library of ours and no
#                       LibTorch, so that it can be copied to a machine that has a driver and nothing else.
find_package(boost_context REQUIRED CONFIG)

file(GLOB kernel_tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/kernels/cuda_*_test.cpp")
file(GLOB simt CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/support/simt/*.cpp")
list(FILTER simt EXCLUDE REGEX "_cuda\\.cpp$")
# What the tests compare with, and no more: these files stand in for the libraries of core and weights.
set(twins src/core/error.cpp src/core/last_words.cpp src/core/random.cpp src/core/atomic_file.cpp src/core/file_layer.cpp
    src/core/mapped_ranges.cpp
    src/weights/dequantize.cpp src/weights/dequantize_k.cpp src/weights/tensor_source.cpp src/weights/checks.cpp)

function(tt_kernel_test target prefix label)
  add_executable(${target} ${kernel_tests} kernels/cuda/arguments.cpp ${twins} ${ARGN})
  target_include_directories(${target} PRIVATE
    "${CMAKE_CURRENT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}/src"
    "${CMAKE_CURRENT_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}/tests/kernels")
  target_link_libraries(${target} PRIVATE "$<TARGET_FILE:thinktune_kernels>" GTest::gmock GTest::gtest GTest::gtest_main fmt::fmt-header-only
                        -l:libxxhash.a)
  add_dependencies(${target} thinktune_kernels)
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${prefix}." PROPERTIES LABELS "${label}" TIMEOUT ${test_timeout} ENVIRONMENT ${test_environment})
  tt_tests_of(kernels ${target})
endfunction()

if(NOT THINKTUNE_SANITIZE STREQUAL "thread")  # one thread runs all fibers, and ThreadSanitizer takes them for many
  add_library(simt_kernels OBJECT ${simt})
  target_include_directories(simt_kernels PRIVATE
    "${CMAKE_CURRENT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}/tests")
  target_link_libraries(simt_kernels PRIVATE Boost::context GTest::gtest fmt::fmt-header-only)
  tt_kernel_test(kernels_simt_test kernels unit tests/kernels/simt_test.cpp $<TARGET_OBJECTS:simt_kernels>)
  target_link_libraries(kernels_simt_test PRIVATE Boost::context)
  # src/ops' way to these kernels, over the same.
  tt_test_executable(ops_simt_test ops unit tests/ops/gpu_kernels_simt_test.cpp src/ops/gpu_kernels_cuda.cpp kernels/cuda/arguments.cpp
                     $<TARGET_OBJECTS:simt_kernels>)
  target_include_directories(ops_simt_test PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src")
  target_link_libraries(ops_simt_test PRIVATE thinktune_algo thinktune_optim thinktune_infer Boost::context)
  # mold 1.10 lets the read-only part begin at the program's only thread-local byte, in a page that is not there.
  target_link_options(ops_simt_test PRIVATE "LINKER:-z,norelro")
  # Dequantised values equal the CPU's to the bit: nothing is fused that the text does not fuse.
  set_source_files_properties(tests/support/simt/kernels_simt.cpp PROPERTIES COMPILE_OPTIONS "-O2;-ffp-contract=off")
endif()

if(TT_CUDA)
  function(tt_bare_executable target)
    target_sources(${target} PRIVATE kernels/cuda/launch.cpp $<TARGET_OBJECTS:thinktune_kernels_cuda_objects>)
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
    target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX CUDA_RUNTIME_LIBRARY None)
  endfunction()
  tt_kernel_test(kernels_cuda_test kernels_cuda device tests/support/simt/device_buffer_cuda.cpp)
  tt_bare_executable(kernels_cuda_test)

  # Times, to be taken by hand: build/cuda/bin/kernels_benchmark.
  add_executable(kernels_benchmark tests/bench/kernels_benchmark.cpp kernels/cuda/arguments.cpp src/core/error.cpp)
  target_include_directories(kernels_benchmark PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}/include")
  target_link_libraries(kernels_benchmark PRIVATE fmt::fmt-header-only)
  tt_bare_executable(kernels_benchmark)
endif()
