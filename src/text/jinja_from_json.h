// What a conversation brings to a template, as values whose text is the user's.
#pragma once

#include <nlohmann/json.hpp>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {

Value from_json(Runtime& runtime, const nlohmann::ordered_json& json);

}  // namespace thinktune::text::jinja
