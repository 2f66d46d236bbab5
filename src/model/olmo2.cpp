// OLMo 2: Llama with norms behind attention and MLP in place of before them, and a norm of all heads' queries and keys.
#include "families.h"
#include "gguf_config.h"
#include "hf_config.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

constexpr LayerTensor kTable[] = {
    {&LayerWeights::qkv, Part::Query, "self_attn.q_proj.weight", "attn_q.weight"},
    {&LayerWeights::qkv, Part::Key, "self_attn.k_proj.weight", "attn_k.weight"},
    {&LayerWeights::qkv, Part::Value, "self_attn.v_proj.weight", "attn_v.weight"},
    {&LayerWeights::q_norm, Part::Norm, "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {&LayerWeights::k_norm, Part::Norm, "self_attn.k_norm.weight", "attn_k_norm.weight"},
    {&LayerWeights::output, Part::Whole, "self_attn.o_proj.weight", "attn_output.weight"},
    {&LayerWeights::attention_out_norm, Part::Norm, "post_attention_layernorm.weight", "post_attention_norm.weight"},
    {&LayerWeights::gate_up, Part::Gate, "mlp.gate_proj.weight", "ffn_gate.weight"},
    {&LayerWeights::gate_up, Part::Up, "mlp.up_proj.weight", "ffn_up.weight"},
    {&LayerWeights::down, Part::Whole, "mlp.down_proj.weight", "ffn_down.weight"},
    {&LayerWeights::mlp_out_norm, Part::Norm, "post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
};

void set_family_fields(ModelConfig& model) {
  model.norm_placement = NormPlacement::After;
  model.norm_round_before_weight = false;
  model.qk_norm = QkNorm::Projection;
}

ModelConfig config_from_hf(const json& config, const std::string& where) {
  refuse_true(config, "attention_bias", where);
  require_activation(config, "hidden_act", {"silu"}, where);
  ModelConfig model = common_config(config, "olmo2", {.rms_norm_eps = 1e-5}, where);
  set_family_fields(model);
  validate(model, where);
  return model;
}

ModelConfig config_from_gguf(const weights::Gguf& gguf) {
  ModelConfig model = common_config(gguf, kOlmo2);
  set_family_fields(model);
  validate(model, gguf.where());
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model) {
  nlohmann::ordered_json config = common_json(model, kOlmo2.hf_architecture);
  config["attention_bias"] = false;
  return config;
}

}  // namespace

constinit const Family kOlmo2 = {.name = "olmo2",
                                 .hf_architecture = "Olmo2ForCausalLM",
                                 .gguf_architecture = "olmo2",
                                 .layer_tensors = kTable,
                                 .config_from_hf = config_from_hf,
                                 .config_from_gguf = config_from_gguf,
                                 .config_to_hf = config_to_hf};

}  // namespace thinktune::model
