// A random model small enough for unit tests. Header only: only tests of torch-facing rooms include it.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "thinktune/core/random.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/model/save.h"
#include "thinktune/text/byte_bpe.h"

namespace thinktune::test {

inline model::ModelConfig tiny_config() {
  model::ModelConfig c;
  c.family = "llama";
  c.vocab_size = 300;
  c.hidden_size = 32;
  c.intermediate_size = 48;
  c.num_layers = 2;
  c.num_heads = 4;
  c.num_kv_heads = 2;
  c.head_dim = 8;
  c.max_position = 4096;
  c.rotary_dim = c.head_dim;
  c.attention_scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  c.tie_word_embeddings = true;
  c.end_of_turn_ids = {2};
  c.bos_id = 1;
  c.pad_id = 2;
  return c;
}

// What families differ in, all at once as far as they go together: windows that end inside the shared beginning, the
// prompt and the response, soft caps, partial and local rope, every kind of norm.
inline std::vector<model::ModelConfig> tiny_configs_of_families() {
  model::ModelConfig gemma = tiny_config();
  gemma.family = "gemma3_text";
  gemma.num_layers = 3;
  gemma.windows = {4, 0, 23};
  gemma.attention_softcap = 0.7;
  gemma.logit_softcap = 2.0;
  gemma.norm_placement = model::NormPlacement::Both;
  gemma.norm_weight_plus_one = true;
  gemma.norm_round_before_weight = false;
  gemma.activation = model::MlpActivation::GeluTanh;
  gemma.embedding_scale = 5.5;
  gemma.attention_scale = 0.3;
  gemma.qk_norm = model::QkNorm::Head;
  gemma.local_rope.theta = 100;
  gemma.rope.scaling = model::RopeScaling::Linear;
  gemma.rope.factor = 8;
  model::ModelConfig olmo = tiny_config();
  olmo.family = "olmo2";
  olmo.norm_placement = model::NormPlacement::After;
  olmo.norm_round_before_weight = false;
  olmo.qk_norm = model::QkNorm::Projection;
  model::ModelConfig qwen = tiny_config();
  qwen.family = "qwen2";
  qwen.windows = {0, 7};
  qwen.rotary_dim = 4;
  qwen.qkv_bias = true;
  return {gemma, olmo, qwen};
}

// Normal numbers scaled by 1/sqrt(fan in), norms around 1; a function of config and seed.
inline model::Weights random_weights(const model::ModelConfig& config, uint64_t seed, at::ScalarType dtype) {
  uint64_t number = 0;
  const model::Weights shapes = model::empty_weights(config, at::kDouble);
  const model::Weights filled = model::map_weights(shapes, [&](const at::Tensor& t) {
    const core::RandomKey key = {.seed = seed, .stream = core::Stream::Init, .prompt = number++};
    at::Tensor values = at::empty(t.sizes(), at::kDouble);
    double* out = values.data_ptr<double>();
    for (int64_t i = 0; i < values.numel(); ++i) {
      const double u = core::random_uniform(key, static_cast<uint32_t>(2 * i)),
                   v = core::random_uniform(key, static_cast<uint32_t>(2 * i + 1));
      const double normal = std::sqrt(-2 * std::log(1 - u)) * std::cos(2 * M_PI * v);
      out[i] = t.dim() == 1 ? 1 + 0.1 * normal : normal / std::sqrt(static_cast<double>(t.size(1)));
    }
    return values.to(dtype);
  });
  return filled;
}

// Makes the end of a turn (token 2) likelier or rarer, in place. Dimension 0 of the residual stream is set to 4 at
// every position (no layer writes into it any more), so what the end-of-turn row has more there than the other rows is
// added to its logit, about twice.
inline void bias_end_of_turn(const model::Weights& weights, double bias) {
  weights.embedding.select(1, 0).fill_(4);
  weights.embedding[2][0].fill_(4 + bias);
  for (const model::LayerWeights& layer : weights.layers) {
    layer.output[0].fill_(0);
    layer.down[0].fill_(0);
  }
}

// Special tokens 0 "<|endoftext|>", 1 "<|im_start|>", 2 "<|im_end|>", then the 256 bytes, then unused ones: no merges.
inline model::Vocabulary byte_vocabulary(const model::ModelConfig& config) {
  text::ByteBpeSpec spec;
  spec.pre_tokenizer = "smollm";
  spec.tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  int next = 256;  // GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 on
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int code = printable ? byte : next++;
    std::string utf8;
    if (code < 0x80) {
      utf8 = static_cast<char>(code);
    } else {
      utf8 += static_cast<char>(0xC0 | (code >> 6));
      utf8 += static_cast<char>(0x80 | (code & 0x3F));
    }
    spec.tokens.push_back(utf8);
  }
  spec.is_special.assign(spec.tokens.size(), 0);
  for (size_t i = 0; i < 3; ++i) spec.is_special[i] = 1;
  while (std::ssize(spec.tokens) < config.vocab_size) {
    spec.tokens.push_back("<|unused" + std::to_string(spec.tokens.size()) + "|>");
    spec.is_special.push_back(1);
  }
  const std::string chat =
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
      "'\n'}}"
      "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
  model::Vocabulary vocabulary;
  vocabulary.tokenizer = text::make_byte_bpe(spec);
  vocabulary.chat = std::make_shared<text::ChatTemplate>(chat);
  vocabulary.files["tokenizer.json"] = vocabulary.tokenizer->to_tokenizer_json();
  vocabulary.files["tokenizer_config.json"] = nlohmann::json{
      {"tokenizer_class", "PreTrainedTokenizerFast"},
      {"eos_token", "<|im_end|>"},
      {"chat_template", chat}}.dump();
  return vocabulary;
}

// A model folder for tests of what reads one.
inline void write_tiny_model(const std::filesystem::path& folder, uint64_t seed) {
  std::filesystem::create_directories(folder);
  const model::ModelConfig config = tiny_config();
  model::save_pretrained(folder, config, random_weights(config, seed, at::kFloat), byte_vocabulary(config));
}

}  // namespace thinktune::test
