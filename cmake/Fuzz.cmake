# One libFuzzer executable fuzz_ROOM_NAME from each tests/ROOM/NAME_fuzz.cpp of the rooms that there are; `fuzz_targets` builds all.
# A target's seeds are the files of tests/ROOM/corpus/NAME, its dictionary, if it has one, tests/ROOM/NAME_fuzz.dict.
#
# LibTorch is built for g++, and libFuzzer comes with clang: of the rooms that know LibTorch only these files, which read and do not
# compute, are built here.
function(tt_reading_part name)  # NAME LINKS … FILES …
  cmake_parse_arguments(ARG "" "" "LINKS;FILES" ${ARGN})
  list(TRANSFORM ARG_FILES PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/")
  add_library(thinktune_${name} STATIC ${ARG_FILES})
  target_include_directories(thinktune_${name} PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}" PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src")
  target_link_libraries(thinktune_${name} PUBLIC thinktune_core thinktune_rollout nlohmann_json::nlohmann_json ${ARG_LINKS})
  set_property(GLOBAL APPEND PROPERTY TT_ROOMS ${name})
endfunction()
tt_reading_part(model FILES config.cpp hf_config.cpp)
tt_reading_part(checkpoint FILES manifest.cpp state_file.cpp)
tt_reading_part(eval FILES compare.cpp csv.cpp sample_file.cpp statistics.cpp summary_file.cpp)
tt_reading_part(guidance FILES guard.cpp reply.cpp teacher_prompt.cpp)
tt_reading_part(train LINKS thinktune_checkpoint thinktune_guidance FILES config_changes.cpp)
tt_embed_text(guidance configs/teacher/general.json built_in_prompt_json)
tt_reading_part(cli FILES config_document.cpp config_names.cpp config_reader.cpp config_writer.cpp score_row.cpp)

add_custom_target(fuzz_targets)
get_property(rooms GLOBAL PROPERTY TT_ROOMS)
foreach(room IN LISTS rooms)
  file(GLOB targets CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/${room}/*_fuzz.cpp")
  foreach(target IN LISTS targets)
    cmake_path(GET target STEM name)
    string(REGEX REPLACE "_fuzz$" "" name "${name}")
    add_executable(fuzz_${room}_${name} "${target}")
    target_link_libraries(fuzz_${room}_${name} PRIVATE thinktune_${room})
    target_include_directories(fuzz_${room}_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}/src")
    target_link_options(fuzz_${room}_${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzz_targets fuzz_${room}_${name})
  endforeach()
endforeach()
