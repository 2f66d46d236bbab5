// GGUF's "gpt2": byte-level BPE, there and back; and a sentencepiece-like tokenizer.json as GGUF's "llama".
#include <algorithm>
#include <unordered_map>

#include "text/gguf_pre_tokenizers.h"
#include "text/gguf_tokenizers.h"
#include "text/pipeline.h"
#include "thinktune/core/error.h"
#include "thinktune/text/open_tokenizer.h"

namespace thinktune::text {
namespace {

constexpr TokenId kNone = TokenTable::kNone;

core::Error refuse(const std::string& where, const std::string& why) {
  return core::data_error(fmt::format("{}: {}", where, why), "fetch the file again; it may be damaged");
}

void add_tokens(const GgufVocabulary& vocabulary, PipelineSpec& spec) {
  if (!vocabulary.types.empty() && vocabulary.types.size() != vocabulary.tokens.size())
    throw refuse(spec.where, fmt::format("the vocabulary has {} tokens but {} token types", vocabulary.tokens.size(),
                                         vocabulary.types.size()));
  spec.tokens.reserve(vocabulary.tokens.size());
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string& token = vocabulary.tokens[i];
    check_gguf_token(token, i, spec.where);
    if (!spec.tokens.add(token))
      throw refuse(spec.where, fmt::format("the vocabulary has the token \"{}\" twice: {} and {}", token,
                                           spec.tokens.find(token), i));
    const int64_t type = vocabulary.types.empty() ? int64_t{kNormalToken} : vocabulary.types[i];
    if (type != kControlToken && type != kUnknownToken && type != kUserDefinedToken) continue;
    spec.added.push_back({.id = static_cast<TokenId>(i), .content = token, .special = type != kUserDefinedToken});
  }
}

// An edge token by id, if the vocabulary says to add one.
void add_edge(std::optional<bool> says, bool otherwise, int64_t id, const PipelineSpec& spec,
              std::vector<TokenId>& out) {
  if (id >= spec.tokens.size())
    throw refuse(spec.where, fmt::format("the vocabulary has {} tokens, none {}", spec.tokens.size(), id));
  if (says.value_or(otherwise) && id >= 0) out.push_back(static_cast<TokenId>(id));
}

// Scores for a vocabulary whose merges are all ways to make its tokens, best token first: sentencepiece merges the pair
// whose result has the best score. Throws where the merges are not of this kind.
void add_scores(const PipelineSpec& spec, GgufVocabulary& out) {
  const auto refuse_merges = [&](const std::string& why) {
    return core::data_error(fmt::format("{} cannot be written as GGUF: {}", spec.where, why),
                            "GGUF's \"llama\" vocabularies have scores in place of merges");
  };
  constexpr uint32_t kNever = UINT32_MAX;
  struct Ranks {
    uint32_t first = kNever, last = 0;
    uint32_t count = 0;
  };
  std::vector<Ranks> ranks(static_cast<size_t>(spec.tokens.size()));
  for (const PipelineMerge& merge : spec.merges) {
    Ranks& r = ranks[static_cast<size_t>(merge.merged)];
    r = {std::min(r.first, merge.rank), std::max(r.last, merge.rank), r.count + 1};
  }
  std::vector<TokenId> made;
  for (TokenId id = 0; id < spec.tokens.size(); ++id)
    if (ranks[static_cast<size_t>(id)].count > 0) made.push_back(id);
  std::sort(made.begin(), made.end(), [&](TokenId a, TokenId b) {
    return ranks[static_cast<size_t>(a)].first < ranks[static_cast<size_t>(b)].first;
  });
  for (size_t i = 1; i < made.size(); ++i)
    if (ranks[static_cast<size_t>(made[i])].first < ranks[static_cast<size_t>(made[i - 1])].last)
      throw refuse_merges(fmt::format("the merges that make \"{}\" and \"{}\" are mixed", spec.tokens[made[i - 1]],
                                      spec.tokens[made[i]]));
  out.scores.assign(ranks.size(), -1e6);
  for (size_t i = 0; i < made.size(); ++i) out.scores[static_cast<size_t>(made[i])] = -static_cast<double>(i);
  // A token that could be made of two others but has no merge would be made after all.
  for (TokenId id = 0; id < spec.tokens.size(); ++id) {
    if (out.types[static_cast<size_t>(id)] != kNormalToken) continue;
    const std::string_view token = spec.tokens[id];
    uint32_t num_ways = 0;
    for (size_t cut = 1; cut < std::min<size_t>(token.size(), 256); ++cut) {
      const TokenId left = spec.tokens.find(token.substr(0, cut)), right = spec.tokens.find(token.substr(cut));
      const auto is_normal = [&](TokenId part) {
        return part != kNone && out.types[static_cast<size_t>(part)] == kNormalToken;
      };
      if (is_normal(left) && is_normal(right)) ++num_ways;
    }
    if (num_ways > ranks[static_cast<size_t>(id)].count)
      throw refuse_merges(fmt::format("\"{}\" can be made in {} ways and has {} merges", token, num_ways,
                                      ranks[static_cast<size_t>(id)].count));
  }
}

void add_types(const PipelineSpec& spec, GgufVocabulary& out) {
  out.types.assign(static_cast<size_t>(spec.tokens.size()), kNormalToken);
  for (const AddedToken& token : spec.added)
    out.types[static_cast<size_t>(token.id)] = token.special ? kControlToken : kUserDefinedToken;
  if (spec.unknown != kNone) out.types[static_cast<size_t>(spec.unknown)] = kUnknownToken;
  if (!spec.byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte)
    if (const TokenId id = spec.tokens.find(fmt::format("<0x{:02X}>", byte)); id != kNone)
      out.types[static_cast<size_t>(id)] = kByteToken;
}

// Why GGUF's "llama" cannot say what `spec` does; empty if it can.
std::string why_not_llama(const PipelineSpec& spec) {
  using Kind = NormalizerStep::Kind;
  if (!spec.byte_fallback) return "it is neither byte-level nor with byte fallback";
  if (spec.ignore_merges) return "it ignores merges";
  for (const NormalizerStep& step : spec.normalizer) {
    const bool is_spaces =
        step.kind == Kind::Replace && !step.is_regex && step.pattern == " " && step.content == kSpaceMark;
    if (!is_spaces && !(step.kind == Kind::Prepend && step.content == kSpaceMark)) return "its normaliser";
  }
  for (const PreTokenizerStep& step : spec.pre_tokenizer) {
    const bool is_marks = step.kind == PreTokenizerStep::Kind::Metaspace && step.replacement == kSpaceMark;
    const bool is_idle = step.kind == PreTokenizerStep::Kind::Split && !step.is_regex && step.pattern == " " &&
                         !spec.normalizer.empty();  // the spaces are gone by then
    if (!is_marks && !is_idle) return "its pre-tokenizer";
  }
  return "";
}

GgufVocabulary to_llama(const PipelineSpec& spec) {
  if (const std::string why = why_not_llama(spec); !why.empty())
    throw core::data_error(fmt::format("{} cannot be written as GGUF: {}", spec.where, why),
                           "GGUF knows byte-level BPE, and sentencepiece's BPE with byte fallback");
  GgufVocabulary out;
  out.model = "llama";
  out.pre = "default";
  add_types(spec, out);
  add_scores(spec, out);
  out.add_space_prefix = false;
  for (const NormalizerStep& step : spec.normalizer)
    if (step.kind == NormalizerStep::Kind::Prepend) out.add_space_prefix = true;
  for (const PreTokenizerStep& step : spec.pre_tokenizer)
    if (step.prefix != PreTokenizerStep::Prefix::Never) out.add_space_prefix = true;
  for (TokenId id = 0; id < spec.tokens.size(); ++id) {
    out.tokens.emplace_back(spec.tokens[id]);
    if (out.types[static_cast<size_t>(id)] == kUserDefinedToken) out.tokens.back() = with_spaces(out.tokens.back());
  }
  return out;
}

}  // namespace

