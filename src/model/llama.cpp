// Llama 2 and 3, SmolLM2 and what shares their architecture: grouped-query attention without biases, rotary halves,
// RMSNorm before attention and before the MLP, SwiGLU.
#include <nlohmann/json.hpp>

#include "families.h"
#include "hf_config.h"
#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

// Older configs have rope_theta and rope_scaling; transformers 5 writes rope_parameters with both inside.
void read_rope(const json& config, const std::string& where, ModelConfig& model) {
  const bool new_style = config.contains("rope_parameters") && config["rope_parameters"].is_object();
  const json scaling = new_style ? config["rope_parameters"] : config.value("rope_scaling", json());
  model.rope_theta = optional_number(new_style ? scaling : config, "rope_theta", 10000.0, where);
  if (!scaling.is_object()) return;
  const std::string type = scaling.value("rope_type", scaling.value("type", std::string("default")));
  if (type == "default") return;
  if (type != "llama3")
    throw core::data_error(fmt::format("{}: rope scaling '{}' is not known", where, type), "known: default, llama3");
  Llama3RopeScaling& s = model.rope_scaling.emplace();
  s.factor = optional_number(scaling, "factor", s.factor, where);
  s.low_freq_factor = optional_number(scaling, "low_freq_factor", s.low_freq_factor, where);
  s.high_freq_factor = optional_number(scaling, "high_freq_factor", s.high_freq_factor, where);
  s.original_max_position = optional_int(scaling, "original_max_position_embeddings", s.original_max_position, where);
}

ModelConfig config_from_hf(const json& config, const std::string& where) {
  for (const char* bias : {"attention_bias", "mlp_bias"})
    if (optional_bool(config, bias, false, where))
      throw core::data_error(fmt::format("{}: {} is true; the llama family here has no biases", where, bias));
  if (config.value("hidden_act", std::string("silu")) != "silu")
    throw core::data_error(fmt::format("{}: hidden_act is '{}', known is 'silu'", where, config["hidden_act"].dump()));

  ModelConfig model;
  model.family = "llama";
  model.vocab_size = required_int(config, "vocab_size", where);
  model.hidden_size = required_int(config, "hidden_size", where);
  model.intermediate_size = required_int(config, "intermediate_size", where);
  model.num_layers = required_int(config, "num_hidden_layers", where);
  model.num_heads = required_int(config, "num_attention_heads", where);
  model.num_kv_heads = optional_int(config, "num_key_value_heads", model.num_heads, where);
  model.head_dim =
      optional_int(config, "head_dim", model.num_heads > 0 ? model.hidden_size / model.num_heads : 0, where);
  model.max_position = optional_int(config, "max_position_embeddings", 2048, where);
  model.rms_norm_eps = optional_number(config, "rms_norm_eps", 1e-6, where);
  model.tie_word_embeddings = optional_bool(config, "tie_word_embeddings", false, where);
  read_rope(config, where, model);
  model.end_of_turn_ids = token_ids(config, "eos_token_id", where);
  if (const auto bos = token_ids(config, "bos_token_id", where); !bos.empty()) model.bos_id = bos[0];
  if (const auto pad = token_ids(config, "pad_token_id", where); !pad.empty()) model.pad_id = pad[0];
  validate(model, where);
  return model;
}

ModelConfig config_from_gguf(const weights::Gguf& gguf) {
  const auto optional_id = [&](const char* key) {
    return gguf.find_value(key) != nullptr ? static_cast<core::TokenId>(gguf.integer(key)) : core::TokenId{-1};
  };
  ModelConfig model;
  model.family = "llama";
  model.vocab_size = std::ssize(gguf.texts("tokenizer.ggml.tokens"));
  model.hidden_size = gguf.integer("llama.embedding_length");
  model.intermediate_size = gguf.integer("llama.feed_forward_length");
  model.num_layers = gguf.integer("llama.block_count");
  model.num_heads = gguf.integer("llama.attention.head_count");
  model.num_kv_heads = gguf.find_value("llama.attention.head_count_kv") ? gguf.integer("llama.attention.head_count_kv")
                                                                        : model.num_heads;
  const int64_t by_width = model.num_heads > 0 ? model.hidden_size / model.num_heads : 0;
  model.head_dim =
      gguf.find_value("llama.attention.key_length") ? gguf.integer("llama.attention.key_length") : by_width;
  model.max_position = gguf.integer("llama.context_length");
  model.rms_norm_eps = gguf.number("llama.attention.layer_norm_rms_epsilon");
  model.rope_theta = gguf.find_value("llama.rope.freq_base") ? gguf.number("llama.rope.freq_base") : 10000.0;
  if (gguf.find_value("llama.rope.scaling.type") != nullptr && gguf.text("llama.rope.scaling.type") != "none")
    throw core::data_error(
        fmt::format("{}: rope scaling '{}' in a GGUF is not known", gguf.where(), gguf.text("llama.rope.scaling.type")),
        "use the model's Hugging Face folder instead");
  model.tie_word_embeddings = gguf.find("output.weight") == nullptr;
  if (const core::TokenId eos = optional_id("tokenizer.ggml.eos_token_id"); eos >= 0)
    model.end_of_turn_ids.push_back(eos);
  model.bos_id = optional_id("tokenizer.ggml.bos_token_id");
  model.pad_id = optional_id("tokenizer.ggml.padding_token_id");
  validate(model, gguf.where());
  return model;
}

