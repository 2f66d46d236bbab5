#include "text/rank_tokenizers.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "text/base64.h"
#include "text/byte_alphabet.h"
#include "text/pipeline.h"
#include "text/word_scanner.h"
#include "thinktune/core/error.h"
#include "thinktune/core/json_integer.h"
#include "thinktune/core/untrusted.h"
#include "thinktune/text/open_tokenizer.h"

namespace thinktune::text {
namespace {

using nlohmann::json;

std::string in_alphabet(std::string_view bytes) {
  std::string token;
  for (const char c : bytes) token += alphabet_character(static_cast<uint8_t>(c));
  return token;
}

// All merges of a vocabulary whose tokens' ids say which comes first (tiktoken), best first: every way to cut a token
// into two. Throws Error{Data} for a token so long that looking at all its parts would take too long.
std::vector<PipelineMerge> merges_by_rank(const TokenTable& bytes, TokenId first, TokenId last,
                                          const std::string& where) {
  constexpr size_t kMaxBytes = 2048;
  std::vector<PipelineMerge> merges;
  for (TokenId id = first; id < last; ++id) {
    const std::string_view token = bytes[id];
    if (token.size() > kMaxBytes)
      throw core::data_error(
          fmt::format("{}: the token {} has {} bytes; up to {} are known", where, id, token.size(), kMaxBytes));
    const size_t begin = merges.size();
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const TokenId left = bytes.find(token.substr(0, cut));
      if (left == TokenTable::kNone) continue;
      const TokenId right = bytes.find(token.substr(cut));
      if (right != TokenTable::kNone) merges.push_back({left, right, id, static_cast<uint32_t>(id - first)});
    }
    std::sort(merges.begin() + static_cast<std::ptrdiff_t>(begin), merges.end(),
              [](const auto& a, const auto& b) { return a.left != b.left ? a.left < b.left : a.right < b.right; });
  }
  return merges;
}

// Byte strings by rank and special tokens as a tokenizer whose words are tokens where they can be.
class RankSpec {
 public:
  RankSpec(std::string_view regex, const std::string& where) {
    spec_.where = where;
    spec_.byte_level = spec_.decoder.is_byte_level = spec_.ignore_merges = true;
    spec_.pre_tokenizer.push_back(
        {.kind = PreTokenizerStep::Kind::Split, .pattern = std::string(regex), .is_regex = true});
    spec_.pre_tokenizer.push_back({.kind = PreTokenizerStep::Kind::ByteLevel, .split = false});
  }

  void add_special(const std::string& token, bool is_special = true) {
    if (token.empty()) throw refuse(fmt::format("the special token {} is empty", spec_.tokens.size()));
    put(token);
    bytes_.add(token, false);
    spec_.added.push_back({.id = spec_.tokens.size() - 1, .content = token, .special = is_special});
  }

  void add_bytes(std::string_view bytes) {
    if (bytes.empty()) throw refuse(fmt::format("the token {} is empty", spec_.tokens.size()));
    put(in_alphabet(bytes));
    bytes_.add(bytes);
  }

  // The byte strings are tokens [first, last).
  std::unique_ptr<Tokenizer> make(TokenId first, TokenId last, std::string_view bos) {
    spec_.merges = merges_by_rank(bytes_, first, last, spec_.where);
    if (!bos.empty())
      if (const TokenId id = spec_.tokens.find(bos); id != TokenTable::kNone) spec_.prefix.push_back(id);
    return make_pipeline(std::move(spec_));
  }

  core::Error refuse(const std::string& why) const {
    return core::data_error(fmt::format("{}: {}", spec_.where, why), "fetch the file again; it may be damaged");
  }

 private:
  void put(std::string_view token) {
    if (!spec_.tokens.add(token))
      throw refuse(fmt::format("the token \"{}\" is there twice: {} and {}", token, spec_.tokens.find(token),
                               spec_.tokens.size()));
  }

