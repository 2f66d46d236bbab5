// A model as users have it: a Hugging Face folder or a GGUF file in, a Hugging Face folder out.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>

#include "thinktune/model/config.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/family.h"
#include "thinktune/text/chat_template.h"
#include "thinktune/text/tokenizer.h"
#include "thinktune/weights/tensor_source.h"

namespace thinktune::model {

// How the model reads and writes text.
struct Vocabulary {
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::shared_ptr<const text::ChatTemplate> chat;
  std::string tokenizer_json;  // content of the files that go beside saved weights
  std::string tokenizer_config_json;
};

// An opened model. Weights are read on demand, tensor by tensor.
class Pretrained {
 public:
  // A folder with config.json and safetensors, or a .gguf file. Throws Error{Data}: nothing there, an unknown
  // architecture, a config that contradicts itself.
  explicit Pretrained(const std::filesystem::path& path);

  const ModelConfig& config() const { return config_; }
  const std::filesystem::path& path() const { return path_; }

  // Converted to `dtype` one tensor at a time: the peak is the weights plus one tensor in f32. Throws Error{Data} for a
  // tensor that is missing, unknown, or of another shape than the config says.
  Weights load_weights(at::ScalarType dtype) const;

  // Throws Error{Data} if there is no vocabulary, it is larger than the embedding, or its chat template is not known.
  Vocabulary load_vocabulary() const;

 private:
  std::filesystem::path path_;
  const Family* family_ = nullptr;
  std::unique_ptr<weights::TensorSource> source_;
  bool is_gguf_ = false;
  ModelConfig config_;
};

// Writes config.json, generation_config.json, model.safetensors, tokenizer.json and tokenizer_config.json into an
// existing folder; transformers loads it as it is. The weights' dtype is kept (f32 or bf16). A vocabulary without a
// tokenizer is left out.
void save_pretrained(const std::filesystem::path& folder, const ModelConfig& config, const Weights& weights,
                     const Vocabulary& vocabulary);

}  // namespace thinktune::model
