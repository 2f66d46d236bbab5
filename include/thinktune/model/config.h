// What a model is: sizes and constants of one decoder. One struct for every family; a family's own file fills it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/core/types.h"

namespace thinktune::model {

// RoPE frequencies stretched as in the Llama 3.1 report: low frequencies divided by `factor`, high ones kept, a ramp
// between.
struct Llama3RopeScaling {
  double factor = 8.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_position = 8192;
};

struct ModelConfig {
  std::string family;  // "llama"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;        // D
  int64_t intermediate_size = 0;  // F
  int64_t num_layers = 0;
  int64_t num_heads = 0;     // N
  int64_t num_kv_heads = 0;  // K
  int64_t head_dim = 0;      // H
  int64_t max_position = 0;  // longest sequence the model was made for
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  std::optional<Llama3RopeScaling> rope_scaling;
  bool tie_word_embeddings = false;

  std::vector<core::TokenId> end_of_turn_ids;  // every id that ends a turn; the first is the one that is written
  core::TokenId bos_id = -1;                   // -1: none
  core::TokenId pad_id = -1;                   // may equal an end-of-turn id: padding is known by position, never by id
};

// Throws Error{Data} naming the field if sizes are missing, not positive, or do not fit together. `where` names the
// source.
void validate(const ModelConfig& config, const std::string& where);

int64_t num_parameters(const ModelConfig& config);

}  // namespace thinktune::model
