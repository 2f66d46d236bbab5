// Mistral: Llama with a sliding window in every layer (v0.1), or without one (v0.2 on, Nemo, Small). llama.cpp has no
// architecture of its own for it; a GGUF of it is read as Llama.
#include "families.h"
#include "gguf_config.h"
#include "hf_config.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

ModelConfig config_from_hf(const json& config, const std::string& where) {
  require_activation(config, "hidden_act", {"silu"}, where);
  ModelConfig model = common_config(config, "mistral", {.max_position = 4096 * 32}, where);
  // The config class has 4096 where the file says nothing; null means none.
  const int64_t silent = config.contains("sliding_window") ? 0 : 4096;
  const int64_t window = optional_int(config, "sliding_window", silent, where);
  model.windows = uniform_windows(model.num_layers, window);
  validate(model, where);
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model) {
  nlohmann::ordered_json config = common_json(model, kMistral.hf_architecture);
  config["sliding_window"] = window_json(model);
  return config;
}

}  // namespace

const Family kMistral = {.name = "mistral",
                         .hf_architecture = "MistralForCausalLM",
                         .gguf_architecture = "llama",
                         .layer_tensors = kLlamaLayerTensors,
                         .gguf_interleaves_heads = true,
                         .config_from_hf = config_from_hf,
                         .config_from_gguf = kLlama.config_from_gguf,
                         .config_to_hf = config_to_hf};

}  // namespace thinktune::model
