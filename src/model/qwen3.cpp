// Qwen 3: Llama with a norm of each head's query and key, and a head size of its own.
#include "families.h"
#include "gguf_config.h"
#include "hf_config.h"

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
    {&LayerWeights::mlp_norm, Part::Norm, "post_attention_layernorm.weight", "ffn_norm.weight"},
    {&LayerWeights::gate_up, Part::Gate, "mlp.gate_proj.weight", "ffn_gate.weight"},
    {&LayerWeights::gate_up, Part::Up, "mlp.up_proj.weight", "ffn_up.weight"},
    {&LayerWeights::down, Part::Whole, "mlp.down_proj.weight", "ffn_down.weight"},
};

ModelConfig config_from_hf(const json& config, const std::string& where) {
  refuse_true(config, "attention_bias", where);
  require_activation(config, "hidden_act", {"silu"}, where);
  ModelConfig model = common_config(config, "qwen3", {.max_position = 32768, .head_dim = 128}, where);
  model.qk_norm = QkNorm::Head;
  model.windows = qwen_windows(config, model.num_layers, where);
  validate(model, where);
  return model;
}

ModelConfig config_from_gguf(const weights::Gguf& gguf) {
  ModelConfig model = common_config(gguf, kQwen3);
  refuse_window(gguf, kQwen3);
  model.qk_norm = QkNorm::Head;
  validate(model, gguf.where());
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model) {
  nlohmann::ordered_json config = with_qwen_windows(common_json(model, kQwen3.hf_architecture), model);
  config["attention_bias"] = false;
  return config;
}

}  // namespace

constinit const Family kQwen3 = {.name = "qwen3",
                                 .hf_architecture = "Qwen3ForCausalLM",
                                 .gguf_architecture = "qwen3",
                                 .layer_tensors = kTable,
                                 .config_from_hf = config_from_hf,
                                 .config_from_gguf = config_from_gguf,
                                 .config_to_hf = config_to_hf};

}  // namespace thinktune::model