  PipelineSpec spec_;
  TokenTable bytes_;
};

// Reference: llama_models/llama3/tokenizer.py.
std::vector<std::string> llama3_special_tokens() {
  std::vector<std::string> tokens = {"<|begin_of_text|>",
                                     "<|end_of_text|>",
                                     "<|reserved_special_token_0|>",
                                     "<|reserved_special_token_1|>",
                                     "<|finetune_right_pad_id|>",
                                     "<|step_id|>",
                                     "<|start_header_id|>",
                                     "<|end_header_id|>",
                                     "<|eom_id|>",
                                     "<|eot_id|>",
                                     "<|python_tag|>",
                                     "<|image|>"};
  for (int i = 2; tokens.size() < 256; ++i) tokens.push_back(fmt::format("<|reserved_special_token_{}|>", i));
  return tokens;
}

// A line "base64 rank".
std::string token_of_line(std::string_view line, int64_t expected_rank, const RankSpec& spec) {
  const size_t space = line.find(' ');
  const auto bytes = decode_base64(line.substr(0, space));
  int64_t rank = -1;
  if (space != std::string_view::npos) {
    const char* end = line.data() + line.size();
    if (std::from_chars(line.data() + space + 1, end, rank).ptr != end) rank = -1;
  }
  if (!bytes || space == std::string_view::npos)
    throw spec.refuse(fmt::format("line {} is not a token in base64, a space and a rank", expected_rank + 1));
  if (rank != expected_rank)
    throw spec.refuse(fmt::format("line {} has the rank {}, not {}: ranks go up by one", expected_rank + 1,
                                  line.substr(space + 1, 20), expected_rank));
  return *bytes;
}

int64_t whole_number(const json& object, const char* name, int64_t otherwise) {
  const json value = object.value(name, json());
  if (value.is_null()) return otherwise;
  return core::json_integer(value);
}

// What files before version 11 leave to the reader (mistral-common's list).
std::vector<std::string> old_tekken_special_tokens() {
  return {"<unk>",
          "<s>",
          "</s>",
          "[INST]",
          "[/INST]",
          "[AVAILABLE_TOOLS]",
          "[/AVAILABLE_TOOLS]",
          "[TOOL_RESULTS]",
          "[/TOOL_RESULTS]",
          "[TOOL_CALLS]",
          "[IMG]",
          "<pad>",
          "[IMG_BREAK]",
          "[IMG_END]",
          "[PREFIX]",
          "[MIDDLE]",
          "[SUFFIX]",
          "[SYSTEM_PROMPT]",
          "[/SYSTEM_PROMPT]",
          "[TOOL_CONTENT]"};
}

std::unique_ptr<Tokenizer> read_tekken(const json& root, const std::string& where) {
  const auto refuse = [&](const std::string& why) {
    return core::data_error(fmt::format("{} is not a readable tekken.json: {}", where, why));
  };
  const json& config = root.at("config");
  const json& vocabulary = root.at("vocab");
  if (!vocabulary.is_array()) throw refuse("its vocab is no list");
  const int64_t num_special = whole_number(config, "default_num_special_tokens", 1000);
  const int64_t size = whole_number(config, "default_vocab_size", num_special + std::ssize(vocabulary));
  constexpr int64_t kMaxSpecial = 1 << 16;
  if (num_special < 0 || num_special > kMaxSpecial)
    throw refuse(fmt::format("default_num_special_tokens is {}", num_special));
  const int64_t num_tokens = size - num_special;
  if (num_tokens < 1 || num_tokens > std::ssize(vocabulary))
    throw refuse(fmt::format("default_vocab_size is {}, of which {} are special, but vocab has {} tokens", size,
                             num_special, vocabulary.size()));

  std::vector<std::string> special = old_tekken_special_tokens();
  if (const json listed = root.value("special_tokens", json()); listed.is_array()) {
    special.clear();
    for (const json& token : listed) {
      if (core::json_integer(token.at("rank")) != std::ssize(special))
        throw refuse(fmt::format("the special token {} has the rank {}", special.size(), token.at("rank").dump()));
      special.push_back(token.at("token_str").get<std::string>());
    }
  }
  if (std::ssize(special) > num_special)
    throw refuse(fmt::format("it has {} special tokens, and room for {}", special.size(), num_special));
  RankSpec spec(config.at("pattern").get<std::string>(), where);
  for (int64_t i = 0; i < num_special; ++i)
    spec.add_special(i < std::ssize(special) ? special[static_cast<size_t>(i)] : fmt::format("<SPECIAL_{}>", i));
  for (int64_t rank = 0; rank < num_tokens; ++rank) {
    const json& token = vocabulary[static_cast<size_t>(rank)];
    if (core::json_integer(token.at("rank")) != rank)
      throw refuse(fmt::format("the token {} has the rank {}", rank, token.at("rank").dump()));
    const auto bytes = decode_base64(token.at("token_bytes").get<std::string>());
    if (!bytes) throw refuse(fmt::format("the token_bytes of {} are no base64", rank));
    spec.add_bytes(*bytes);
  }
  return spec.make(static_cast<TokenId>(num_special), static_cast<TokenId>(size), "<s>");
}

}  // namespace

bool looks_like_tiktoken(std::string_view content) {
  const std::string_view line = content.substr(0, content.find('\n'));
  const size_t space = line.find(' ');
  return space != std::string_view::npos && decode_base64(line.substr(0, space)).has_value();
}

std::unique_ptr<Tokenizer> make_tiktoken(std::string_view content, bool adds_bos, const std::string& where) {
  constexpr TokenId kLlama3Tokens = 128'000;
  RankSpec spec(kCl100kRegex, where);
  TokenId rank = 0;
  while (!content.empty()) {
    const size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.empty() && content.empty()) break;
    spec.add_bytes(token_of_line(line, rank, spec));
    ++rank;
  }
  // The file holds neither its pattern nor its special tokens: they must be known from elsewhere.
  if (rank != kLlama3Tokens)
    throw core::data_error(
        fmt::format("{} is a tiktoken file of {} tokens, which does not say how texts are split", where, rank),
        "known is Llama 3's, of 128000 tokens; of another model give the tokenizer.json");
  for (const std::string& token : llama3_special_tokens()) spec.add_special(token);
  return spec.make(0, rank, adds_bos ? "<|begin_of_text|>" : "");
}

std::unique_ptr<Tokenizer> tokenizer_from_tiktoken(std::string_view content, const std::string& where) {
  return make_tiktoken(content, true, where);
}

std::unique_ptr<Tokenizer> tokenizer_from_tekken(std::string_view text, const std::string& where) {
  try {
    core::check_json_depth(text, where);
    return read_tekken(json::parse(text), where);
  } catch (const json::exception& error) {
    throw core::data_error(fmt::format("{} is not a readable tekken.json: {}", where, error.what()),
                           "fetch the file again; it may have been cut off");
  }
}

}  // namespace thinktune::text
