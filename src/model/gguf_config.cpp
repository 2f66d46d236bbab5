#include "gguf_config.h"

#include <algorithm>
#include <cmath>

#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

constexpr std::string_view kLlama3Factors = "rope_freqs.weight";
constexpr std::string_view kShortFactors = "rope_factors_short.weight";
constexpr std::string_view kLongFactors = "rope_factors_long.weight";

std::vector<double> factors(const weights::Gguf& gguf, std::string_view name, int64_t count) {
  const weights::TensorInfo& info = *gguf.find(name);
  if (info.shape != std::vector<int64_t>{count})
    throw core::data_error(fmt::format("{}: {} should have {} elements", gguf.where(), name, count));
  std::vector<float> values(static_cast<size_t>(count));
  weights::to_float(info, values.data());
  return {values.begin(), values.end()};
}

bool gives(const Rope& rope, const std::vector<double>& divisors, const ModelConfig& config) {
  const std::vector<double> plain = rotary_frequencies(config, {.theta = rope.theta});
  const std::vector<double> scaled = rotary_frequencies(config, rope);
  for (size_t i = 0; i < divisors.size(); ++i)
    if (!(std::abs(plain[i] / scaled[i] - divisors[i]) <= 1e-4 * divisors[i])) return false;
  return true;
}

// llama.cpp keeps what each frequency is divided by, not the numbers that it was made from. The factor is the largest
// divisor; of the original length the powers of two are tried, Llama 3's own first; the ramp is that of all published
// models.
Rope llama3_rope(const weights::Gguf& gguf, const ModelConfig& config, double theta) {
  const std::vector<double> divisors = factors(gguf, kLlama3Factors, config.rotary_dim / 2);
  if (divisors.empty()) throw core::data_error(fmt::format("{}: {} has no factor in it", gguf.where(), kLlama3Factors));
  Rope rope{.theta = theta, .scaling = RopeScaling::Llama3, .low_freq_factor = 1.0, .high_freq_factor = 4.0};
  rope.factor = *std::max_element(divisors.begin(), divisors.end());
  rope.original_max_position = 8192;
  for (int64_t power = 4; rope.factor > 0 && power <= 24; ++power) {
    if (gives(rope, divisors, config)) return rope;
    rope.original_max_position = int64_t{1} << power;
  }
  throw core::data_error(
      fmt::format("{}: the factors of {} are not those of Llama 3.1's scaling", gguf.where(), kLlama3Factors),
      "use the model's Hugging Face folder instead");
}

Rope read_rope(const weights::Gguf& gguf, const Family& family, const ModelConfig& config) {
  Rope rope{.theta = optional_number(gguf, family, "rope.freq_base", 10000.0)};
  if (gguf.find(kLlama3Factors) != nullptr) return llama3_rope(gguf, config, rope.theta);
  if ((gguf.find(kShortFactors) == nullptr) != (gguf.find(kLongFactors) == nullptr))
    throw core::data_error(
        fmt::format("{}: of {} and {} only one is there", gguf.where(), kShortFactors, kLongFactors));
  if (gguf.find(kShortFactors) != nullptr) {
    rope.scaling = RopeScaling::LongRope;
    rope.short_factors = factors(gguf, kShortFactors, config.rotary_dim / 2);
    rope.long_factors = factors(gguf, kLongFactors, config.rotary_dim / 2);
    rope.attention_factor = optional_number(gguf, family, "rope.scaling.attn_factor", 1.0);
    rope.original_max_position =
        optional_int(gguf, family, "rope.scaling.original_context_length", config.max_position);
    return rope;
  }
  if (const double old_factor = optional_number(gguf, family, "rope.scale_linear", 1.0); old_factor != 1.0) {
    rope.scaling = RopeScaling::Linear;  // the key of 2023's files
    rope.factor = old_factor;
    return rope;
  }
  const std::string key = fmt::format("{}.rope.scaling.type", family.gguf_architecture);
  if (gguf.find_value(key) == nullptr || gguf.text(key) == "none") return rope;
  if (gguf.text(key) != "linear")
    throw core::data_error(fmt::format("{}: rope scaling '{}' is not known", gguf.where(), gguf.text(key)),
                           "known in a GGUF: none, linear, and factors in tensors (Llama 3.1, longrope)");
  rope.scaling = RopeScaling::Linear;
  rope.factor = optional_number(gguf, family, "rope.scaling.factor", 1.0);
  return rope;
}

}  // namespace

int64_t optional_int(const weights::Gguf& gguf, const Family& family, const char* key, int64_t fallback) {
  const std::string full = fmt::format("{}.{}", family.gguf_architecture, key);
  return gguf.find_value(full) == nullptr ? fallback : gguf.integer(full);
}

