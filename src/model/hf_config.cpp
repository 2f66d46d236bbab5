#include "hf_config.h"

#include <algorithm>
#include <cmath>

#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

[[noreturn]] void wrong_type(const char* field, const char* expected, const json& value, const std::string& where) {
  throw core::data_error(
      fmt::format("{}: {} should be {}, but is {}", where, field, expected, value.dump().substr(0, 60)));
}

const json* present(const json& config, const char* field) {
  const auto found = config.find(field);
  return found == config.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

json parse_config(const std::string& text, const std::string& where) {
  constexpr int kDeepest = 32;
  json config;
  try {
    config = json::parse(text, [&](int depth, json::parse_event_t, json&) {
      if (depth > kDeepest) throw core::data_error(fmt::format("{}: JSON nested more than {} deep", where, kDeepest));
      return true;
    });
  } catch (const json::parse_error& e) {
    throw core::data_error(fmt::format("{}: not valid JSON at byte {}", where, e.byte), "fetch the file again");
  } catch (const json::out_of_range&) {
    throw core::data_error(fmt::format("{}: not valid JSON: a number is too large", where), "fetch the file again");
  }
  if (!config.is_object()) throw core::data_error(fmt::format("{}: a JSON object is expected", where));
  return config;
}

int64_t required_int(const json& config, const char* field, const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) throw core::data_error(fmt::format("{}: {} is missing", where, field));
  if (!value->is_number_integer()) wrong_type(field, "an integer", *value, where);
  return value->get<int64_t>();
}

int64_t optional_int(const json& config, const char* field, int64_t fallback, const std::string& where) {
  return present(config, field) == nullptr ? fallback : required_int(config, field, where);
}

double optional_number(const json& config, const char* field, double fallback, const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) return fallback;
  if (!value->is_number()) wrong_type(field, "a number", *value, where);
  return value->get<double>();
}

bool optional_bool(const json& config, const char* field, bool fallback, const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong_type(field, "true or false", *value, where);
  return value->get<bool>();
}

std::string optional_text(const json& config, const char* field, const std::string& fallback,
                          const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) return fallback;
  if (!value->is_string()) wrong_type(field, "a text", *value, where);
  return value->get<std::string>();
}

std::vector<core::TokenId> token_ids(const json& config, const char* field, const std::string& where) {
  const json* value = present(config, field);
  std::vector<core::TokenId> ids;
  if (value == nullptr) return ids;
  const json list = value->is_array() ? *value : json::array({*value});
  for (const json& id : list) {
    if (id == -1) continue;  // how old configs say that there is none
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX)
      wrong_type(field, "a token id or a list of them", *value, where);
    ids.push_back(id.get<core::TokenId>());
  }
  return ids;
}

namespace {

std::vector<double> number_list(const json& config, const char* field, const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) throw core::data_error(fmt::format("{}: {} is missing", where, field));
  std::vector<double> numbers;
  if (!value->is_array()) wrong_type(field, "a list of numbers", *value, where);
  for (const json& number : *value) {
    if (!number.is_number()) wrong_type(field, "a list of numbers", *value, where);
    numbers.push_back(number.get<double>());
  }
  return numbers;
}

// √(1 + ln(stretch) / ln(original length)) where the config does not say (Ding et al. 2024).
void read_longrope(const json& parameters, const json& config, const std::string& where, Rope& rope) {
  rope.scaling = RopeScaling::LongRope;
  rope.short_factors = number_list(parameters, "short_factor", where);
  rope.long_factors = number_list(parameters, "long_factor", where);
  const char* kOriginal = "original_max_position_embeddings";
  rope.original_max_position = optional_int(parameters, kOriginal, optional_int(config, kOriginal, 0, where), where);
  if (rope.original_max_position <= 1) throw core::data_error(fmt::format("{}: longrope needs {}", where, kOriginal));
  const auto original = static_cast<double>(rope.original_max_position);
  const auto longest =
      static_cast<double>(optional_int(config, "max_position_embeddings", rope.original_max_position, where));
  const double stretch = optional_number(parameters, "factor", longest / original, where);
  const double usual = stretch <= 1 ? 1.0 : std::sqrt(1 + std::log(stretch) / std::log(original));
  rope.attention_factor = optional_number(parameters, "attention_factor", usual, where);
}

// {"rope_type", …} in either style; the theta may stand outside.
json rope_parameters(const json& config, const std::string& where) {
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    const json* parameters = present(config, field);
    if (parameters == nullptr) continue;
    if (!parameters->is_object()) wrong_type(field, "an object", *parameters, where);
    return *parameters;
  }
  return json::object();
}

}  // namespace

