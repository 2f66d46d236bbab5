#include "thinktune/model/config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

void check_sizes(const ModelConfig& config, const std::string& where) {
  // As config.json has them, and a GGUF.
  const std::pair<const char*, int64_t> sizes[] = {
      {"vocab_size (tokenizer.ggml.tokens)", config.vocab_size},
      {"hidden_size (embedding_length)", config.hidden_size},
      {"intermediate_size (feed_forward_length)", config.intermediate_size},
      {"num_hidden_layers (block_count)", config.num_layers},
      {"num_attention_heads (attention.head_count)", config.num_heads},
      {"num_key_value_heads (attention.head_count_kv)", config.num_kv_heads},
      {"head_dim (attention.key_length)", config.head_dim},
      {"max_position_embeddings (context_length)", config.max_position},
      {"head_dim · partial_rotary_factor (rope.dimension_count)", config.rotary_dim}};
  constexpr int64_t kLargest = int64_t{1} << 31;
  for (const auto& [name, value] : sizes) {
    if (value <= 0 || value > kLargest)
      throw core::data_error(fmt::format("{}: {} is {}, which no model has", where, name, value));
  }
  constexpr int64_t kMostLayers = 10000, kMostHeads = 1 << 16, kWidestHead = 1 << 16;
  if (config.num_layers > kMostLayers || config.num_heads > kMostHeads || config.head_dim > kWidestHead)
    throw core::data_error(fmt::format("{}: {} layers of {} heads of {}, which no model has", where, config.num_layers,
                                       config.num_heads, config.head_dim));
  // Sizes that are each possible can still multiply beyond what is counted in.
  constexpr __int128 kMostParameters = __int128{1} << 45;
  const __int128 heads = __int128{config.num_heads} + 2 * config.num_kv_heads;
  const __int128 layer = __int128{config.hidden_size} * (2 * heads * config.head_dim + 3 * config.intermediate_size);
  if (2 * __int128{config.vocab_size} * config.hidden_size + config.num_layers * layer > kMostParameters)
    throw core::data_error(
        fmt::format("{}: {} layers of width {}, MLP {}, {} heads of {}, vocabulary {}: no model is that "
                    "large",
                    where, config.num_layers, config.hidden_size, config.intermediate_size, config.num_heads,
                    config.head_dim, config.vocab_size));
  if (config.num_heads % config.num_kv_heads != 0)
    throw core::data_error(fmt::format("{}: {} query heads cannot share {} key/value heads", where, config.num_heads,
                                       config.num_kv_heads));
  if (config.rotary_dim % 2 != 0 || config.rotary_dim > config.head_dim)
    throw core::data_error(
        fmt::format("{}: {} of a head's {} dimensions are to be rotary: an even number up to {} is "
                    "needed",
                    where, config.rotary_dim, config.head_dim, config.head_dim));
  if (!config.windows.empty() && std::ssize(config.windows) != config.num_layers)
    throw core::data_error(fmt::format("{}: attention windows for {} layers, but there are {}", where,
                                       config.windows.size(), config.num_layers));
  for (const int64_t window : config.windows)
    if (window < 0) throw core::data_error(fmt::format("{}: an attention window of {} tokens", where, window));
}

void check_positive(const char* name, double value, const std::string& where) {
  if (!(value > 0) || !std::isfinite(value))
    throw core::data_error(fmt::format("{}: {} is {}, and must be above 0", where, name, value));
}

constexpr double kMostStretch = 1e6;
constexpr int64_t kLongestOriginal = int64_t{1} << 31;

void check_rope(const Rope& rope, int64_t rotary_dim, const std::string& where) {
  check_positive("rope_theta", rope.theta, where);
  switch (rope.scaling) {
    case RopeScaling::None:
      return;
    case RopeScaling::Linear:
      if (!(rope.factor >= 1) || !(rope.factor <= kMostStretch))
        throw core::data_error(
            fmt::format("{}: the factor of the linear rope scaling is {}, and must be at least 1 and at most a million",
                        where, rope.factor));
      return;
    case RopeScaling::Llama3:
      if (!(rope.factor >= 1) || !(rope.factor <= kMostStretch) || !(rope.low_freq_factor > 0) ||
          !(rope.high_freq_factor > rope.low_freq_factor) || !std::isfinite(rope.high_freq_factor) ||
          rope.original_max_position <= 0 || rope.original_max_position > kLongestOriginal)
        throw core::data_error(
            fmt::format("{}: rope scaling llama3 with factor {}, frequencies {} … {}, original length {}", where,
                        rope.factor, rope.low_freq_factor, rope.high_freq_factor, rope.original_max_position));
      return;
    case RopeScaling::LongRope:
      if (rope.original_max_position <= 0 || rope.original_max_position > kLongestOriginal)
        throw core::data_error(
            fmt::format("{}: the original length of the longrope scaling is {}", where, rope.original_max_position));
      check_positive("the attention factor of the longrope scaling", rope.attention_factor, where);
      for (const auto* factors : {&rope.short_factors, &rope.long_factors}) {
        if (std::ssize(*factors) != rotary_dim / 2)
          throw core::data_error(
              fmt::format("{}: longrope has {} factors for {} frequencies", where, factors->size(), rotary_dim / 2));
        for (const double factor : *factors) check_positive("a longrope factor", factor, where);
      }
  }
}

}  // namespace

void validate(const ModelConfig& config, const std::string& where) {
  check_sizes(config, where);
  check_positive("rms_norm_eps", config.rms_norm_eps, where);
  if (config.rms_norm_eps > 0.01)
    throw core::data_error(fmt::format("{}: rms_norm_eps is {}, which no model has", where, config.rms_norm_eps));
  check_positive("the scale of attention scores (query_pre_attn_scalar)", config.attention_scale, where);
  check_positive("the scale of embeddings", config.embedding_scale, where);
  for (const double cap : {config.attention_softcap, config.logit_softcap})
    if (!(cap >= 0)) throw core::data_error(fmt::format("{}: a soft cap of {}", where, cap));
  check_rope(config.rope, config.rotary_dim, where);
  check_rope(config.local_rope, config.rotary_dim, where);
}

int64_t max_tokens(const ModelConfig& config) {
  const bool short_only = config.rope.scaling == RopeScaling::LongRope && !config.long_context;
  return short_only ? std::min(config.rope.original_max_position, config.max_position) : config.max_position;
}

std::vector<double> rotary_frequencies(const ModelConfig& config, const Rope& rope) {
  const int64_t half = config.rotary_dim / 2;
  std::vector<double> frequencies;
  for (int64_t i = 0; i < half; ++i) {
    double f = std::pow(rope.theta, -static_cast<double>(i) / static_cast<double>(half));
    switch (rope.scaling) {
      case RopeScaling::None:
        break;
      case RopeScaling::Linear:
        f /= rope.factor;
        break;
      case RopeScaling::Llama3: {
        // Wavelengths longer than original/low are divided by the factor, shorter than original/high stay, a linear
        // ramp (in original/wavelength) between.
        const double turns = static_cast<double>(rope.original_max_position) * f / (2 * std::numbers::pi);
        const double keep =
            std::clamp((turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0);
        f = keep * f + (1 - keep) * f / rope.factor;
        break;
      }
      case RopeScaling::LongRope:
        f /= (config.long_context ? rope.long_factors : rope.short_factors)[static_cast<size_t>(i)];
        break;
    }
    frequencies.push_back(f);
  }
  return frequencies;
}

}  // namespace thinktune::model
