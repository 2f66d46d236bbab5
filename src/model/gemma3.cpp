// Gemma 3, text: Gemma 2 with a norm of each head's query and key in place of the soft caps, a window in all but every
// sixth layer, and a rope of their own for the layers with a window.
#include <cmath>

#include "families.h"
#include "gguf_config.h"
#include "hf_config.h"
#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

constexpr LayerTensor kTable[] = {
    {&LayerWeights::attention_norm, Part::Norm, "input_layernorm.weight", "attn_norm.weight"},
    {&LayerWeights::qkv, Part::Query, "self_attn.q_proj.weight", "attn_q.weight"},
    {&LayerWeights::qkv, Part::Key, "self_attn.k_proj.weight", "attn_k.weight"},
    {&LayerWeights::qkv, Part::Value, "self_attn.v_proj.weight", "attn_v.weight"},
    {&LayerWeights::q_norm, Part::Norm, "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {&LayerWeights::k_norm, Part::Norm, "self_attn.k_norm.weight", "attn_k_norm.weight"},
    {&LayerWeights::output, Part::Whole, "self_attn.o_proj.weight", "attn_output.weight"},
    {&LayerWeights::attention_out_norm, Part::Norm, "post_attention_layernorm.weight", "post_attention_norm.weight"},
    {&LayerWeights::mlp_norm, Part::Norm, "pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {&LayerWeights::gate_up, Part::Gate, "mlp.gate_proj.weight", "ffn_gate.weight"},
    {&LayerWeights::gate_up, Part::Up, "mlp.up_proj.weight", "ffn_up.weight"},
    {&LayerWeights::down, Part::Whole, "mlp.down_proj.weight", "ffn_down.weight"},
    {&LayerWeights::mlp_out_norm, Part::Norm, "post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
};

constexpr int64_t kUsualPattern = 6;  // every sixth layer sees everything
constexpr double kTheta = 1e6, kLocalTheta = 1e4;

void set_family_fields(ModelConfig& model) {
  model.norm_placement = NormPlacement::Both;
  model.norm_weight_plus_one = true;
  model.norm_round_before_weight = false;
  model.qk_norm = QkNorm::Head;
  model.activation = MlpActivation::GeluTanh;
  model.embedding_scale = std::sqrt(static_cast<double>(model.hidden_size));
}

void read_ropes(const json& config, const std::string& where, ModelConfig& model) {
  const auto parameters = config.find("rope_parameters");
  if (parameters != config.end() && parameters->is_object()) {
    for (const char* type : {"full_attention", "sliding_attention"})
      if (!parameters->contains(type) || !parameters->at(type).is_object())
        throw core::data_error(fmt::format("{}: rope_parameters has no object {}", where, type));
    model.rope = read_rope(parameters->at("full_attention"), config, kTheta, where);
    model.local_rope = read_rope(parameters->at("sliding_attention"), json::object(), kLocalTheta, where);
    return;
  }
  const json scaling = config.value("rope_scaling", json());
  model.rope = read_rope(scaling.is_object() ? scaling : json::object(), config, kTheta, where);
  model.local_rope = {.theta = optional_number(config, "rope_local_base_freq", kLocalTheta, where)};
}

ModelConfig config_from_hf(const json& config, const std::string& where) {
  refuse_true(config, "attention_bias", where);
  refuse_true(config, "use_bidirectional_attention", where);
  require_activation(config, "hidden_activation", {"gelu_pytorch_tanh"}, where);
  ModelConfig model = common_config(
      config, "gemma3_text",
      {.max_position = 131072, .head_dim = 256, .tie_word_embeddings = true, .rope_by_layer_type = true}, where);
  set_family_fields(model);
  read_ropes(config, where, model);
  model.attention_scale = 1.0 / std::sqrt(optional_number(config, "query_pre_attn_scalar", 256, where));
  model.attention_softcap = cap_or_null(config, "attn_logit_softcapping", 0, where);
  model.logit_softcap = cap_or_null(config, "final_logit_softcapping", 0, where);
  const int64_t window = optional_int(config, "sliding_window", 4096, where);
  if (window <= 0) throw core::data_error(fmt::format("{}: sliding_window is {}", where, window));
  const int64_t pattern = optional_int(config, "sliding_window_pattern",
                                       optional_int(config, "_sliding_window_pattern", kUsualPattern, where), where);
  if (pattern < 1) throw core::data_error(fmt::format("{}: sliding_window_pattern is {}", where, pattern));
  const auto by_type = windows_by_type(config, model.num_layers, window, where);
  model.windows = by_type ? *by_type : windows_by_pattern(model.num_layers, window, pattern);
  validate(model, where);
  return model;
}

ModelConfig config_from_gguf(const weights::Gguf& gguf) {
  ModelConfig model = common_config(gguf, kGemma3);
  set_family_fields(model);
  if (gguf.find_value("gemma3.rope.freq_base") == nullptr) model.rope.theta = kTheta;
  model.local_rope = {.theta = optional_number(gguf, kGemma3, "rope.freq_base_swa", kLocalTheta)};
  model.logit_softcap = optional_number(gguf, kGemma3, "final_logit_softcapping", 0);
  const int64_t window = gguf.integer("gemma3.attention.sliding_window");
  if (window <= 0)
    throw core::data_error(fmt::format("{}: gemma3.attention.sliding_window is {}", gguf.where(), window));
  model.windows = windows_by_pattern(model.num_layers, window, kUsualPattern);
  validate(model, gguf.where());
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model) {
  nlohmann::ordered_json config = common_json(model, kGemma3.hf_architecture);
  config.erase("hidden_act");
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["rope_parameters"] = {{"full_attention", rope_json(model.rope)},
                               {"sliding_attention", rope_json(model.local_rope)}};
  config["rope_local_base_freq"] = model.local_rope.theta;
  config["attention_bias"] = false;
  config["query_pre_attn_scalar"] = pre_attention_scalar_json(model);
  config["attn_logit_softcapping"] = cap_json(model.attention_softcap);
  config["final_logit_softcapping"] = cap_json(model.logit_softcap);
  config["sliding_window"] = window_json(model);
  config["layer_types"] = layer_types_json(model);
  return config;
}

}  // namespace

constinit const Family kGemma3 = {.name = "gemma3_text",
                                  .hf_architecture = "Gemma3ForCausalLM",
                                  .gguf_architecture = "gemma3",
                                  .layer_tensors = kTable,
                                  .gguf_window_pattern = kUsualPattern,
                                  .config_from_hf = config_from_hf,
                                  .config_from_gguf = config_from_gguf,
                                  .config_to_hf = config_to_hf};

}  // namespace thinktune::model