nlohmann::ordered_json config_to_hf(const ModelConfig& model, std::string_view dtype) {
  nlohmann::ordered_json rope = {{"rope_type", "default"}, {"rope_theta", model.rope_theta}};
  if (model.rope_scaling) {
    rope["rope_type"] = "llama3";
    rope["factor"] = model.rope_scaling->factor;
    rope["low_freq_factor"] = model.rope_scaling->low_freq_factor;
    rope["high_freq_factor"] = model.rope_scaling->high_freq_factor;
    rope["original_max_position_embeddings"] = model.rope_scaling->original_max_position;
  }
  nlohmann::ordered_json config = {
      {"architectures", {"LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"vocab_size", model.vocab_size},
      {"hidden_size", model.hidden_size},
      {"intermediate_size", model.intermediate_size},
      {"num_hidden_layers", model.num_layers},
      {"num_attention_heads", model.num_heads},
      {"num_key_value_heads", model.num_kv_heads},
      {"head_dim", model.head_dim},
      {"hidden_act", "silu"},
      {"max_position_embeddings", model.max_position},
      {"rms_norm_eps", model.rms_norm_eps},
      {"rope_theta", model.rope_theta},  // transformers 4 reads these two, transformers 5 the next one
      {"rope_scaling", model.rope_scaling ? rope : nlohmann::ordered_json()},
      {"rope_parameters", rope},
      {"attention_bias", false},
      {"mlp_bias", false},
      {"tie_word_embeddings", model.tie_word_embeddings},
      {"torch_dtype", dtype},
      {"dtype", dtype},
      {"use_cache", true},
  };
  if (model.bos_id >= 0) config["bos_token_id"] = model.bos_id;
  if (model.pad_id >= 0) config["pad_token_id"] = model.pad_id;
  if (model.end_of_turn_ids.size() == 1) config["eos_token_id"] = model.end_of_turn_ids[0];
  if (model.end_of_turn_ids.size() > 1) config["eos_token_id"] = model.end_of_turn_ids;
  return config;
}

std::vector<TensorName> tensor_names(const ModelConfig& c, const Weights& weights) {
  const int64_t q_rows = c.num_heads * c.head_dim, kv_rows = c.num_kv_heads * c.head_dim, F = c.intermediate_size;
  std::vector<TensorName> names = {{"model.embed_tokens.weight", "token_embd.weight", weights.embedding}};
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    const LayerWeights& w = weights.layers[static_cast<size_t>(layer)];
    const std::string hf = fmt::format("model.layers.{}.", layer), gguf = fmt::format("blk.{}.", layer);
    names.push_back({hf + "input_layernorm.weight", gguf + "attn_norm.weight", w.input_norm});
    names.push_back({hf + "self_attn.q_proj.weight", gguf + "attn_q.weight", w.qkv.narrow(0, 0, q_rows), c.num_heads});
    names.push_back(
        {hf + "self_attn.k_proj.weight", gguf + "attn_k.weight", w.qkv.narrow(0, q_rows, kv_rows), c.num_kv_heads});
    names.push_back(
        {hf + "self_attn.v_proj.weight", gguf + "attn_v.weight", w.qkv.narrow(0, q_rows + kv_rows, kv_rows)});
    names.push_back({hf + "self_attn.o_proj.weight", gguf + "attn_output.weight", w.output});
    names.push_back({hf + "post_attention_layernorm.weight", gguf + "ffn_norm.weight", w.post_norm});
    names.push_back({hf + "mlp.gate_proj.weight", gguf + "ffn_gate.weight", w.gate_up.narrow(0, 0, F)});
    names.push_back({hf + "mlp.up_proj.weight", gguf + "ffn_up.weight", w.gate_up.narrow(0, F, F)});
    names.push_back({hf + "mlp.down_proj.weight", gguf + "ffn_down.weight", w.down});
  }
  names.push_back({"model.norm.weight", "output_norm.weight", weights.final_norm});
  if (!c.tie_word_embeddings) names.push_back({"lm_head.weight", "output.weight", weights.head});
  return names;
}

}  // namespace

const Family kLlama = {.name = "llama",
                       .hf_architecture = "LlamaForCausalLM",
                       .config_from_hf = config_from_hf,
                       .config_from_gguf = config_from_gguf,
                       .config_to_hf = config_to_hf,
                       .tensor_names = tensor_names};

}  // namespace thinktune::model
