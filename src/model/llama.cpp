// Llama 2 and 3, SmolLM2 and what shares their architecture: grouped-query attention without biases, rotary halves,
// RMSNorm before attention and before the MLP, SwiGLU.
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
    {&LayerWeights::output, Part::Whole, "self_attn.o_proj.weight", "attn_output.weight"},
    {&LayerWeights::mlp_norm, Part::Norm, "post_attention_layernorm.weight", "ffn_norm.weight"},
    {&LayerWeights::gate_up, Part::Gate, "mlp.gate_proj.weight", "ffn_gate.weight"},
    {&LayerWeights::gate_up, Part::Up, "mlp.up_proj.weight", "ffn_up.weight"},
    {&LayerWeights::down, Part::Whole, "mlp.down_proj.weight", "ffn_down.weight"},
};

ModelConfig config_from_hf(const json& config, const std::string& where) {
  refuse_true(config, "attention_bias", where);
  refuse_true(config, "mlp_bias", where);
  require_activation(config, "hidden_act", {"silu"}, where);
  ModelConfig model = common_config(config, "llama", {}, where);
  validate(model, where);
  return model;
}

ModelConfig config_from_gguf(const weights::Gguf& gguf) {
  ModelConfig model = common_config(gguf, kLlama);
  if (const int64_t window = optional_int(gguf, kLlama, "attention.sliding_window", 0); window > 0) {
    model.family = kMistral.name;  // which has no architecture of its own there
    model.windows = uniform_windows(model.num_layers, window);
  }
  validate(model, gguf.where());
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model) {
  nlohmann::ordered_json config = common_json(model, kLlama.hf_architecture);
  config["attention_bias"] = false;
  config["mlp_bias"] = false;
  return config;
}

}  // namespace

constinit const std::span<const LayerTensor> kLlamaLayerTensors = kTable;

constinit const Family kLlama = {.name = "llama",
                                 .hf_architecture = "LlamaForCausalLM",
                                 .gguf_architecture = "llama",
                                 .layer_tensors = kTable,
                                 .gguf_interleaves_heads = true,
                                 .config_from_hf = config_from_hf,
                                 .config_from_gguf = config_from_gguf,
                                 .config_to_hf = config_to_hf};

}  // namespace thinktune::model
