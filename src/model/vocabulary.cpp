// Tokenizer, chat template, and the files that they came in.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "gguf_config.h"
#include "hf_config.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/text/gguf_vocabulary.h"
#include "thinktune/text/open_tokenizer.h"
#include "thinktune/weights/gguf.h"

namespace thinktune::model {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kTemplateFile = "chat_template.jinja";

// What goes back beside saved weights as it is. The weights' index and the README speak of the old weights.
constexpr const char* kCarriedFiles[] = {"config.json",
                                         "generation_config.json",
                                         "tokenizer.json",
                                         "tokenizer.model",
                                         kTokenizerConfig,
                                         "tekken.json",
                                         "special_tokens_map.json",
                                         "added_tokens.json",
                                         "vocab.json",
                                         "merges.txt",
                                         "chat_template.json",
                                         kTemplateFile,
                                         "LICENSE",
                                         "LICENSE.txt",
                                         "LICENSE.md",
                                         "NOTICE",
                                         "USE_POLICY.md"};

std::map<std::string, std::string> read_carried_files(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const char* name : kCarriedFiles)
    if (const fs::path file = core::inner_file(folder, name, core::kMaxSideFileBytes); fs::exists(file))
      files[name] = core::read_file(file, name);
  return files;
}

// "bos_token": "<s>" or {"content": "<s>", …}.
std::string token_content(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_object() && value.contains("content") && value["content"].is_string()
             ? value["content"].get<std::string>()
             : std::string();
}

using SpecialTokens = std::map<std::string, std::string>;

SpecialTokens special_tokens_of_folder(const Vocabulary& vocabulary, const ModelConfig& config,
                                       const fs::path& folder) {
  SpecialTokens tokens;
  for (const char* file : {"special_tokens_map.json", kTokenizerConfig}) {
    const auto found = vocabulary.files.find(file);
    if (found == vocabulary.files.end()) continue;
    const json fields = parse_config(found->second, (folder / file).string());
    for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token"})
      if (fields.contains(name))
        if (const std::string content = token_content(fields[name]); !content.empty()) tokens[name] = content;
  }
  // A folder without these files: what the config's ids stand for.
  const bool silent = !vocabulary.files.contains(kTokenizerConfig);
  if (silent && config.bos_id >= 0 && config.bos_id < vocabulary.tokenizer->vocab_size())
    tokens.try_emplace("bos_token", vocabulary.tokenizer->token_text(config.bos_id));
  if (silent && !config.end_of_turn_ids.empty() && config.end_of_turn_ids[0] < vocabulary.tokenizer->vocab_size())
    tokens.try_emplace("eos_token", vocabulary.tokenizer->token_text(config.end_of_turn_ids[0]));
  return tokens;
}

// A text, or a list of {"name", "template"} of which "default" is the one for conversations.
std::string template_of(const json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array())
    for (const json& entry : value)
      if (entry.is_object() && entry.value("name", json()) == "default" && entry.contains("template") &&
          entry["template"].is_string())
        return entry["template"].get<std::string>();
  throw core::data_error(
      fmt::format("{}: chat_template is neither a text nor a list with one named \"default\"", where));
}

std::string chat_template_of_folder(const Vocabulary& vocabulary, const fs::path& folder) {
  if (const auto file = vocabulary.files.find(kTemplateFile); file != vocabulary.files.end()) return file->second;
  for (const char* name : {"chat_template.json", kTokenizerConfig}) {
    const auto file = vocabulary.files.find(name);
    if (file == vocabulary.files.end()) continue;
    const std::string where = (folder / name).string();
    const json fields = parse_config(file->second, where);
    if (fields.contains("chat_template") && !fields["chat_template"].is_null())
      return template_of(fields["chat_template"], where);
  }
  return "";
}

text::GgufVocabulary gguf_vocabulary(const weights::Gguf& gguf) {
  const auto flag = [&](const char* key) {
    const weights::GgufValue* value = gguf.find_value(key);
    return value != nullptr && std::holds_alternative<bool>(*value) ? std::optional<bool>(std::get<bool>(*value))
                                                                    : std::nullopt;
  };
  const auto id = [&](const char* key) { return gguf.find_value(key) != nullptr ? gguf.integer(key) : int64_t{-1}; };
  text::GgufVocabulary v;
  v.model = gguf.text("tokenizer.ggml.model");
  if (gguf.find_value("tokenizer.ggml.pre") != nullptr) v.pre = gguf.text("tokenizer.ggml.pre");
  v.tokens = gguf.texts("tokenizer.ggml.tokens");
  if (gguf.find_value("tokenizer.ggml.scores") != nullptr) v.scores = gguf.numbers("tokenizer.ggml.scores");
  if (gguf.find_value("tokenizer.ggml.token_type") != nullptr) v.types = gguf.integers("tokenizer.ggml.token_type");
  if (gguf.find_value("tokenizer.ggml.merges") != nullptr) v.merges = gguf.texts("tokenizer.ggml.merges");
  v.add_space_prefix = flag("tokenizer.ggml.add_space_prefix");
  v.remove_extra_whitespaces = flag("tokenizer.ggml.remove_extra_whitespaces");
  v.add_bos = flag("tokenizer.ggml.add_bos_token");
  v.add_eos = flag("tokenizer.ggml.add_eos_token");
  v.bos_id = id("tokenizer.ggml.bos_token_id");
  v.eos_id = id("tokenizer.ggml.eos_token_id");
  v.unk_id = id("tokenizer.ggml.unknown_token_id");
  v.pad_id = id("tokenizer.ggml.padding_token_id");
  if (gguf.find_value("tokenizer.ggml.precompiled_charsmap") != nullptr)
    for (const int64_t byte : gguf.integers("tokenizer.ggml.precompiled_charsmap"))
      v.precompiled_charsmap += static_cast<char>(byte);
  return v;
}