double optional_number(const weights::Gguf& gguf, const Family& family, const char* key, double fallback) {
  const std::string full = fmt::format("{}.{}", family.gguf_architecture, key);
  return gguf.find_value(full) == nullptr ? fallback : gguf.number(full);
}

void refuse_window(const weights::Gguf& gguf, const Family& family) {
  if (const int64_t window = optional_int(gguf, family, "attention.sliding_window", 0); window > 0)
    throw core::data_error(
        fmt::format("{}: {}.attention.sliding_window is {}, and a GGUF does not say for which layers", gguf.where(),
                    family.gguf_architecture, window),
        "use the model's Hugging Face folder instead");
}

bool is_rope_factor_tensor(std::string_view name) {
  return name == kLlama3Factors || name == kShortFactors || name == kLongFactors;
}

namespace {

// Keys of relatives of these architectures that change the numbers.
void refuse_what_is_not_computed(const weights::Gguf& gguf, const Family& family) {
  const std::pair<const char*, double> neutral[] = {
      {"expert_count", 0}, {"attention.scale", 0}, {"logit_scale", 1}, {"embedding_scale", 1}, {"residual_scale", 1}};
  for (const auto& [key, value] : neutral)
    if (const double found = optional_number(gguf, family, key, value); found != value && found != 0)
      throw core::data_error(fmt::format("{}: {}.{} is {}, which is not computed here", gguf.where(),
                                         family.gguf_architecture, key, found),
                             "known are dense models without scales of their own");
}

}  // namespace

ModelConfig common_config(const weights::Gguf& gguf, const Family& family) {
  refuse_what_is_not_computed(gguf, family);
  const auto size = [&](const char* key) { return gguf.integer(fmt::format("{}.{}", family.gguf_architecture, key)); };
  const auto optional_id = [&](const char* key) {
    if (gguf.find_value(key) == nullptr) return core::TokenId{-1};
    const int64_t id = gguf.integer(key);
    if (id == -1 || id == UINT32_MAX) return core::TokenId{-1};  // both mean none
    if (id < 0 || id > INT32_MAX)
      throw core::data_error(fmt::format("{}: {} is {}, which is no token", gguf.where(), key, id));
    return static_cast<core::TokenId>(id);
  };
  ModelConfig model;
  model.family = family.name;
  const weights::TensorInfo* embedding = gguf.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2)
    throw core::data_error(fmt::format("{}: there is no matrix token_embd.weight", gguf.where()),
                           "this GGUF does not hold a whole language model");
  model.vocab_size = embedding->shape[0];
  model.hidden_size = size("embedding_length");
  model.intermediate_size = size("feed_forward_length");
  model.num_layers = size("block_count");
  model.num_heads = size("attention.head_count");
  model.num_kv_heads = optional_int(gguf, family, "attention.head_count_kv", model.num_heads);
  const int64_t by_width = model.num_heads > 0 ? model.hidden_size / model.num_heads : 0;
  model.head_dim = optional_int(gguf, family, "attention.key_length", by_width);
  if (optional_int(gguf, family, "attention.value_length", model.head_dim) != model.head_dim)
    throw core::data_error(fmt::format("{}: keys and values of different lengths are not known", gguf.where()));
  model.rotary_dim = optional_int(gguf, family, "rope.dimension_count", model.head_dim);
  model.max_position = size("context_length");
  model.rms_norm_eps = gguf.number(fmt::format("{}.attention.layer_norm_rms_epsilon", family.gguf_architecture));
  model.tie_word_embeddings = gguf.find("output.weight") == nullptr;
  model.attention_scale = gguf_attention_scale(model);
  if (model.rotary_dim <= 0 || model.rotary_dim > model.head_dim)  // before factors are counted by it
    throw core::data_error(
        fmt::format("{}: {} rotary dimensions in a head of {}", gguf.where(), model.rotary_dim, model.head_dim));
  model.rope = model.local_rope = read_rope(gguf, family, model);
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
    if (const core::TokenId id = optional_id(key);
        id >= 0 &&
        std::find(model.end_of_turn_ids.begin(), model.end_of_turn_ids.end(), id) == model.end_of_turn_ids.end())
      model.end_of_turn_ids.push_back(id);
  model.bos_id = optional_id("tokenizer.ggml.bos_token_id");
  model.pad_id = optional_id("tokenizer.ggml.padding_token_id");
  validate(model, gguf.where());  // sizes are trusted from here on
  return model;
}

