// The tokenizer that a PipelineSpec states.
#pragma once

#include <memory>

#include "text/pipeline_spec.h"

namespace thinktune::text {

// Throws Error{Data} for a spec that contradicts itself.
std::unique_ptr<Tokenizer> make_pipeline(PipelineSpec spec);

// Content of the tokenizer.json that states `spec`.
std::string to_tokenizer_json(const PipelineSpec& spec);

// `spec` in GGUF's words. Throws Error{Data} where GGUF has none for it.
struct GgufVocabulary to_gguf_vocabulary(const PipelineSpec& spec);

}  // namespace thinktune::text
