// A model as users have it: a Hugging Face folder or a GGUF file, with its weights, its tokenizer and its template.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "thinktune/model/config.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/family.h"
#include "thinktune/text/chat_template.h"
#include "thinktune/text/tokenizer.h"
#include "thinktune/weights/tensor_source.h"

namespace thinktune::model {

// How the model reads and writes text.
struct Vocabulary {
  std::shared_ptr<const text::Tokenizer> tokenizer;  // null: the model has none, and none was asked for
  std::shared_ptr<const text::ChatTemplate> chat;    // null: the model has none, and none was asked for
  // Files of a Hugging Face folder that go beside saved weights, by name: tokenizer, template, configs.
  std::map<std::string, std::string> files;
};

struct VocabularyRequest {
  std::filesystem::path chat_template;  // a Jinja file to use in place of the model's own template; empty: its own
  bool needs_chat = true;               // a model without a template is an error
  bool needs_tokenizer = true;          // a folder without any tokenizer file is an error
};

// An opened model. Weights are read on demand, tensor by tensor.
class Pretrained {
 public:
  // A folder with config.json and safetensors, or a .gguf file. Throws Error{User} if nothing is there, Error{Data}:
  // an unknown architecture, a config that contradicts itself, damaged files, links that lead out of the folder.
  explicit Pretrained(const std::filesystem::path& path);

  const ModelConfig& config() const { return config_; }
  const Family& family() const { return *family_; }
  const std::filesystem::path& path() const { return path_; }
  bool is_gguf() const { return is_gguf_; }
  const weights::TensorSource& source() const { return *source_; }
  // Special ids of the config for which the embedding has no row ("pad_token_id 32000"): they are not in config().
  const std::vector<std::string>& dropped_ids() const { return dropped_ids_; }

  // f32, bf16 or f16. Converted tensor by tensor: the peak is the weights in `dtype` and little more than one tensor of
  // the file. Throws Error{Data} for a tensor that is missing, unknown, or of another shape than the config says. On
  // another device than the CPU the host holds one tensor of them at a time.
  Weights load_weights(at::ScalarType dtype, at::Device device = at::kCPU) const;

  // One tensor of tensor_names(config(), …) in Hugging Face's layout, as F32, F16 or BF16; `out` has room for it.
  // check_tensors() has passed.
  void read(const TensorName& name, weights::DType dtype, std::byte* out) const;

  // Names and shapes against the config; load_weights calls it.
  void check_tensors() const;

  // Special tokens beyond the embedding's rows are left in the tokenizer (Gemma 3 has one for images); the sampler
  // refuses a prompt that holds one. Throws Error{Data} if there is no tokenizer, ordinary tokens are beyond it or one
  // of them cannot be read, Error{User} if there is no chat template and one is needed.
  Vocabulary load_vocabulary(const VocabularyRequest& request = {}) const;

 private:
  std::filesystem::path path_;
  const Family* family_ = nullptr;
  std::unique_ptr<weights::TensorSource> source_;
  bool is_gguf_ = false;
  ModelConfig config_;
  std::vector<std::string> dropped_ids_;

  void drop_ids_without_a_row();
};

// Puts the special token that the chat template writes behind an assistant's turn first among the ids that end a turn.
// Without a template, or where it writes none, the config's ids stay. Throws Error{Data} if there is no id then.
void add_end_of_turn(ModelConfig& config, const Vocabulary& vocabulary);

}  // namespace thinktune::model