namespace {

void add_rope(const ModelConfig& config, const std::string& prefix, GgufForm& form) {
  const Rope& rope = config.rope;
  form.metadata.push_back({prefix + "rope.freq_base", static_cast<float>(rope.theta)});
  switch (rope.scaling) {
    case RopeScaling::None:
      break;
    case RopeScaling::Linear:
      form.metadata.push_back({prefix + "rope.scaling.type", std::string("linear")});
      form.metadata.push_back({prefix + "rope.scaling.factor", static_cast<float>(rope.factor)});
      break;
    case RopeScaling::Llama3: {
      const std::vector<double> plain = rotary_frequencies(config, {.theta = rope.theta});
      const std::vector<double> scaled = rotary_frequencies(config, rope);
      std::vector<float> divisors;
      for (size_t i = 0; i < plain.size(); ++i) divisors.push_back(static_cast<float>(plain[i] / scaled[i]));
      form.rope_factors.push_back({std::string(kLlama3Factors), divisors});
      break;
    }
    case RopeScaling::LongRope:
      form.metadata.push_back(
          {prefix + "rope.scaling.original_context_length", static_cast<uint32_t>(rope.original_max_position)});
      form.metadata.push_back({prefix + "rope.scaling.attn_factor", static_cast<float>(rope.attention_factor)});
      form.rope_factors.push_back({std::string(kLongFactors), {rope.long_factors.begin(), rope.long_factors.end()}});
      form.rope_factors.push_back({std::string(kShortFactors), {rope.short_factors.begin(), rope.short_factors.end()}});
      break;
  }
}

// llama.cpp knows windows by architecture: which layers have one is not in the file.
void add_windows(const ModelConfig& config, const Family& family, const std::string& prefix, GgufForm& form) {
  const int64_t window = *std::max_element(config.windows.begin(), config.windows.end());
  form.metadata.push_back({prefix + "attention.sliding_window", static_cast<uint32_t>(window)});
  if (family.gguf_window_pattern == 0) {
    if (std::any_of(config.windows.begin(), config.windows.end(), [&](int64_t w) { return w != window; }))
      throw core::user_error(
          fmt::format("a GGUF cannot say which layers of this {} model have an attention window", family.name),
          "write a Hugging Face folder instead");
    form.warnings.push_back(fmt::format(
        "llama.cpp knows no attention window for {}: it computes the same only for the first {} tokens of a text",
        family.name, window));
    return;
  }
  for (int64_t layer = 0; layer < config.num_layers; ++layer)
    if (window_of(config, layer) != ((layer + 1) % family.gguf_window_pattern == 0 ? 0 : window))
      throw core::user_error(
          fmt::format("a GGUF cannot say which layers of this {} model have a window: llama.cpp takes every layer but "
                      "every {}th",
                      family.name, family.gguf_window_pattern),
          "write a Hugging Face folder instead");
}

}  // namespace

GgufForm gguf_form(const ModelConfig& config, const Family& family) {
  GgufForm form;
  const std::string prefix = std::string(family.gguf_architecture) + ".";
  const auto count = [&](const char* key, int64_t value) {
    form.metadata.push_back({prefix + key, static_cast<uint32_t>(value)});
  };
  const auto number = [&](const char* key, double value) {
    form.metadata.push_back({prefix + key, static_cast<float>(value)});
  };
  count("vocab_size", config.vocab_size);
  count("context_length", config.max_position);
  count("embedding_length", config.hidden_size);
  count("block_count", config.num_layers);
  count("feed_forward_length", config.intermediate_size);
  count("attention.head_count", config.num_heads);
  count("attention.head_count_kv", config.num_kv_heads);
  count("attention.key_length", config.head_dim);
  count("attention.value_length", config.head_dim);
  count("rope.dimension_count", config.rotary_dim);
  number("attention.layer_norm_rms_epsilon", config.rms_norm_eps);
  add_rope(config, prefix, form);
  if (config.local_rope != config.rope) number("rope.freq_base_swa", config.local_rope.theta);
  if (config.attention_softcap > 0) number("attn_logit_softcapping", config.attention_softcap);
  if (config.logit_softcap > 0) number("final_logit_softcapping", config.logit_softcap);
  if (!config.windows.empty() && *std::max_element(config.windows.begin(), config.windows.end()) > 0)
    add_windows(config, family, prefix, form);
  const double assumed = gguf_attention_scale(config);
  if (std::abs(config.attention_scale - assumed) > 1e-6 * assumed)
    throw core::user_error(
        fmt::format("a GGUF cannot say that scores of this {} model are scaled by {}: llama.cpp takes {}", family.name,
                    config.attention_scale, assumed),
        "write a Hugging Face folder instead");
  return form;
}

double gguf_attention_scale(const ModelConfig& config) {
  const bool by_width = (config.family == "gemma2" && config.num_layers == 46) ||
                        (config.family == "gemma3_text" && config.num_layers == 62);
  // A file may say that there are no heads, which is found out later.
  const int64_t size = by_width && config.num_heads > 0 ? config.hidden_size / config.num_heads : config.head_dim;
  return 1.0 / std::sqrt(static_cast<double>(size));
}

}  // namespace thinktune::model