GgufVocabulary to_gguf_vocabulary(const PipelineSpec& spec) {
  if (spec.prefix.size() > 1 || spec.suffix.size() > 1)
    throw core::data_error(
        fmt::format("{} cannot be written as GGUF: more than one token goes before or behind a text", spec.where));
  GgufVocabulary out;
  if (!spec.byte_level) {
    out = to_llama(spec);
  } else {
    const GgufPreTokenizer* pre = find_gguf_pre_tokenizer(spec.pre_tokenizer, spec.ignore_merges);
    if (pre == nullptr)
      throw core::data_error(fmt::format("{} cannot be written as GGUF: no name is known for its pre-tokenizer{}",
                                         spec.where, spec.ignore_merges ? " with ignore_merges" : ""),
                             "keep the Hugging Face folder; GGUF names a model's pre-tokenizer instead of stating it");
    // llama.cpp composes no characters: what Qwen's NFC does is left out there, for every such file.
    for (const NormalizerStep& step : spec.normalizer)
      if (step.kind != NormalizerStep::Kind::Nfc)
        throw core::data_error(
            fmt::format("{} cannot be written as GGUF: it has a normaliser other than NFC", spec.where));
    out.model = "gpt2";
    out.pre = std::string(pre->names[0]);
    add_types(spec, out);
    for (TokenId id = 0; id < spec.tokens.size(); ++id) out.tokens.emplace_back(spec.tokens[id]);
    for (const PipelineMerge& merge : spec.merges)
      out.merges.push_back(std::string(spec.tokens[merge.left]).append(" ").append(spec.tokens[merge.right]));
  }
  out.add_bos = !spec.prefix.empty();
  out.add_eos = !spec.suffix.empty();
  if (!spec.prefix.empty()) out.bos_id = spec.prefix[0];
  if (!spec.suffix.empty()) out.eos_id = spec.suffix[0];
  out.unk_id = spec.unknown;
  return out;
}

