// A sentencepiece BPE model as a tokenizer.json, as transformers converts one: every way to put a piece together of two
// others is a merge, ordered by the piece's score.
#include <algorithm>

#include "text/pipeline.h"
#include "text/sentencepiece_tokenizer.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using PieceType = SentencepieceModel::PieceType;

void add_pieces(const SentencepieceModel& model, const SentencepieceOptions& options, PipelineSpec& spec) {
  spec.tokens.reserve(model.pieces.size());
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const auto& piece = model.pieces[i];
    spec.tokens.add(piece.text);
    const bool is_special = piece.type == PieceType::kControl || piece.type == PieceType::kUnknown;
    // User-defined pieces are looked for in the normalised text, in which spaces are marks: "▁▁" is two spaces.
    if (is_special || piece.type == PieceType::kUserDefined)
      spec.added.push_back(
          {.id = static_cast<TokenId>(i), .content = piece.text, .normalized = !is_special, .special = is_special});
  }
  for (AddedToken& token : spec.added)
    for (const AddedToken& flags : options.stripping)
      if (token.id == flags.id) {
        token.lstrip = flags.lstrip;
        token.rstrip = flags.rstrip;
      }
}

void add_merges(const SentencepieceModel& model, PipelineSpec& spec) {
  const auto is_normal = [&](TokenId id) {
    return id >= 0 && model.pieces[static_cast<size_t>(id)].type == PieceType::kNormal;
  };
  for (TokenId id = 0; id < spec.tokens.size(); ++id) {
    if (!is_normal(id)) continue;
    const std::string_view piece = spec.tokens[id];
    // The library merges whatever makes a piece; long ones are rare, and their cost is the square of their length.
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      if ((static_cast<unsigned char>(piece[cut]) & 0xC0) == 0x80) continue;
      const TokenId left = spec.tokens.find(piece.substr(0, cut));
      if (!is_normal(left)) continue;
      const TokenId right = spec.tokens.find(piece.substr(cut));
      if (is_normal(right)) spec.merges.push_back({left, right, id, 0});
    }
  }
  const auto score = [&](const PipelineMerge& m) { return model.pieces[static_cast<size_t>(m.merged)].score; };
  std::stable_sort(spec.merges.begin(), spec.merges.end(), [&](const auto& a, const auto& b) {
    return score(a) != score(b) ? score(a) > score(b) : a.merged < b.merged;
  });
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) spec.merges[rank].rank = static_cast<uint32_t>(rank);
}

}  // namespace

std::string sentencepiece_to_tokenizer_json(const SentencepieceModel& model, const SentencepieceOptions& options,
                                            const std::string& where) {
  if (model.type != SentencepieceModel::kBpe || model.remove_extra_whitespaces || !model.precompiled_charsmap.empty())
    throw core::data_error(
        fmt::format(
            "{} cannot be written as a tokenizer.json: it is {}", where,
            model.type == SentencepieceModel::kBpe ? "a BPE model with a normaliser of its own" : "a unigram model"),
        "only BPE models that leave texts as they are can; keep the tokenizer.model beside the weights");
  PipelineSpec spec;
  spec.where = where;
  add_pieces(model, options, spec);
  add_merges(model, spec);
  spec.byte_fallback = model.byte_fallback;
  spec.fuse_unknown = true;
  spec.unknown = static_cast<TokenId>(model.unk_id);
  spec.normalizer.push_back(
      {.kind = NormalizerStep::Kind::Replace, .pattern = std::string(1, ' '), .content = std::string(kSpaceMark)});
  // "first": before a text, and not again behind each special token of it.
  if (model.add_dummy_prefix)
    spec.pre_tokenizer.push_back({.kind = PreTokenizerStep::Kind::Metaspace,
                                  .replacement = std::string(kSpaceMark),
                                  .prefix = PreTokenizerStep::Prefix::First,
                                  .split = false});
  spec.decoder.replace = std::string(kSpaceMark);
  spec.decoder.replace_with = std::string(1, ' ');
  spec.decoder.byte_fallback = model.byte_fallback;
  spec.decoder.num_stripped = model.add_dummy_prefix ? 1 : 0;
  if (options.adds_bos && model.bos_id >= 0) spec.prefix.push_back(static_cast<TokenId>(model.bos_id));
  if (options.adds_eos && model.eos_id >= 0) spec.suffix.push_back(static_cast<TokenId>(model.eos_id));
  return to_tokenizer_json(spec);
}

}  // namespace thinktune::text
