// The content of configs/teacher/general.json, put into the library by the build (cmake/EmbedText.cmake).
#pragma once

#include <string_view>

namespace thinktune::guidance {

std::string_view built_in_prompt_json();

}  // namespace thinktune::guidance
