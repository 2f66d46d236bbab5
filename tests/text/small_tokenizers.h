// One small tokenizer of each kind, for tests and fuzzing without files.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "small_vocabulary.h"
#include "thinktune/text/open_tokenizer.h"

namespace thinktune::test {

// A tokenizer.json with sentencepiece's alphabet: byte fallback, "▁" for spaces, control and user-defined tokens.
inline nlohmann::json small_mark_json(const std::string& prepend_scheme) {
  using nlohmann::json;
  json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  const auto add = [&](const std::string& token) { vocabulary[token] = vocabulary.size(); };
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte));
  for (const char* token : {"▁", "h", "e", "l", "o", "a", "é", "日", "▁▁", "he", "ll", "hell", "hello", "▁hello", "aa"})
    add(token);
  const auto special = [](int id, const char* content, bool rstrip) {
    return json{{"id", id}, {"content", content}, {"special", true}, {"normalized", false}, {"rstrip", rstrip}};
  };
  json added = {special(0, "<unk>", false), special(1, "<s>", false), special(2, "</s>", true)};
  added.push_back({{"id", vocabulary["▁▁"]}, {"content", "▁▁"}, {"special", false}, {"normalized", true}});
  return {{"added_tokens", added},
          {"normalizer", {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}},
          {"pre_tokenizer",
           {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", prepend_scheme}, {"split", false}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}}}}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"byte_fallback", true},
            {"fuse_unk", true},
            {"vocab", vocabulary},
            {"merges", {"h e", "l l", "he ll", "hell o", "▁ hello", "a a"}}}}};
}

// GGUF's "llama" or "t5" pieces.
inline text::GgufVocabulary small_pieces(const std::string& model) {
  text::GgufVocabulary out;
  out.model = model;
  const auto add = [&](const std::string& token, double score, int64_t type) {
    out.tokens.push_back(token);
    out.scores.push_back(score);
    out.types.push_back(type);
  };
  add("<unk>", 0, text::kUnknownToken);
  add("<s>", 0, text::kControlToken);
  add("</s>", 0, text::kControlToken);
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), 0, text::kByteToken);
  double score = -1;
  for (const char* token : {"ll", "he", "hell", "hello", "▁hello", "▁▁", "aa", "▁", "h", "e", "l", "o", "a", "é", "日"})
    add(token, score--, text::kNormalToken);
  add("[TOOL]", 0, text::kUserDefinedToken);
  add("   ", 0, text::kUserDefinedToken);
  out.unk_id = 0;
  out.bos_id = 1;
  out.eos_id = 2;
  return out;
}

// Mistral's format: all bytes, then a few longer tokens.
inline nlohmann::json small_tekken_json() {
  using nlohmann::json;
  const auto base64 = [](const std::string& bytes) {
    const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (size_t i = 0; i < bytes.size(); i += 3) {
      unsigned bits = 0;
      for (size_t j = i; j < i + 3; ++j)
        bits = bits << 8 | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0);
      for (size_t j = 0; j < 4; ++j) out += i + j > bytes.size() ? '=' : digits[bits >> (18 - 6 * j) & 63];
    }
    return out;
  };
  json vocabulary = json::array();
  const auto add = [&](const std::string& bytes) {
    vocabulary.push_back({{"rank", vocabulary.size()}, {"token_bytes", base64(bytes)}});
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (const char* token : {"he", "ll", "aa", "hell", "hello", " hello", "é", "aaa"}) add(token);
  return {{"config",
           {{"pattern", R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
            {"default_num_special_tokens", 5},
            {"default_vocab_size", 5 + vocabulary.size()}}},
          {"vocab", vocabulary},
          {"special_tokens",
           {{{"rank", 0}, {"token_str", "<unk>"}},
            {{"rank", 1}, {"token_str", "<s>"}},
            {{"rank", 2}, {"token_str", "</s>"}}}}};
}

struct NamedTokenizer {
  std::string name;
  std::unique_ptr<text::Tokenizer> tokenizer;
  bool keeps_bytes;  // decode(encode(s)) is s for any bytes
};

inline std::vector<NamedTokenizer> small_tokenizers() {
  std::vector<NamedTokenizer> all;
  for (const char* pre : {"smollm", "gpt-2", "llama-bpe", "qwen2", "tekken", "gpt-4o", "deepseek-llm", "deepseek-coder",
                          "deepseek-v3", "default"}) {
    auto spec = small_vocabulary(pre);
    for (unsigned byte : {0x04u, 0xFEu}) {
      spec.tokens.push_back(alphabet(byte));
      spec.is_special.push_back(0);
    }
    all.push_back({pre, text::make_byte_bpe(std::move(spec)), true});
  }
  all.push_back({"tekken.json", text::tokenizer_from_tekken(small_tekken_json().dump(), "tekken.json"), true});
  for (const char* scheme : {"never", "first", "always"})
    all.push_back(
        {std::string("marks ") + scheme, text::tokenizer_from_json(small_mark_json(scheme).dump(), "marks"), false});
  all.push_back({"llama", text::tokenizer_from_gguf(small_pieces("llama"), "pieces"), false});
  auto no_prefix = small_pieces("llama");
  no_prefix.add_space_prefix = false;
  all.push_back({"llama without prefix", text::tokenizer_from_gguf(no_prefix, "pieces"), false});
  all.push_back({"t5", text::tokenizer_from_gguf(small_pieces("t5"), "pieces"), false});
  auto squeezed = small_pieces("t5");
  squeezed.remove_extra_whitespaces = true;
  all.push_back({"t5 without extra spaces", text::tokenizer_from_gguf(squeezed, "pieces"), false});
  return all;
}

}  // namespace thinktune::test
