#include "text/gguf_pre_tokenizers.h"

#include "text/word_scanner.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

constexpr std::string_view kTekkenRegex =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4oRegex =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// DeepSeek LLM's letters, as its file lists them.
constexpr std::string_view kDeepSeekLetters =
    "\\s?["
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF"
    "\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1"
    "\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5"
    "\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    "\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D"
    "\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE"
    "\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4"
    "\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128"
    "\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184"
    "\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D"
    "\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF"
    "\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F"
    "\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF"
    "\U0001E900-\U0001E943"
    "]+";
constexpr std::string_view kDeepSeekMarks = "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
constexpr std::string_view kDeepSeekHan = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
constexpr std::string_view kDeepSeek3Han = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
constexpr std::string_view kDeepSeek3Words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

const std::vector<GgufPreTokenizer>& gguf_pre_tokenizers() {
  static const std::vector<GgufPreTokenizer> all = {
      {{"gpt-2", "gpt2", "olmo", "phi-2", "mpt", "jina-es", "jina-de", "gigachat", "exaone4"}, {kGpt2Regex}},
      {{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}, {R"(\p{N})", kGpt2Regex}},
      {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
       {kCl100kRegex},
       true,
       true},
      {{"dbrx", "smaug-bpe"}, {kCl100kRegex}},
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "kormo"}, {kQwen2Regex}},
      {{"tekken"}, {kTekkenRegex}, true, true},
      {{"gpt-4o", "llama4", "kanana2"}, {kGpt4oRegex}},
      {{"deepseek-llm"}, {R"([\r\n])", kDeepSeekLetters, kDeepSeekMarks, R"(\s+$)", kDeepSeekHan, R"(\p{N}+)"}},
      {{"deepseek-coder"}, {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepSeekHan, R"(\p{N})"}},
      {{"deepseek-v3"}, {R"(\p{N}{1,3})", kDeepSeek3Han, kDeepSeek3Words}},
      // What llama.cpp does with a file that does not say what its model had.
      {{"default"}, {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Regex, R"(\p{N}+)", R"([0-9][0-9][0-9])"}},
  };
  return all;
}

const GgufPreTokenizer& gguf_pre_tokenizer(std::string_view name, const std::string& where) {
  if (name.empty()) name = "default";
  std::string known;
  for (const GgufPreTokenizer& pre : gguf_pre_tokenizers())
    for (const std::string_view known_name : pre.names) {
      if (known_name == name) return pre;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", known_name);
    }
  throw core::data_error(fmt::format("{}: the pre-tokenizer \"{}\" is not known", where, name),
                         fmt::format("known are {}", known));
}

std::vector<PreTokenizerStep> steps_of(const GgufPreTokenizer& pre) {
  std::vector<PreTokenizerStep> steps;
  const auto split = [&](std::string_view regex) {
    steps.push_back({.kind = PreTokenizerStep::Kind::Split, .pattern = std::string(regex), .is_regex = true});
  };
  const auto byte_level = [&](bool use_regex) {
    steps.push_back({.kind = PreTokenizerStep::Kind::ByteLevel, .split = use_regex});
  };
  // As the models' own files write them.
  const bool ends_as_gpt2 = pre.regexes.back() == kGpt2Regex;
  const bool begins_with_digits = ends_as_gpt2 && pre.regexes.size() == 2;
  if (begins_with_digits) {
    steps.push_back({.kind = PreTokenizerStep::Kind::Digits, .individual_digits = true});
  } else if (!ends_as_gpt2) {
    for (const std::string_view regex : pre.regexes) split(regex);
  }
  byte_level(ends_as_gpt2);
  return steps;
}

const GgufPreTokenizer* find_gguf_pre_tokenizer(const std::vector<PreTokenizerStep>& steps, bool ignore_merges) {
  // A regular expression that splits off all of a text is the same whether its matches are isolated or the rest (there
  // is none) removed; files have both.
  const auto same = [](const PreTokenizerStep& a, const PreTokenizerStep& b) {
    const auto is_each_digit = [](const PreTokenizerStep& step) {
      return step.kind == PreTokenizerStep::Kind::Digits
                 ? step.individual_digits
                 : step.kind == PreTokenizerStep::Kind::Split && step.is_regex && step.pattern == R"(\p{N})" &&
                       step.behavior == SplitBehavior::Isolated && !step.invert;
    };
    if (is_each_digit(a) && is_each_digit(b)) return true;
    if (a.kind != b.kind || a.prefix != b.prefix) return false;
    if (a.kind == PreTokenizerStep::Kind::ByteLevel) return a.split == b.split;
    if (a.kind == PreTokenizerStep::Kind::Digits) return a.individual_digits == b.individual_digits;
    const bool is_isolated = a.behavior == SplitBehavior::Isolated && !a.invert;
    const bool is_all = a.behavior == SplitBehavior::Removed && a.invert && a.pattern.ends_with(R"(|\s+(?!\S)|\s+)");
    return a.kind == PreTokenizerStep::Kind::Split && a.is_regex && a.pattern == b.pattern && (is_isolated || is_all);
  };
  for (const GgufPreTokenizer& pre : gguf_pre_tokenizers()) {
    const auto known = steps_of(pre);
    bool is_same = pre.ignore_merges == ignore_merges && known.size() == steps.size();
    for (size_t i = 0; is_same && i < known.size(); ++i) is_same = same(steps[i], known[i]);
    if (is_same) return &pre;
  }
  return nullptr;
}

}  // namespace thinktune::text
