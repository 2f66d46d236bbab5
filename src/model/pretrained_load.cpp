#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "gguf_config.h"
#include "hf_config.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/text/byte_bpe.h"
#include "thinktune/weights/gguf.h"
#include "thinktune/weights/safetensors.h"

namespace thinktune::model {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr const char* kHintForMismatch =
    "config, weights and tokenizer must be those of one model: fetch them again together";

void require_files(const fs::path& folder, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (!fs::exists(folder / name))
      throw core::data_error(fmt::format("the model folder {} has no {}", folder.string(), name),
                             "fetch the missing file from where the model came from");
}

json read_config(const fs::path& file, const char* what) {
  return parse_config(core::read_file(file, what), file.string());
}

// llama.cpp's row order within a head is (0, H/2, 1, H/2+1, …); ours, and Hugging Face's, is (0, 1, …, H-1).
at::Tensor undo_interleaving(const at::Tensor& rows, int64_t num_heads) {
  const int64_t half = rows.size(0) / num_heads / 2;
  return rows.view({num_heads, half, 2, rows.size(1)}).transpose(1, 2).reshape(rows.sizes());
}

void add_missing(std::vector<core::TokenId>& ids, const std::vector<core::TokenId>& more) {
  for (const core::TokenId id : more)
    if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

text::ByteBpeSpec spec_from_gguf(const weights::Gguf& gguf) {
  if (const std::string& kind = gguf.text("tokenizer.ggml.model"); kind != "gpt2")
    throw core::data_error(fmt::format("{}: the tokenizer '{}' is not known", gguf.where(), kind),
                           "known: gpt2 (byte-level BPE)");
  text::ByteBpeSpec spec;
  spec.tokens = gguf.texts("tokenizer.ggml.tokens");
  spec.merges = gguf.texts("tokenizer.ggml.merges");
  spec.pre_tokenizer = gguf.find_value("tokenizer.ggml.pre") != nullptr ? gguf.text("tokenizer.ggml.pre") : "gpt2";
  constexpr int64_t kControl = 3;  // ggml's token type of special tokens
  const auto& types = gguf.integers("tokenizer.ggml.token_type");
  for (const int64_t type : types) spec.is_special.push_back(type == kControl);
  return spec;
}

std::string chat_template_of_folder(const fs::path& folder, const json& tokenizer_config) {
  if (const fs::path file = folder / "chat_template.jinja"; fs::exists(file))
    return core::read_file(file, "chat template");
  if (!tokenizer_config.contains("chat_template") || !tokenizer_config["chat_template"].is_string())
    throw core::data_error(fmt::format("{}: there is no chat template", folder.string()),
                           "an instruct model has one in tokenizer_config.json or chat_template.jinja");
  return tokenizer_config["chat_template"];
}

// What transformers needs to know of a tokenizer that came from a GGUF.
std::string make_tokenizer_config(const text::Tokenizer& tokenizer, const ModelConfig& config,
                                  const std::string& chat_template) {
  nlohmann::ordered_json out = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                {"model_max_length", config.max_position},
                                {"add_prefix_space", false},
                                {"clean_up_tokenization_spaces", false}};
  if (config.bos_id >= 0) out["bos_token"] = tokenizer.token_text(config.bos_id);
  if (!config.end_of_turn_ids.empty()) out["eos_token"] = tokenizer.token_text(config.end_of_turn_ids[0]);
  if (config.pad_id >= 0) out["pad_token"] = tokenizer.token_text(config.pad_id);
  out["chat_template"] = chat_template;
  return out.dump(2) + "\n";
}

}  // namespace

