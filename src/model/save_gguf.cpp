// The keys and tensor names are llama.cpp's (its gguf-py constants are their documentation).
#include <ATen/ATen.h>

#include <cmath>

#include "gguf_config.h"
#include "thinktune/core/error.h"
#include "thinktune/model/save.h"
#include "thinktune/text/gguf_vocabulary.h"
#include "thinktune/weights/convert.h"
#include "thinktune/weights/gguf_writer.h"

namespace thinktune::model {
namespace fs = std::filesystem;
namespace {

using weights::DType;
using weights::GgufEntry;

// "general.file_type" of llama.cpp.
uint32_t file_type(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return 0;
    case DType::F16:
      return 1;
    case DType::Q8_0:
      return 7;
    case DType::BF16:
      return 32;
    default:
      throw core::user_error(fmt::format("a GGUF is written in F32, F16, BF16 or Q8_0, not {}", name_of(dtype)),
                             "give --dtype f32, f16, bf16 or q8_0");
  }
}

// What llama.cpp wants to be told of the tokenizer. The table must have as many tokens as the embedding has rows.
void add_vocabulary(const ModelConfig& config, const Vocabulary& vocabulary, std::vector<GgufEntry>& out) {
  text::GgufVocabulary v = vocabulary.tokenizer->to_gguf();
  if (v.types.empty()) v.types.assign(v.tokens.size(), text::kNormalToken);
  if (const auto rows = static_cast<size_t>(config.vocab_size); v.tokens.size() > rows) {  // special ones without a row
    v.tokens.resize(rows);
    v.types.resize(rows);
    if (!v.scores.empty()) v.scores.resize(rows);
  }
  while (std::ssize(v.tokens) < config.vocab_size) {
    v.tokens.push_back(fmt::format("[PAD{}]", v.tokens.size()));
    v.types.push_back(text::kUnusedToken);
    if (!v.scores.empty()) v.scores.push_back(-1000.0);
  }
  const auto key = [](const char* name) { return fmt::format("tokenizer.ggml.{}", name); };
  out.push_back({key("model"), v.model});
  if (!v.pre.empty()) out.push_back({key("pre"), v.pre});
  out.push_back({key("tokens"), v.tokens});
  if (!v.scores.empty()) out.push_back({key("scores"), std::vector<float>(v.scores.begin(), v.scores.end())});
  out.push_back({key("token_type"), std::vector<int32_t>(v.types.begin(), v.types.end())});
  if (v.model == "gpt2") out.push_back({key("merges"), v.merges});  // llama.cpp insists, also where there are none
  const int64_t end_of_turn = config.end_of_turn_ids.empty() ? -1 : config.end_of_turn_ids.front();
  const std::pair<const char*, int64_t> ids[] = {{"bos_token_id", v.bos_id >= 0 ? v.bos_id : config.bos_id},
                                                 {"eos_token_id", v.eos_id >= 0 ? v.eos_id : end_of_turn},
                                                 {"eot_token_id", end_of_turn},
                                                 {"unknown_token_id", v.unk_id},
                                                 {"padding_token_id", v.pad_id >= 0 ? v.pad_id : config.pad_id}};
  for (const auto& [name, id] : ids)
    if (id >= 0 && id < config.vocab_size) out.push_back({key(name), static_cast<uint32_t>(id)});
  const std::pair<const char*, std::optional<bool>> flags[] = {
      {"add_bos_token", v.add_bos},
      {"add_eos_token", v.add_eos},
      {"add_space_prefix", v.add_space_prefix},
      {"remove_extra_whitespaces", v.remove_extra_whitespaces}};
  for (const auto& [name, flag] : flags)
    if (flag) out.push_back({key(name), *flag});
  if (!v.precompiled_charsmap.empty())
    out.push_back({key("precompiled_charsmap"),
                   std::vector<uint8_t>(v.precompiled_charsmap.begin(), v.precompiled_charsmap.end())});
  if (vocabulary.chat != nullptr) out.push_back({"tokenizer.chat_template", vocabulary.chat->source()});
}

// The inverse of undo_interleaving (pretrained.cpp).
void interleave(std::vector<float>& rows, int64_t num_heads, int64_t num_rows) {
  const int64_t row_size = std::ssize(rows) / num_rows, head_rows = num_rows / num_heads;
  std::vector<float> head(static_cast<size_t>(head_rows * row_size));
  for (int64_t h = 0; h < num_heads; ++h) {
    float* first = rows.data() + h * head_rows * row_size;
    std::copy_n(first, head.size(), head.data());
    for (int64_t i = 0; i < head_rows; ++i)
      std::copy_n(head.data() + (i % 2 * (head_rows / 2) + i / 2) * row_size, row_size, first + i * row_size);
  }
}

void produce(const Pretrained& model, const TensorName& name, DType dtype, std::byte* out) {
  std::vector<float> values(static_cast<size_t>(name.view.numel()));
  model.read(name, DType::F32, reinterpret_cast<std::byte*>(values.data()));
  if (name.gguf_interleaved_heads > 0) interleave(values, name.gguf_interleaved_heads, name.view.size(0));
  if (name.gguf_plus_one)
    for (float& value : values) value += 1;
  weights::from_float(dtype, values.data(), values.size(), out);
}

DType dtype_of(const TensorName& name, DType wanted) {
  if (name.view.dim() == 1) return DType::F32;
  const auto block = static_cast<int64_t>(weights::elements_of_block(wanted));
  return name.view.size(1) % block == 0 ? wanted : DType::F16;
}

}  // namespace

std::vector<std::string> convert_to_gguf(const Pretrained& model, const Vocabulary& vocabulary, DType dtype,
                                         const fs::path& file) {
  TT_CHECK(vocabulary.tokenizer != nullptr, "a GGUF needs a tokenizer");
  ModelConfig config = model.config();
  if (vocabulary.chat != nullptr) add_end_of_turn(config, vocabulary);
  const GgufForm form = gguf_form(config, model.family());
  model.check_tensors();

  std::vector<GgufEntry> metadata = {
      {"general.architecture", std::string(model.family().gguf_architecture)},
      {"general.type", std::string("model")},
      {"general.name", model.path().stem().string()},
      {"general.file_type", file_type(dtype)},
      {"general.quantization_version", uint32_t{2}},
  };
  metadata.insert(metadata.end(), form.metadata.begin(), form.metadata.end());
  add_vocabulary(config, vocabulary, metadata);

  std::vector<weights::TensorToWrite> tensors;
  for (const GgufForm::Factors& factors : form.rope_factors)
    tensors.push_back({.name = factors.name,
                       .dtype = DType::F32,
                       .shape = {std::ssize(factors.values)},
                       .data = factors.values.data()});
  for (const TensorName& name : tensor_names(config, empty_weights(config, at::kFloat, at::kMeta))) {
    const DType own = dtype_of(name, dtype);
    tensors.push_back({.name = name.gguf,
                       .dtype = own,
                       .shape = name.view.sizes().vec(),
                       .produce = [&model, name, own](std::byte* out) { produce(model, name, own, out); }});
  }
  weights::write_gguf(file, metadata, tensors);
  return form.warnings;
}

}  // namespace thinktune::model
