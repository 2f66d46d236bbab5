// Qwen 2 and 2.5: Llama with biases in the query, key and value projections.
#include "families.h"
#include "gguf_config.h"
#include "hf_config.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

constexpr LayerTensor kTable[] = {
    {&LayerWeights::attention_norm, Part::Norm, "input_layernorm.weight", "attn_norm.weight"},
    {&LayerWeights::qkv, Part::Query, "self_attn.q_proj.weight", "attn_q.weight"},
    {&LayerWeights::qkv_bias, Part::Query, "self_attn.q_proj.bias", "attn_q.bias"},
    {&LayerWeights::qkv, Part::Key, "self_attn.k_proj.weight", "attn_k.weight"},
    {&LayerWeights::qkv_bias, Part::Key, "self_attn.k_proj.bias", "attn_k.bias"},
    {&LayerWeights::qkv, Part::Value, "self_attn.v_proj.weight", "attn_v.weight"},
    {&LayerWeights::qkv_bias, Part::Value, "self_attn.v_proj.bias", "attn_v.bias"},
    {&LayerWeights::output, Part::Whole, "self_attn.o_proj.weight", "attn_output.weight"},
    {&LayerWeights::mlp_norm, Part::Norm, "post_attention_layernorm.weight", "ffn_norm.weight"},
    {&LayerWeights::gate_up, Part::Gate, "mlp.gate_proj.weight", "ffn_gate.weight"},
    {&LayerWeights::gate_up, Part::Up, "mlp.up_proj.weight", "ffn_up.weight"},
    {&LayerWeights::down, Part::Whole, "mlp.down_proj.weight", "ffn_down.weight"},
};

ModelConfig config_from_hf(const json& config, const std::string& where) {
  require_activation(config, "hidden_act", {"silu"}, where);
  ModelConfig model = common_config(config, "qwen2", {.max_position = 32768}, where);
  model.qkv_bias = true;
  model.windows = qwen_windows(config, model.num_layers, where);
  validate(model, where);
  return model;
}

ModelConfig config_from_gguf(const weights::Gguf& gguf) {
  ModelConfig model = common_config(gguf, kQwen2);
  refuse_window(gguf, kQwen2);
  model.qkv_bias = true;
  validate(model, gguf.where());
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model) {
  return with_qwen_windows(common_json(model, kQwen2.hf_architecture), model);
}

}  // namespace

constinit const Family kQwen2 = {.name = "qwen2",
                                 .hf_architecture = "Qwen2ForCausalLM",
                                 .gguf_architecture = "qwen2",
                                 .layer_tensors = kTable,
                                 .config_from_hf = config_from_hf,
                                 .config_from_gguf = config_from_gguf,
                                 .config_to_hf = config_to_hf};

}  // namespace thinktune::model