Pretrained::Pretrained(const fs::path& path) : path_(path) {
  constexpr const char* kWhatIsAModel = "give a Hugging Face folder or a .gguf file";
  if (path.empty()) throw core::data_error("the path of the model is empty", kWhatIsAModel);
  if (!fs::exists(path)) throw core::data_error(fmt::format("there is no model at {}", path.string()), kWhatIsAModel);
  if (path.extension() == ".safetensors" || path.extension() == ".json")
    throw core::data_error(fmt::format("{} is one file of a model", path.string()),
                           "give the folder that it stands in");
  if (!fs::is_directory(path)) {
    auto gguf = std::make_unique<weights::Gguf>(path);
    family_ = &find_gguf_family(gguf->text("general.architecture"), path.string());
    config_ = family_->config_from_gguf(*gguf);
    source_ = std::move(gguf);
    is_gguf_ = true;
    return;
  }
  require_files(path, {"config.json"});
  const fs::path file = path / "config.json";
  const json config = read_config(file, "model config");
  if (!config.contains("model_type") || !config["model_type"].is_string())
    throw core::data_error(fmt::format("{}: model_type is missing", file.string()));
  family_ = &find_family(config["model_type"].get<std::string>(), file.string());
  config_ = family_->config_from_hf(config, file.string());
  if (const fs::path generation = path / "generation_config.json"; fs::exists(generation))
    add_missing(config_.end_of_turn_ids,
                token_ids(read_config(generation, "generation config"), "eos_token_id", generation.string()));
  source_ = weights::open_safetensors_folder(path);
}

Weights Pretrained::load_weights(at::ScalarType dtype) const {
  const Weights weights = empty_weights(config_, dtype);
  const auto names = tensor_names(config_, weights);
  std::set<std::string_view> used;
  for (const TensorName& name : names) {
    const std::string& file_name = is_gguf_ ? name.gguf : name.hf;
    const weights::TensorInfo* info = source_->find(file_name);
    if (info == nullptr)
      throw core::data_error(fmt::format("{}: the tensor {} is missing", source_->where(), file_name),
                             kHintForMismatch);
    used.insert(info->name);
    if (at::IntArrayRef(info->shape) != name.view.sizes())
      throw core::data_error(fmt::format("{}: {} has shape [{}], the config says [{}]", source_->where(), file_name,
                                         fmt::join(info->shape, ", "), fmt::join(name.view.sizes(), ", ")),
                             kHintForMismatch);
    at::Tensor values = at::empty(name.view.sizes(), at::kFloat);
    weights::to_float(*info, values.data_ptr<float>());
    if (is_gguf_ && name.gguf_interleaved_heads > 0) values = undo_interleaving(values, name.gguf_interleaved_heads);
    if (is_gguf_ && name.gguf_plus_one) values -= 1;
    name.view.copy_(values);
  }
  for (const weights::TensorInfo& info : source_->tensors()) {
    const bool ignored = info.name.ends_with("rotary_emb.inv_freq") || (is_gguf_ && is_rope_factor_tensor(info.name)) ||
                         (config_.tie_word_embeddings && info.name == "lm_head.weight");
    if (!ignored && !used.contains(info.name))
      throw core::data_error(
          fmt::format("{}: the tensor {} is not part of a {} model", source_->where(), info.name, config_.family),
          kHintForMismatch);
  }
  return weights;
}

Vocabulary Pretrained::load_vocabulary() const {
  Vocabulary vocabulary;
  std::string chat_template;
  if (is_gguf_) {
    const auto& gguf = static_cast<const weights::Gguf&>(*source_);
    vocabulary.tokenizer = text::make_byte_bpe(spec_from_gguf(gguf));
    vocabulary.tokenizer_json = vocabulary.tokenizer->to_tokenizer_json();
    chat_template = gguf.text("tokenizer.chat_template");
    vocabulary.tokenizer_config_json = make_tokenizer_config(*vocabulary.tokenizer, config_, chat_template);
  } else {
    require_files(path_, {"tokenizer.json", "tokenizer_config.json"});
    const fs::path tokenizer_file = path_ / "tokenizer.json", config_file = path_ / "tokenizer_config.json";
    vocabulary.tokenizer_json = core::read_file(tokenizer_file, "tokenizer");
    vocabulary.tokenizer =
        text::make_byte_bpe(text::byte_bpe_from_tokenizer_json(vocabulary.tokenizer_json, tokenizer_file.string()));
    vocabulary.tokenizer_config_json = core::read_file(config_file, "tokenizer config");
    chat_template =
        chat_template_of_folder(path_, parse_config(vocabulary.tokenizer_config_json, config_file.string()));
  }
  if (vocabulary.tokenizer->vocab_size() > config_.vocab_size)
    throw core::data_error(fmt::format("{}: the tokenizer has {} tokens, the embedding only {}", path_.string(),
                                       vocabulary.tokenizer->vocab_size(), config_.vocab_size),
                           kHintForMismatch);
  vocabulary.chat = std::make_shared<text::ChatTemplate>(chat_template);
  return vocabulary;
}

}  // namespace thinktune::model