// What transformers needs to know of a tokenizer that came from a GGUF.
std::string make_tokenizer_config(const ModelConfig& config, const SpecialTokens& tokens,
                                  const std::string& chat_template) {
  nlohmann::ordered_json out = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                {"model_max_length", config.max_position},
                                {"add_prefix_space", false},
                                {"clean_up_tokenization_spaces", false}};
  for (const auto& [name, token] : tokens) out[name] = token;
  if (!chat_template.empty()) out["chat_template"] = chat_template;
  return out.dump(2) + "\n";
}

SpecialTokens special_tokens_of_gguf(const text::GgufVocabulary& v) {
  SpecialTokens tokens;
  const std::pair<const char*, int64_t> ids[] = {
      {"bos_token", v.bos_id}, {"eos_token", v.eos_id}, {"unk_token", v.unk_id}, {"pad_token", v.pad_id}};
  for (const auto& [name, id] : ids)
    if (id >= 0 && id < std::ssize(v.tokens)) tokens[name] = v.tokens[static_cast<size_t>(id)];
  return tokens;
}

}  // namespace

Vocabulary Pretrained::load_vocabulary(const VocabularyRequest& request) const {
  Vocabulary vocabulary;
  SpecialTokens tokens;
  std::string source;
  if (is_gguf_) {
    const auto& gguf = static_cast<const weights::Gguf&>(*source_);
    if (!request.needs_tokenizer && gguf.find_value("tokenizer.ggml.model") == nullptr) return vocabulary;
    const text::GgufVocabulary ggufs = gguf_vocabulary(gguf);
    tokens = special_tokens_of_gguf(ggufs);
    vocabulary.tokenizer = text::tokenizer_from_gguf(ggufs, path_.string());
    if (gguf.find_value("tokenizer.chat_template") != nullptr) source = gguf.text("tokenizer.chat_template");
  } else {
    vocabulary.files = read_carried_files(path_);
    const bool has_one = vocabulary.files.contains("tokenizer.json") || vocabulary.files.contains("tokenizer.model") ||
                         vocabulary.files.contains("tekken.json");
    if (!has_one && !request.needs_tokenizer) return vocabulary;
    vocabulary.tokenizer = text::open_tokenizer(path_);
    tokens = special_tokens_of_folder(vocabulary, config_, path_);
    source = chat_template_of_folder(vocabulary, path_);
  }
  bool all_fit = true;
  for (core::TokenId id = static_cast<core::TokenId>(config_.vocab_size); id < vocabulary.tokenizer->vocab_size(); ++id)
    all_fit &= vocabulary.tokenizer->is_special(id);
  if (!all_fit)
    throw core::data_error(fmt::format("{}: the tokenizer has {} tokens, the embedding only {}", path_.string(),
                                       vocabulary.tokenizer->vocab_size(), config_.vocab_size),
                           "config, weights and tokenizer must be those of one model: fetch them again together");
  if (!request.chat_template.empty())
    source = core::read_file(request.chat_template, "chat template", {.max_bytes = core::kMaxSideFileBytes});
  if (source.empty() && request.needs_chat)
    throw core::user_error(fmt::format("{}: there is no chat template", path_.string()),
                           "take the instruct version of the model, or give a template: chat_template=FILE.jinja in a "
                           "config, --chat-template FILE.jinja on the command line");
  if (!source.empty()) {
    vocabulary.chat = std::make_shared<text::ChatTemplate>(source, tokens);
    vocabulary.files[kTemplateFile] = source;
  }
  if (is_gguf_) {
    vocabulary.files["tokenizer.json"] = vocabulary.tokenizer->to_tokenizer_json();
    vocabulary.files[kTokenizerConfig] = make_tokenizer_config(config_, tokens, source);
  }
  return vocabulary;
}

void add_end_of_turn(ModelConfig& config, const Vocabulary& vocabulary) {
  std::vector<core::TokenId>& ids = config.end_of_turn_ids;
  if (vocabulary.chat != nullptr) {
    const std::string& behind = vocabulary.chat->after_assistant_turn();
    for (const core::TokenId id : vocabulary.tokenizer->encode(behind, text::Special::Parse)) {
      if (!vocabulary.tokenizer->is_special(id)) continue;
      ids.erase(std::remove(ids.begin(), ids.end(), id), ids.end());
      ids.insert(ids.begin(), id);  // first: it is what is written
      return;
    }
  }
  if (ids.empty())
    throw core::data_error("nothing says which token ends the model's turn: neither the chat template nor the configs",
                           "add eos_token_id to the model's generation_config.json");
}

}  // namespace thinktune::model
