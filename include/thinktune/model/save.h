// A model going back to where its users' other tools read it: a Hugging Face folder, or a GGUF file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "thinktune/core/atomic_file.h"
#include "thinktune/model/config.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/weights/tensor_source.h"

namespace thinktune::model {

inline constexpr uint64_t kMaxShardBytes = 5'000'000'000;

// Writes config.json, generation_config.json, the weights (in shards of at most max_shard_bytes) and the vocabulary's
// files into an existing folder; transformers loads it as it is. The weights' dtype is kept (f32 or bf16). A vocabulary
// without a tokenizer is left out. Returns what was written.
std::vector<core::WrittenFile> save_pretrained(const std::filesystem::path& folder, const ModelConfig& config,
                                               const Weights& weights, const Vocabulary& vocabulary,
                                               uint64_t max_shard_bytes = kMaxShardBytes);

// The same from an opened model, in another dtype (F32, F16, BF16), one tensor in memory at a time. The folder is made.
void convert_to_folder(const Pretrained& model, const Vocabulary& vocabulary, weights::DType dtype,
                       const std::filesystem::path& folder, uint64_t max_shard_bytes = kMaxShardBytes);

// GGUF with tokenizer and template, for llama.cpp: matrices in dtype (F32, F16, BF16, Q8_0; a matrix whose rows are no
// whole blocks in F16), vectors in F32. Throws Error{Data} for what a GGUF cannot say of this model. Returns what
// llama.cpp computes differently, for people; usually nothing.
std::vector<std::string> convert_to_gguf(const Pretrained& model, const Vocabulary& vocabulary, weights::DType dtype,
                                         const std::filesystem::path& file);

}  // namespace thinktune::model
