#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/pipeline.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using nlohmann::ordered_json;

ordered_json pattern(const std::string& text, bool is_regex) { return {{is_regex ? "Regex" : "String", text}}; }

// null, the step alone, or a Sequence.
ordered_json steps(std::vector<ordered_json> all, const char* list) {
  if (all.empty()) return nullptr;
  if (all.size() == 1) return std::move(all[0]);
  return {{"type", "Sequence"}, {list, std::move(all)}};
}

ordered_json normalizer(const PipelineSpec& spec) {
  using Kind = NormalizerStep::Kind;
  std::vector<ordered_json> all;
  for (const NormalizerStep& step : spec.normalizer) {
    switch (step.kind) {
      case Kind::Nfc:
        all.push_back({{"type", "NFC"}});
        break;
      case Kind::Nfd:
        all.push_back({{"type", "NFD"}});
        break;
      case Kind::Nfkc:
        all.push_back({{"type", "NFKC"}});
        break;
      case Kind::Nfkd:
        all.push_back({{"type", "NFKD"}});
        break;
      case Kind::Prepend:
        all.push_back({{"type", "Prepend"}, {"prepend", step.content}});
        break;
      case Kind::Replace:
        all.push_back(
            {{"type", "Replace"}, {"pattern", pattern(step.pattern, step.is_regex)}, {"content", step.content}});
        break;
    }
  }
  return steps(std::move(all), "normalizers");
}

const char* scheme_name(PreTokenizerStep::Prefix prefix) {
  switch (prefix) {
    case PreTokenizerStep::Prefix::Never:
      return "never";
    case PreTokenizerStep::Prefix::First:
      return "first";
    case PreTokenizerStep::Prefix::Always:
      return "always";
  }
  return "never";
}

const char* behavior_name(SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::Removed:
      return "Removed";
    case SplitBehavior::Isolated:
      return "Isolated";
    case SplitBehavior::MergedWithPrevious:
      return "MergedWithPrevious";
    case SplitBehavior::MergedWithNext:
      return "MergedWithNext";
    case SplitBehavior::Contiguous:
      return "Contiguous";
  }
  return "Isolated";
}

