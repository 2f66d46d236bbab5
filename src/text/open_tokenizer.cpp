#include "thinktune/text/open_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/pipeline.h"
#include "text/rank_tokenizers.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_json.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::text {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Puts the tokens of added_tokens_decoder into a sentencepiece model: names for ids that it has, or more of them.
void add_tokens(const json& decoder, const std::string& where, SentencepieceModel& model,
                SentencepieceOptions& options) {
  std::vector<std::pair<int64_t, json>> by_id;
  for (const auto& [name, token] : decoder.items()) {
    const bool is_number =
        !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == std::string::npos;
    if (!is_number) throw core::data_error(fmt::format("{}: added_tokens_decoder has the id \"{}\"", where, name));
    by_id.emplace_back(std::stoll(name), token);
  }
  std::sort(by_id.begin(), by_id.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [id, token] : by_id) {
    const auto content = token.at("content").get<std::string>();
    const bool is_special = token.value("special", false);
    if (id > std::ssize(model.pieces))
      throw core::data_error(
          fmt::format("{}: added_tokens_decoder has the id {}, but none {}", where, id, model.pieces.size()));
    if (id == std::ssize(model.pieces)) model.pieces.push_back({content, 0, SentencepieceModel::kUserDefined});
    auto& piece = model.pieces[static_cast<size_t>(id)];
    if (piece.text != content)
      throw core::data_error(fmt::format("{}: added_tokens_decoder calls the token {} \"{}\", the model \"{}\"", where,
                                         id, content, piece.text));
    if (is_special && piece.type != SentencepieceModel::kUnknown) piece.type = SentencepieceModel::kControl;
    const bool lstrip = token.value("lstrip", false), rstrip = token.value("rstrip", false);
    if (is_special && (lstrip || rstrip))
      options.stripping.push_back({.id = static_cast<TokenId>(id), .lstrip = lstrip, .rstrip = rstrip});
  }
}

std::unique_ptr<Tokenizer> open_model_file(const fs::path& file) {
  const std::string content = core::read_file(file, "tokenizer");
  const fs::path config_file = core::inner_file(file.parent_path(), "tokenizer_config.json", core::kMaxSideFileBytes);
  json config = json::object();
  if (fs::exists(config_file)) {
    const std::string text = core::read_file(config_file, "tokenizer config");
    core::check_json_depth(text, config_file.string());
    config = json::parse(text);
  }
  if (!config.is_object()) throw core::data_error(fmt::format("{} is no object", config_file.string()));
  const auto flag = [&](const char* name, bool otherwise) {
    const json value = config.value(name, json());
    return value.is_null() ? otherwise : value.get<bool>();
  };
  const bool adds_bos = flag("add_bos_token", true);
  if (looks_like_tiktoken(content)) return make_tiktoken(content, adds_bos, file.string());
  SentencepieceModel model = read_sentencepiece_model(content, file.string());
  SentencepieceOptions options = {.adds_bos = adds_bos, .adds_eos = flag("add_eos_token", false)};
  if (const json added = config.value("added_tokens_decoder", json()); added.is_object())
    add_tokens(added, config_file.string(), model, options);
  return make_sentencepiece(std::move(model), options, file.string());
}

std::unique_ptr<Tokenizer> open_file(const fs::path& file) {
  if (file.extension() == ".model" || file.filename().string().find(".model.") != std::string::npos) {
    try {
      return open_model_file(file);
    } catch (const json::exception& error) {
      throw core::data_error(
          fmt::format("{}: {}", (file.parent_path() / "tokenizer_config.json").string(), error.what()));
    }
  }
  const std::string content = core::read_file(file, "tokenizer");
  if (file.extension() == ".json")
    return file.filename().string().starts_with("tekken") ? tokenizer_from_tekken(content, file.string())
                                                          : tokenizer_from_json(content, file.string());
  throw core::user_error(fmt::format("{} is not a tokenizer's file by its name", file.string()),
                         "give a folder with tokenizer.json, tokenizer.model or tekken.json, or one of these files");
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, const std::string& where) {
  return make_pipeline(read_tokenizer_json(json, where));
}

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& folder_or_file) {
  if (fs::is_regular_file(folder_or_file)) return open_file(folder_or_file);
  if (!fs::is_directory(folder_or_file))
    throw core::user_error(fmt::format("there is no tokenizer at {}", folder_or_file.string()),
                           "give a model's folder, or its tokenizer.json, tokenizer.model or tekken.json");
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tekken.json"})
    if (const fs::path file = core::inner_file(folder_or_file, name, core::kMaxSideFileBytes); fs::exists(file))
      return open_file(file);
  throw core::data_error(
      fmt::format("the folder {} has no tokenizer", folder_or_file.string()),
      "looked for: tokenizer.json, tokenizer.model, tekken.json; fetch it from where the model came from");
}

}  // namespace thinktune::text
