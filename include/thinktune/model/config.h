// What a model is: sizes and constants of one decoder. One struct for every family; a family's own file fills it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/core/types.h"

namespace thinktune::model {

// How rotary frequencies are stretched beyond the positions that the model was first trained for.
enum class RopeScaling : uint8_t {
  None,
  Linear,    // all frequencies divided by `factor`
  Llama3,    // low frequencies divided by `factor`, high ones kept, a ramp between (Llama 3.1 report)
  LongRope,  // each frequency divided by a factor of its own (Ding et al. 2024)
};

struct Rope {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::None;
  double factor = 1.0;            // Linear, Llama3
  double low_freq_factor = 1.0;   // Llama3
  double high_freq_factor = 4.0;  // Llama3
  // LongRope: a factor for each frequency; the short ones for sequences up to the original length, the long ones
  // beyond.
  std::vector<double> short_factors, long_factors;
  double attention_factor = 1.0;      // LongRope: cosines and sines are multiplied by it
  int64_t original_max_position = 0;  // Llama3, LongRope: what the model was first trained for

  bool operator==(const Rope&) const = default;
};

enum class NormPlacement : uint8_t {
  Before,  // of attention and MLP (Llama)
  After,   // of them, before their output is added (OLMo 2)
  Both,    // (Gemma)
};

enum class QkNorm : uint8_t {
  None,
  Head,        // each head's query and key (Qwen3, Gemma 3)
  Projection,  // all heads together (OLMo 2)
};

enum class MlpActivation : uint8_t { Silu, GeluTanh };

struct ModelConfig {
  std::string family;  // a name of family.h: "llama"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;        // D
  int64_t intermediate_size = 0;  // F
  int64_t num_layers = 0;
  int64_t num_heads = 0;     // N
  int64_t num_kv_heads = 0;  // K
  int64_t head_dim = 0;      // H
  int64_t max_position = 0;  // longest sequence the model was made for
  bool tie_word_embeddings = false;

  // Where families differ.
  double rms_norm_eps = 1e-5;
  NormPlacement norm_placement = NormPlacement::Before;
  bool norm_weight_plus_one = false;     // norms multiply by 1 + weight (Gemma)
  bool norm_round_before_weight = true;  // see ops::RmsNormForm
  QkNorm qk_norm = QkNorm::None;
  bool qkv_bias = false;
  MlpActivation activation = MlpActivation::Silu;
  double embedding_scale = 1.0;  // embeddings are multiplied by it
  double attention_scale = 0;    // scores are multiplied by it; 1/√H in most families
  double attention_softcap = 0;  // c > 0: scores s become c · tanh(s / c)
  double logit_softcap = 0;      // likewise logits
  int64_t rotary_dim = 0;        // first dimensions of a head that are turned; H in most families
  Rope rope;                     // of layers that see everything
  Rope local_rope;               // of layers with a window
  std::vector<int64_t> windows;  // per layer: token i sees j with 0 <= i - j < window; 0: everything before it
  bool long_context = false;     // LongRope: the run may go beyond the original length, so the long factors hold

  std::vector<core::TokenId> end_of_turn_ids;  // every id that ends a turn; the first is the one that is written
  core::TokenId bos_id = -1;                   // -1: none
  core::TokenId pad_id = -1;                   // may equal an end-of-turn id: padding is known by position, never by id

  bool operator==(const ModelConfig&) const = default;
};

// Throws Error{Data} naming the field if sizes are missing, not positive, or do not fit together. `where` names the
// source.
void validate(const ModelConfig& config, const std::string& where);

// Longest sequence, prompt and response, that this config computes rightly: max_position, but with LongRope and without
// long_context the original length.
int64_t max_tokens(const ModelConfig& config);

// The layer's window; 0: it sees everything before a token.
inline int64_t window_of(const ModelConfig& config, int64_t layer) {
  return config.windows.empty() ? 0 : config.windows[static_cast<size_t>(layer)];
}

// What a position's angle is multiplied by for each pair of a head, [rotary_dim / 2].
std::vector<double> rotary_frequencies(const ModelConfig& config, const Rope& rope);

// From the shapes of empty_weights; a tied head counts once.
int64_t num_parameters(const ModelConfig& config);

}  // namespace thinktune::model
