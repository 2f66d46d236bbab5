# tt_embed_text(ROOM FILE FUNCTION): the text of FILE (relative to the project) inside the library thinktune_ROOM, returned by
# `std::string_view thinktune::ROOM::FUNCTION()`. CMake configures again when the file changes.
function(tt_embed_text room file function)
  set(path "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${path}")
  file(READ "${path}" TT_TEXT)
  set(TT_TEXT_ROOM "${room}")
  set(TT_TEXT_FUNCTION "${function}")
  set(TT_TEXT_FILE "${file}")
  string(MAKE_C_IDENTIFIER "${file}" name)
  configure_file("${CMAKE_CURRENT_SOURCE_DIR}/cmake/embedded_text.cpp.in" "${CMAKE_BINARY_DIR}/generated/${name}.cpp" @ONLY)
  target_sources(thinktune_${room} PRIVATE "${CMAKE_BINARY_DIR}/generated/${name}.cpp")
endfunction()