ordered_json byte_level(bool add_prefix_space, bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

ordered_json pre_tokenizer(const PipelineSpec& spec) {
  using Kind = PreTokenizerStep::Kind;
  std::vector<ordered_json> all;
  for (const PreTokenizerStep& step : spec.pre_tokenizer) {
    switch (step.kind) {
      case Kind::Split:
        all.push_back({{"type", "Split"},
                       {"pattern", pattern(step.pattern, step.is_regex)},
                       {"behavior", behavior_name(step.behavior)},
                       {"invert", step.invert}});
        break;
      case Kind::Digits:
        all.push_back({{"type", "Digits"}, {"individual_digits", step.individual_digits}});
        break;
      case Kind::Metaspace:
        all.push_back({{"type", "Metaspace"},
                       {"replacement", step.replacement},
                       {"prepend_scheme", scheme_name(step.prefix)},
                       {"split", step.split}});
        break;
      case Kind::ByteLevel:
        all.push_back(byte_level(step.prefix != PreTokenizerStep::Prefix::Never, step.split));
        break;
    }
  }
  return steps(std::move(all), "pretokenizers");
}

ordered_json decoder(const DecoderSpec& spec) {
  if (spec.is_byte_level) return byte_level(false, true);
  if (spec.is_metaspace)
    return {{"type", "Metaspace"},
            {"replacement", spec.replace},
            {"prepend_scheme", spec.drops_first_marks ? "always" : "never"},
            {"split", true}};
  std::vector<ordered_json> all;
  if (!spec.replace.empty())
    all.push_back({{"type", "Replace"}, {"pattern", pattern(spec.replace, false)}, {"content", spec.replace_with}});
  if (spec.byte_fallback) all.push_back({{"type", "ByteFallback"}});
  all.push_back({{"type", "Fuse"}});
  if (spec.num_stripped > 0)
    all.push_back({{"type", "Strip"}, {"content", " "}, {"start", spec.num_stripped}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(all)}};
}

ordered_json post_processor(const PipelineSpec& spec) {
  if (spec.prefix.empty() && spec.suffix.empty()) return nullptr;
  ordered_json special = ordered_json::object(), single = ordered_json::array(), pair = ordered_json::array();
  const auto put = [&](const std::vector<TokenId>& ids, int type) {
    for (const TokenId id : ids) {
      const std::string token(spec.tokens[id]);
      special[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
      const ordered_json piece = {{"SpecialToken", {{"id", token}, {"type_id", type}}}};
      if (type == 0) single.push_back(piece);
      pair.push_back(piece);
    }
  };
  const auto text = [](const char* name, int type) {
    return ordered_json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  put(spec.prefix, 0);
  single.push_back(text("A", 0));
  pair.push_back(text("A", 0));
  put(spec.suffix, 0);
  put(spec.prefix, 1);
  pair.push_back(text("B", 1));
  put(spec.suffix, 1);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(special)}};
}

ordered_json added_tokens(const PipelineSpec& spec) {
  std::vector<const AddedToken*> by_id;
  for (const AddedToken& token : spec.added) by_id.push_back(&token);
  std::stable_sort(by_id.begin(), by_id.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  ordered_json all = ordered_json::array();
  for (const AddedToken* token : by_id)
    all.push_back({{"id", token->id},
                   {"content", token->content},
                   {"single_word", token->single_word},
                   {"lstrip", token->lstrip},
                   {"rstrip", token->rstrip},
                   {"normalized", token->normalized},
                   {"special", token->special}});
  return all;
}

// Appends text as a JSON string; it is UTF-8.
void quote(std::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

// Hundreds of thousands of entries: written straight to text.
std::string vocabulary(const PipelineSpec& spec) {
  std::string out = "{";
  for (TokenId id = 0; id < spec.tokens.size(); ++id) {
    out += id == 0 ? "\n      " : ",\n      ";
    quote(spec.tokens[id], out);
    out += fmt::format(": {}", id);
  }
  return out += "\n    }";
}

std::string merges(const PipelineSpec& spec) {
  // "a b" cannot say a token that holds a space.
  const auto has_space = [&](TokenId id) { return spec.tokens[id].find(' ') != std::string_view::npos; };
  const bool as_pairs = spec.merges_as_pairs || std::any_of(spec.merges.begin(), spec.merges.end(),
                                                            [&](const auto& m) { return has_space(m.merged); });
  std::string out = "[";
  for (size_t i = 0; i < spec.merges.size(); ++i) {
    const std::string_view left = spec.tokens[spec.merges[i].left], right = spec.tokens[spec.merges[i].right];
    out += i == 0 ? "\n      " : ",\n      ";
    if (as_pairs) {
      out.push_back('[');
      quote(left, out);
      out += ", ";
      quote(right, out);
      out.push_back(']');
    } else {
      quote(std::string(left).append(" ").append(right), out);
    }
  }
  return out += "\n    ]";
}

}  // namespace

std::string to_tokenizer_json(const PipelineSpec& spec) {
  const ordered_json head = {{"version", "1.0"},
                             {"truncation", nullptr},
                             {"padding", nullptr},
                             {"added_tokens", added_tokens(spec)},
                             {"normalizer", normalizer(spec)},
                             {"pre_tokenizer", pre_tokenizer(spec)},
                             {"post_processor", post_processor(spec)},
                             {"decoder", decoder(spec.decoder)}};
  ordered_json model = {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", spec.fuse_unknown},
                        {"byte_fallback", spec.byte_fallback},
                        {"ignore_merges", spec.ignore_merges}};
  if (spec.unknown >= 0) model["unk_token"] = std::string(spec.tokens[spec.unknown]);
  std::string out = head.dump(2);
  out.resize(out.size() - 2);  // without its end, "\n}": the model follows
  out += ",\n  \"model\": {";
  for (const auto& [name, value] : model.items()) out += fmt::format("\n    \"{}\": {},", name, value.dump());
  return out + "\n    \"vocab\": " + vocabulary(spec) + ",\n    \"merges\": " + merges(spec) + "\n  }\n}\n";
}

}  // namespace thinktune::text