std::unique_ptr<Tokenizer> byte_bpe_from_gguf(const GgufVocabulary& vocabulary, const std::string& where) {
  PipelineSpec spec;
  spec.where = where;
  const GgufPreTokenizer& pre = gguf_pre_tokenizer(vocabulary.pre, where);
  spec.byte_level = spec.decoder.is_byte_level = true;
  spec.ignore_merges = pre.ignore_merges;
  spec.pre_tokenizer = steps_of(pre);
  add_tokens(vocabulary, spec);
  spec.merges.reserve(vocabulary.merges.size());
  spec.merges_as_pairs = false;
  std::string merged;
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const std::string_view merge = vocabulary.merges[rank];
    const size_t space = merge.find(' ', 1);
    if (merge.empty() || space == std::string_view::npos || space + 1 == merge.size())
      throw refuse(where,
                   fmt::format("the merge {} (\"{}\") is not two tokens with a space between them", rank, merge));
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    const auto id_of = [&](std::string_view token) {
      const TokenId id = spec.tokens.find(token);
      if (id == kNone)
        throw refuse(where, fmt::format("the merge {} (\"{}\") has the token \"{}\", which is not in the vocabulary",
                                        rank, merge, token));
      return id;
    };
    merged.assign(left).append(right);
    spec.merges.push_back({id_of(left), id_of(right), id_of(merged), static_cast<uint32_t>(rank)});
  }
  add_edge(vocabulary.add_bos, pre.adds_bos, vocabulary.bos_id, spec, spec.prefix);
  add_edge(vocabulary.add_eos, false, vocabulary.eos_id, spec, spec.suffix);
  return make_pipeline(std::move(spec));
}

}  // namespace thinktune::text