Rope read_rope(const json& parameters, const json& config, double default_theta, const std::string& where) {
  if (parameters.contains("full_attention"))
    throw core::data_error(fmt::format("{}: rope_parameters by kind of layer are known for Gemma 3 only", where));
  Rope rope;
  rope.theta =
      optional_number(parameters, "rope_theta", optional_number(config, "rope_theta", default_theta, where), where);
  const std::string type =
      optional_text(parameters, "rope_type", optional_text(parameters, "type", "default", where), where);
  if (type == "default") return rope;
  if (type == "linear") {
    rope.scaling = RopeScaling::Linear;
    rope.factor = optional_number(parameters, "factor", 1.0, where);
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::Llama3;
    rope.factor = optional_number(parameters, "factor", 8.0, where);
    rope.low_freq_factor = optional_number(parameters, "low_freq_factor", rope.low_freq_factor, where);
    rope.high_freq_factor = optional_number(parameters, "high_freq_factor", rope.high_freq_factor, where);
    rope.original_max_position = optional_int(parameters, "original_max_position_embeddings", 8192, where);
  } else if (type == "longrope" || type == "su") {
    read_longrope(parameters, config, where, rope);
  } else {
    throw core::data_error(fmt::format("{}: rope scaling '{}' is not known", where, type),
                           "known: default, linear, llama3, longrope");
  }
  return rope;
}

ModelConfig common_config(const json& config, std::string_view family, const HfDefaults& defaults,
                          const std::string& where) {
  ModelConfig model;
  model.family = family;
  model.vocab_size = required_int(config, "vocab_size", where);
  model.hidden_size = required_int(config, "hidden_size", where);
  model.intermediate_size = required_int(config, "intermediate_size", where);
  model.num_layers = required_int(config, "num_hidden_layers", where);
  model.num_heads = required_int(config, "num_attention_heads", where);
  model.num_kv_heads = optional_int(config, "num_key_value_heads", model.num_heads, where);
  const int64_t by_width = model.num_heads > 0 ? model.hidden_size / model.num_heads : 0;
  model.head_dim = optional_int(config, "head_dim", defaults.head_dim > 0 ? defaults.head_dim : by_width, where);
  model.max_position = optional_int(config, "max_position_embeddings", defaults.max_position, where);
  model.rms_norm_eps = optional_number(config, "rms_norm_eps", defaults.rms_norm_eps, where);
  model.tie_word_embeddings = optional_bool(config, "tie_word_embeddings", defaults.tie_word_embeddings, where);
  model.attention_scale = 1.0 / std::sqrt(static_cast<double>(model.head_dim));
  const json parameters = rope_parameters(config, where);
  const double rotary_share = optional_number(parameters, "partial_rotary_factor",
                                              optional_number(config, "partial_rotary_factor", 1.0, where), where);
  if (!(rotary_share > 0 && rotary_share <= 1))
    throw core::data_error(fmt::format("{}: partial_rotary_factor is {}", where, rotary_share));
  if (model.head_dim > 0 && model.head_dim <= INT32_MAX)  // else refused below
    model.rotary_dim = static_cast<int64_t>(static_cast<double>(model.head_dim) * rotary_share);
  if (!defaults.rope_by_layer_type)
    model.rope = model.local_rope = read_rope(parameters, config, defaults.rope_theta, where);
  model.end_of_turn_ids = token_ids(config, "eos_token_id", where);
  if (const auto bos = token_ids(config, "bos_token_id", where); !bos.empty()) model.bos_id = bos[0];
  if (const auto pad = token_ids(config, "pad_token_id", where); !pad.empty()) model.pad_id = pad[0];
  validate(model, where);  // sizes are trusted from here on
  return model;
}

void refuse_true(const json& config, const char* field, const std::string& where) {
  if (optional_bool(config, field, false, where))
    throw core::data_error(fmt::format("{}: {} is true, which the family here does not have", where, field));
}

void require_activation(const json& config, const char* field, std::initializer_list<const char*> known,
                        const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) return;
  for (const char* name : known)
    if (*value == name) return;
  throw core::data_error(fmt::format("{}: {} is {}, known is '{}'", where, field, value->dump(), *known.begin()));
}

std::optional<std::vector<int64_t>> windows_by_type(const json& config, int64_t num_layers, int64_t window,
                                                    const std::string& where) {
  const json* types = present(config, "layer_types");
  if (types == nullptr) return std::nullopt;
  if (!types->is_array() || std::ssize(*types) != num_layers)
    throw core::data_error(fmt::format("{}: layer_types is not a list for {} layers", where, num_layers));
  std::vector<int64_t> windows;
  for (const json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention")
      throw core::data_error(fmt::format("{}: the layer type {} is not known", where, type.dump()),
                             "known: full_attention, sliding_attention");
    if (type == "sliding_attention" && window <= 0)
      throw core::data_error(fmt::format("{}: a layer has sliding_attention, but sliding_window is not given", where));
    windows.push_back(type == "sliding_attention" ? window : 0);
  }
  return windows;
}

std::vector<int64_t> uniform_windows(int64_t num_layers, int64_t window) {
  return std::vector<int64_t>(static_cast<size_t>(num_layers), window);
}

std::vector<int64_t> windows_by_pattern(int64_t num_layers, int64_t window, int64_t pattern) {
  std::vector<int64_t> windows;
  for (int64_t layer = 0; layer < num_layers; ++layer) windows.push_back((layer + 1) % pattern == 0 ? 0 : window);
  return windows;
}

