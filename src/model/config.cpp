#include "thinktune/model/config.h"

#include "thinktune/core/error.h"

namespace thinktune::model {

void validate(const ModelConfig& config, const std::string& where) {
  const std::pair<const char*, int64_t> sizes[] = {{"vocab_size", config.vocab_size},
                                                   {"hidden_size", config.hidden_size},
                                                   {"intermediate_size", config.intermediate_size},
                                                   {"num_layers", config.num_layers},
                                                   {"num_heads", config.num_heads},
                                                   {"num_kv_heads", config.num_kv_heads},
                                                   {"head_dim", config.head_dim},
                                                   {"max_position", config.max_position}};
  constexpr int64_t kLargest = int64_t{1} << 31;
  for (const auto& [name, value] : sizes) {
    if (value <= 0 || value > kLargest)
      throw core::data_error(fmt::format("{}: {} is {}, which no model has", where, name, value));
  }
  if (config.num_heads % config.num_kv_heads != 0)
    throw core::data_error(fmt::format("{}: {} query heads cannot share {} key/value heads", where, config.num_heads,
                                       config.num_kv_heads));
  if (config.head_dim % 2 != 0)
    throw core::data_error(
        fmt::format("{}: head_dim is {}; rotary embedding needs an even number", where, config.head_dim));
  if (!(config.rms_norm_eps > 0) || !(config.rope_theta > 0))
    throw core::data_error(fmt::format("{}: rms_norm_eps ({}) and rope_theta ({}) must be above 0", where,
                                       config.rms_norm_eps, config.rope_theta));
  if (config.rope_scaling) {
    const Llama3RopeScaling& s = *config.rope_scaling;
    if (!(s.factor > 0) || !(s.high_freq_factor > s.low_freq_factor) || s.original_max_position <= 0)
      throw core::data_error(
          fmt::format("{}: rope scaling llama3 with factor {}, frequencies {} … {}, original length {}", where,
                      s.factor, s.low_freq_factor, s.high_freq_factor, s.original_max_position));
  }
}

int64_t num_parameters(const ModelConfig& c) {
  const int64_t attention = c.hidden_size * c.head_dim * (2 * c.num_heads + 2 * c.num_kv_heads);
  const int64_t mlp = 3 * c.hidden_size * c.intermediate_size;
  const int64_t heads = c.vocab_size * c.hidden_size * (c.tie_word_embeddings ? 1 : 2);
  return heads + c.num_layers * (attention + mlp + 2 * c.hidden_size) + c.hidden_size;
}

}  // namespace thinktune::model
