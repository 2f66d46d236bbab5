// tokenizer.json as `tokenizers` 0.23 writes and reads it (its JSON is its documentation).
#pragma once

#include <string>
#include <string_view>

#include "text/pipeline_spec.h"

namespace thinktune::text {

// Throws Error{Data} for what is not a tokenizer.json, or one with a part that is not known, naming it.
PipelineSpec read_tokenizer_json(std::string_view json, const std::string& where);

}  // namespace thinktune::text