std::vector<int64_t> qwen_windows(const json& config, int64_t num_layers, const std::string& where) {
  const bool any = optional_bool(config, "use_sliding_window", false, where);
  const int64_t window = any ? optional_int(config, "sliding_window", 4096, where) : 0;
  if (const auto by_type = windows_by_type(config, num_layers, window, where)) return *by_type;
  std::vector<int64_t> windows = uniform_windows(num_layers, window);
  const int64_t first = optional_int(config, "max_window_layers", 28, where);
  for (int64_t layer = 0; layer < std::min(first, num_layers); ++layer) windows[static_cast<size_t>(layer)] = 0;
  return windows;
}

double cap_or_null(const json& config, const char* field, double silent, const std::string& where) {
  return optional_number(config, field, config.contains(field) ? 0.0 : silent, where);
}

nlohmann::ordered_json rope_json(const Rope& rope) {
  nlohmann::ordered_json out = {{"rope_type", "default"}, {"rope_theta", rope.theta}};
  switch (rope.scaling) {
    case RopeScaling::None:
      break;
    case RopeScaling::Linear:
      out["rope_type"] = "linear";
      out["factor"] = rope.factor;
      break;
    case RopeScaling::Llama3:
      out["rope_type"] = "llama3";
      out["factor"] = rope.factor;
      out["low_freq_factor"] = rope.low_freq_factor;
      out["high_freq_factor"] = rope.high_freq_factor;
      out["original_max_position_embeddings"] = rope.original_max_position;
      break;
    case RopeScaling::LongRope:
      out["rope_type"] = "longrope";
      out["short_factor"] = rope.short_factors;
      out["long_factor"] = rope.long_factors;
      out["original_max_position_embeddings"] = rope.original_max_position;
      out["attention_factor"] = rope.attention_factor;
      break;
  }
  return out;
}

nlohmann::ordered_json layer_types_json(const ModelConfig& config) {
  nlohmann::ordered_json types = nlohmann::ordered_json::array();
  for (int64_t layer = 0; layer < config.num_layers; ++layer)
    types.push_back(window_of(config, layer) > 0 ? "sliding_attention" : "full_attention");
  return types;
}

nlohmann::ordered_json window_json(const ModelConfig& config) {
  for (const int64_t window : config.windows)
    if (window > 0) return window;
  return nullptr;
}

nlohmann::ordered_json with_qwen_windows(nlohmann::ordered_json json, const ModelConfig& config) {
  const nlohmann::ordered_json window = window_json(config);
  json["use_sliding_window"] = !window.is_null();
  json["sliding_window"] = window;
  int64_t first = 0;
  while (first < config.num_layers && window_of(config, first) == 0) ++first;
  json["max_window_layers"] = first;
  json["layer_types"] = layer_types_json(config);
  return json;
}

nlohmann::ordered_json cap_json(double cap) { return cap > 0 ? nlohmann::ordered_json(cap) : nlohmann::ordered_json(); }

nlohmann::ordered_json pre_attention_scalar_json(const ModelConfig& config) {
  const double scalar = 1.0 / (config.attention_scale * config.attention_scale);
  const double whole = std::round(scalar);  // published ones are whole numbers
  return std::abs(scalar - whole) < 1e-6 * scalar && whole < 0x1p53
             ? nlohmann::ordered_json(static_cast<int64_t>(whole))
             : nlohmann::ordered_json(scalar);
}

nlohmann::ordered_json common_json(const ModelConfig& model, std::string_view architecture) {
  nlohmann::ordered_json rope = rope_json(model.rope);
  nlohmann::ordered_json config = {
      {"architectures", {architecture}},
      {"model_type", model.family},
      {"vocab_size", model.vocab_size},
      {"hidden_size", model.hidden_size},
      {"intermediate_size", model.intermediate_size},
      {"num_hidden_layers", model.num_layers},
      {"num_attention_heads", model.num_heads},
      {"num_key_value_heads", model.num_kv_heads},
      {"head_dim", model.head_dim},
      {"hidden_act", model.activation == MlpActivation::Silu ? "silu" : "gelu_pytorch_tanh"},
      {"max_position_embeddings", model.max_position},
      {"rms_norm_eps", model.rms_norm_eps},
      {"rope_theta", model.rope.theta},  // transformers 4 reads these two, transformers 5 the next one
      {"rope_scaling", model.rope.scaling == RopeScaling::None ? nlohmann::ordered_json() : rope},
      {"rope_parameters", rope},
      {"tie_word_embeddings", model.tie_word_embeddings},
      {"use_cache", true},
  };
  if (model.rotary_dim != model.head_dim) {
    const double share = static_cast<double>(model.rotary_dim) / static_cast<double>(model.head_dim);
    config["partial_rotary_factor"] = config["rope_parameters"]["partial_rotary_factor"] = share;
  }
  if (model.bos_id >= 0) config["bos_token_id"] = model.bos_id;
  if (model.pad_id >= 0) config["pad_token_id"] = model.pad_id;
  if (model.end_of_turn_ids.size() == 1) config["eos_token_id"] = model.end_of_turn_ids[0];
  if (model.end_of_turn_ids.size() > 1) config["eos_token_id"] = model.end_of_turn_ids;
  return config;
}

}  // namespace thinktune::model
