// Phi 3, 3.5 and 4: Llama with fused projections in its files, a sliding window or none, and for long contexts
// longrope.
#include "families.h"
#include "gguf_config.h"
#include "hf_config.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

constexpr LayerTensor kTable[] = {
    {&LayerWeights::attention_norm, Part::Norm, "input_layernorm.weight", "attn_norm.weight"},
    {&LayerWeights::qkv, Part::Whole, "self_attn.qkv_proj.weight", "attn_qkv.weight"},
    {&LayerWeights::output, Part::Whole, "self_attn.o_proj.weight", "attn_output.weight"},
    {&LayerWeights::mlp_norm, Part::Norm, "post_attention_layernorm.weight", "ffn_norm.weight"},
    {&LayerWeights::gate_up, Part::Whole, "mlp.gate_up_proj.weight", "ffn_up.weight"},
    {&LayerWeights::down, Part::Whole, "mlp.down_proj.weight", "ffn_down.weight"},
};

ModelConfig config_from_hf(const json& config, const std::string& where) {
  refuse_true(config, "attention_bias", where);
  require_activation(config, "hidden_act", {"silu"}, where);
  ModelConfig model = common_config(config, "phi3", {.rms_norm_eps = 1e-5, .max_position = 4096}, where);
  model.windows = uniform_windows(model.num_layers, optional_int(config, "sliding_window", 0, where));
  validate(model, where);
  return model;
}

ModelConfig config_from_gguf(const weights::Gguf& gguf) {
  ModelConfig model = common_config(gguf, kPhi3);
  model.windows = uniform_windows(model.num_layers, optional_int(gguf, kPhi3, "attention.sliding_window", 0));
  validate(model, gguf.where());
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model) {
  nlohmann::ordered_json config = common_json(model, kPhi3.hf_architecture);
  config["sliding_window"] = window_json(model);
  const bool longrope = model.rope.scaling == RopeScaling::LongRope;
  config["original_max_position_embeddings"] = longrope ? model.rope.original_max_position : model.max_position;
  if (longrope)  // transformers 4 insists on these three and no other
    config["rope_scaling"] = {
        {"type", "longrope"}, {"short_factor", model.rope.short_factors}, {"long_factor", model.rope.long_factors}};
  return config;
}

}  // namespace

constinit const Family kPhi3 = {.name = "phi3",
                                .hf_architecture = "Phi3ForCausalLM",
                                .gguf_architecture = "phi3",
                                .layer_tensors = kTable,
                                .config_from_hf = config_from_hf,
                                .config_from_gguf = config_from_gguf,
                                .config_to_hf = config_to_hf};

}  // namespace thinktune::model
