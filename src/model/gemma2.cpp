// Gemma 2: norms before and after attention and MLP that multiply by 1 + weight, embeddings times √D, GeGLU, soft caps
// on scores and logits, a window in every other layer.
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
    {&LayerWeights::output, Part::Whole, "self_attn.o_proj.weight", "attn_output.weight"},
    {&LayerWeights::attention_out_norm, Part::Norm, "post_attention_layernorm.weight", "post_attention_norm.weight"},
    {&LayerWeights::mlp_norm, Part::Norm, "pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {&LayerWeights::gate_up, Part::Gate, "mlp.gate_proj.weight", "ffn_gate.weight"},
    {&LayerWeights::gate_up, Part::Up, "mlp.up_proj.weight", "ffn_up.weight"},
    {&LayerWeights::down, Part::Whole, "mlp.down_proj.weight", "ffn_down.weight"},
    {&LayerWeights::mlp_out_norm, Part::Norm, "post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
};

constexpr int64_t kPattern = 2;  // every second layer sees everything

void set_family_fields(ModelConfig& model) {
  model.norm_placement = NormPlacement::Both;
  model.norm_weight_plus_one = true;
  model.norm_round_before_weight = false;
  model.activation = MlpActivation::GeluTanh;
  model.embedding_scale = std::sqrt(static_cast<double>(model.hidden_size));
}

ModelConfig config_from_hf(const json& config, const std::string& where) {
  refuse_true(config, "attention_bias", where);
  require_activation(config, "hidden_activation", {"gelu_pytorch_tanh"}, where);
  ModelConfig model =
      common_config(config, "gemma2", {.max_position = 8192, .head_dim = 256, .tie_word_embeddings = true}, where);
  set_family_fields(model);
  const double scalar = optional_number(config, "query_pre_attn_scalar", 256, where);
  model.attention_scale = 1.0 / std::sqrt(scalar);
  model.attention_softcap = cap_or_null(config, "attn_logit_softcapping", 50.0, where);
  model.logit_softcap = cap_or_null(config, "final_logit_softcapping", 30.0, where);
  const int64_t window = optional_int(config, "sliding_window", 4096, where);
  if (window <= 0) throw core::data_error(fmt::format("{}: sliding_window is {}", where, window));
  const auto by_type = windows_by_type(config, model.num_layers, window, where);
  model.windows = by_type ? *by_type : windows_by_pattern(model.num_layers, window, kPattern);
  validate(model, where);
  return model;
}

ModelConfig config_from_gguf(const weights::Gguf& gguf) {
  ModelConfig model = common_config(gguf, kGemma2);
  set_family_fields(model);
  model.attention_softcap = optional_number(gguf, kGemma2, "attn_logit_softcapping", 50.0);
  model.logit_softcap = optional_number(gguf, kGemma2, "final_logit_softcapping", 30.0);
  model.windows =
      windows_by_pattern(model.num_layers, optional_int(gguf, kGemma2, "attention.sliding_window", 4096), kPattern);
  validate(model, gguf.where());
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model) {
  nlohmann::ordered_json config = common_json(model, kGemma2.hf_architecture);
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["attention_bias"] = false;
  config["query_pre_attn_scalar"] = pre_attention_scalar_json(model);
  config["attn_logit_softcapping"] = cap_json(model.attention_softcap);
  config["final_logit_softcapping"] = cap_json(model.logit_softcap);
  config["sliding_window"] = window_json(model);
  config["layer_types"] = layer_types_json(model);
  return config;
}

}  // namespace

constinit const Family kGemma2 = {.name = "gemma2",
                                  .hf_architecture = "Gemma2ForCausalLM",
                                  .gguf_architecture = "gemma2",
                                  .layer_tensors = kTable,
                                  .gguf_window_pattern = kPattern,
                                  .config_from_hf = config_from_hf,
                                  .config_from_gguf = config_from_gguf,
                                  .config_to_hf = config_to_hf};

}  // namespace thinktune::model
