#include "text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <bitset>

#include "text/added_tokens.h"
#include "text/gguf_tokenizers.h"
#include "text/utf8.h"
#include "text/word_cache.h"
#include "thinktune/core/error.h"
#include "thinktune/text/open_tokenizer.h"

namespace thinktune::text {
namespace {

using PieceType = SentencepieceModel::PieceType;

// What a piece stands for inside a text.
std::string bytes_of(const SentencepieceModel::Piece& piece) {
  if (piece.type == PieceType::kByte)
    return std::string(1, static_cast<char>(std::stoi(piece.text.substr(3, 2), nullptr, 16)));
  return piece.type == PieceType::kControl ? piece.text : with_spaces(piece.text);
}

size_t pair_of(char first, char second) {
  return static_cast<size_t>(static_cast<unsigned char>(first)) * 256 + static_cast<unsigned char>(second);
}

int64_t num_characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

bool is_special_type(int64_t type) { return type == PieceType::kControl || type == PieceType::kUnknown; }

// The space that a sentencepiece tokenizer puts before a text goes before the text as a whole: the stretches behind
// control pieces get none, as in transformers' own conversion of such a model (Metaspace with prepend_scheme "first").
// So "<s>[INST] Hi" has "▁Hi" behind [INST], one space for the one that the template wrote.
class Sentencepiece final : public Tokenizer {
 public:
  Sentencepiece(SentencepieceModel model, const SentencepieceOptions& options, const std::string& where);

  using Tokenizer::encode;
  std::vector<TokenId> encode(const std::vector<Segment>& segments) const override;
  std::vector<TokenId> encode_continuation(std::string_view text) const override;
  std::string decode(const std::vector<TokenId>& ids, bool skip_special) const override;
  std::string token_bytes(TokenId id) const override {
    return id >= vocab_size() ? std::string() : std::string(bytes_[checked(id)]);
  }
  std::vector<TokenId> add_special_tokens(std::vector<TokenId> ids) const override;
  int64_t vocab_size() const override { return std::ssize(model_.pieces); }
  bool is_special(TokenId id) const override { return id < vocab_size() && is_special_type(piece(id).type); }
  TokenId special_id(std::string_view token) const override;
  std::string token_text(TokenId id) const override { return piece(id).text; }
  std::string to_tokenizer_json() const override { return sentencepiece_to_tokenizer_json(model_, options_, where_); }
  GgufVocabulary to_gguf() const override;

 private:
  TokenId checked(TokenId id) const {
    TT_CHECK(id >= 0 && id < vocab_size(), "token {} of a vocabulary of {}", id, vocab_size());
    return id;
  }
  const SentencepieceModel::Piece& piece(TokenId id) const { return model_.pieces[static_cast<size_t>(checked(id))]; }

  void load(sentencepiece::SentencePieceProcessor& processor, bool dummy_prefix) const;
  std::vector<TokenId> encode_marked(const MarkedText& marked, bool is_start) const;
  void encode_text(std::string_view text, bool is_start, std::vector<TokenId>& ids) const;
  void encode_words(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;
  void call_library(const sentencepiece::SentencePieceProcessor& processor, std::string_view text,
                    std::vector<TokenId>& ids) const;

  std::string where_;
  SentencepieceModel model_;
  SentencepieceOptions options_;
  sentencepiece::SentencePieceProcessor processor_;  // without the dummy prefix
  // With it; only where extra spaces are removed, so that a space of our own would not do.
  std::unique_ptr<sentencepiece::SentencePieceProcessor> with_prefix_;
  bool cuts_words_ = false;
  std::bitset<256 * 256> joined_;  // by a byte and the next one: some piece holds the two side by side
  TokenTable bytes_;
  AddedTokenFinder control_;
  uint32_t cache_owner_;
};

Sentencepiece::Sentencepiece(SentencepieceModel model, const SentencepieceOptions& options, const std::string& where)
    : where_(where), model_(std::move(model)), options_(options), cache_owner_(WordCache::new_owner()) {
  check_sentencepiece_model(model_, where_);
  // A model without such a piece may still state the number that it has elsewhere.
  for (int64_t* id : {&model_.bos_id, &model_.eos_id, &model_.pad_id})
    if (*id >= 0 && model_.pieces[static_cast<size_t>(*id)].type != PieceType::kControl) *id = -1;
  load(processor_, false);
  if (model_.add_dummy_prefix && model_.remove_extra_whitespaces) {
    with_prefix_ = std::make_unique<sentencepiece::SentencePieceProcessor>();
    load(*with_prefix_, true);
  }
  // A text may be cut between two characters that no piece has side by side: no merge reaches over that place. Not with
  // unigram, whose sums of scores over a longer text round otherwise, nor with a normaliser, nor where unknown
  // characters become one piece together.
  cuts_words_ = model_.type == SentencepieceModel::kBpe && model_.precompiled_charsmap.empty() &&
                !model_.remove_extra_whitespaces && model_.byte_fallback;
  std::vector<AddedToken> control;
  for (size_t i = 0; i < model_.pieces.size(); ++i) {
    const auto& piece = model_.pieces[i];
    bytes_.add(bytes_of(piece), false);
    const std::string text = with_spaces(piece.text);
    for (size_t at = 1; at < text.size(); ++at) joined_.set(pair_of(text[at - 1], text[at]));
    if (is_special_type(piece.type))
      control.push_back({.id = static_cast<TokenId>(i), .content = piece.text, .special = true});
  }
  for (const AddedToken& flags : options_.stripping)
    for (AddedToken& token : control)
      if (token.id == flags.id) {
        token.lstrip = flags.lstrip;
        token.rstrip = flags.rstrip;
      }
  control_ = AddedTokenFinder(std::move(control));
}

void Sentencepiece::load(sentencepiece::SentencePieceProcessor& processor, bool dummy_prefix) const {
  SentencepieceModel with = model_;
  with.add_dummy_prefix = dummy_prefix;
  // The library's BPE takes a character of a text for the control piece of that name, and then fails. Control pieces
  // are found before it is asked: it may know these by other names.
  for (size_t i = 0; i < with.pieces.size(); ++i)
    if (with.pieces[i].type == PieceType::kControl && num_characters(with.pieces[i].text) == 1)
      with.pieces[i].text = fmt::format("<control piece {}>", i);
  std::string reason;
  try {
    const auto status = processor.LoadFromSerializedProto(write_sentencepiece_model(with));
    if (status.ok()) return;
    reason = status.ToString();
  } catch (const std::exception& error) {  // the library's trie throws exceptions of its own
    reason = error.what();
  }
  throw core::data_error(fmt::format("{} is not a usable sentencepiece model: {}", where_, reason));
}

TokenId Sentencepiece::special_id(std::string_view token) const {
  const auto found = std::find_if(model_.pieces.begin(), model_.pieces.end(), [&](const auto& piece) {
    return is_special_type(piece.type) && piece.text == token;
  });
  return found == model_.pieces.end() ? -1 : static_cast<TokenId>(found - model_.pieces.begin());
}

std::vector<TokenId> Sentencepiece::encode(const std::vector<Segment>& segments) const {
  MarkedText marked;
  std::string joined;
  for (const Segment& segment : segments) {
    if (segment.text.empty()) continue;
    joined += segment.text;
    marked.parts.push_back({joined.size(), segment.special});
  }
  marked.text = joined;
  return encode_marked(marked, true);
}

std::vector<TokenId> Sentencepiece::encode_continuation(std::string_view text) const {
  return encode_marked({text, {{text.size(), Special::AsText}}}, false);
}

std::vector<TokenId> Sentencepiece::encode_marked(const MarkedText& marked, bool is_start) const {
  std::vector<TokenId> ids;
  std::vector<Stretch> stretches;
  control_.find(marked, stretches);
  for (const Stretch& stretch : stretches) {
    if (stretch.id >= 0) {
      ids.push_back(stretch.id);
    } else {
      encode_text(marked.text.substr(stretch.begin, stretch.end - stretch.begin), is_start && stretch.begin == 0, ids);
    }
  }
  return ids;
}

void Sentencepiece::encode_text(std::string_view text, bool is_start, std::vector<TokenId>& ids) const {
  if (with_prefix_) {
    if (is_start) return call_library(*with_prefix_, text, ids);
    // Behind other text a space is no extra one. The library would take it away here, but not the mark for it.
    const size_t spaces = std::min(text.find_first_not_of(' '), text.size());
    return spaces == 0 ? call_library(processor_, text, ids)
                       : call_library(processor_, std::string(kSpaceMark).append(text.substr(spaces)), ids);
  }
  if (is_start && model_.add_dummy_prefix && !text.empty()) return encode_words(std::string(1, ' ').append(text), ids);
  encode_words(text, ids);
}

void Sentencepiece::encode_words(std::string_view text, std::vector<TokenId>& ids) const {
  // Bytes that are no character become U+FFFD in the library, and a written space mark a space: neither is in the
  // table.
  if (!cuts_words_ || utf8_valid_length(text) < text.size() || text.find(kSpaceMark) != std::string_view::npos)
    return call_library(processor_, text, ids);
  size_t begin = 0;
  for (size_t at = 1; at < text.size(); ++at) {
    const bool inside_character = (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
    if (inside_character || joined_.test(pair_of(text[at - 1], text[at]))) continue;
    encode_word(text.substr(begin, at - begin), ids);
    begin = at;
  }
  if (begin < text.size()) encode_word(text.substr(begin), ids);
}

void Sentencepiece::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  if (word.size() > WordCache::kMaxBytes) return call_library(processor_, word, ids);
  WordCache::Slot& slot = WordCache::of_this_thread().slot_of(word);
  if (WordCache::holds(slot, cache_owner_, word)) {
    ids.insert(ids.end(), slot.tokens, slot.tokens + slot.num_tokens);
    return;
  }
  const size_t first = ids.size();
  call_library(processor_, word, ids);
  WordCache::fill(slot, cache_owner_, word, ids.data() + first, ids.size() - first);
}

void Sentencepiece::call_library(const sentencepiece::SentencePieceProcessor& processor, std::string_view text,
                                 std::vector<TokenId>& ids) const {
  std::vector<int> found;
  const auto status = processor.Encode(absl::string_view(text.data(), text.size()), &found);
  TT_CHECK(status.ok(), "sentencepiece: {}", status.ToString());
  ids.insert(ids.end(), found.begin(), found.end());
}

std::string Sentencepiece::decode(const std::vector<TokenId>& ids, bool skip_special) const {
  // The library's rule: of the text's first piece the one space goes that the dummy prefix may have put there. Behind a
  // special token's text there was none.
  const bool drops_space = model_.add_dummy_prefix || model_.remove_extra_whitespaces;
  std::string bytes;
  bool is_first = true;
  for (const TokenId id : ids) {
    if (id >= vocab_size()) continue;
    const bool special = is_special(id);
    if (special) {
      if (!skip_special) bytes += bytes_[id];
      continue;
    }
    std::string_view token = bytes_[id];
    if (is_first && drops_space && bytes.empty() && piece(id).text.starts_with(kSpaceMark)) token.remove_prefix(1);
    is_first = false;
    bytes += token;
  }
  return bytes;
}

std::vector<TokenId> Sentencepiece::add_special_tokens(std::vector<TokenId> ids) const {
  if (options_.adds_bos && model_.bos_id >= 0) ids.insert(ids.begin(), static_cast<TokenId>(model_.bos_id));
  if (options_.adds_eos && model_.eos_id >= 0) ids.push_back(static_cast<TokenId>(model_.eos_id));
  return ids;
}

GgufVocabulary Sentencepiece::to_gguf() const {
  GgufVocabulary out;
  const bool is_bpe = model_.type == SentencepieceModel::kBpe;
  if (is_bpe && (!model_.byte_fallback || model_.remove_extra_whitespaces || !model_.precompiled_charsmap.empty()))
    throw core::data_error(
        fmt::format("{} cannot be written as GGUF: its BPE model normalises texts or has no bytes to "
                    "fall back on",
                    where_),
        "GGUF's \"llama\" vocabularies have neither");
  out.model = is_bpe ? "llama" : "t5";
  out.pre = "default";
  for (const auto& piece : model_.pieces) {
    out.tokens.push_back(piece.type == PieceType::kUserDefined ? with_spaces(piece.text) : piece.text);
    out.scores.push_back(piece.score);
    out.types.push_back(piece.type);
  }
  out.add_space_prefix = model_.add_dummy_prefix;
  if (!is_bpe) out.remove_extra_whitespaces = model_.remove_extra_whitespaces;
  out.add_bos = options_.adds_bos && model_.bos_id >= 0;
  out.add_eos = options_.adds_eos && model_.eos_id >= 0;
  out.bos_id = model_.bos_id;
  out.eos_id = model_.eos_id;
  out.unk_id = model_.unk_id;
  out.pad_id = model_.pad_id;
  out.precompiled_charsmap = model_.precompiled_charsmap;
  return out;
}

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(SentencepieceModel model, const SentencepieceOptions& options,
                                              const std::string& where) {
  return std::make_unique<Sentencepiece>(std::move(model), options, where);
}

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(std::string_view bytes, const std::string& where) {
  return make_sentencepiece(read_sentencepiece_model(bytes, where), {}, where);
}

std::unique_ptr<Tokenizer> sentencepiece_from_gguf(const GgufVocabulary& vocabulary, const std::string& where) {
  const bool is_unigram = vocabulary.model == "t5";
  if (vocabulary.scores.size() != vocabulary.tokens.size() ||
      (!vocabulary.types.empty() && vocabulary.types.size() != vocabulary.tokens.size()))
    throw core::data_error(fmt::format("{}: the vocabulary has {} tokens, {} scores and {} token types", where,
                                       vocabulary.tokens.size(), vocabulary.scores.size(), vocabulary.types.size()),
                           "a vocabulary of sentencepiece pieces has one score and one type for each");
  SentencepieceModel model;
  model.type = is_unigram ? SentencepieceModel::kUnigram : SentencepieceModel::kBpe;
  bool has_unknown = false;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    check_gguf_token(vocabulary.tokens[i], i, where);
    const int64_t type = vocabulary.types.empty() ? int64_t{kNormalToken} : vocabulary.types[i];
    std::string text = type == kUserDefinedToken ? with_space_marks(vocabulary.tokens[i]) : vocabulary.tokens[i];
    model.byte_fallback = model.byte_fallback || type == kByteToken;
    if (type == kUnknownToken) {
      has_unknown = true;
      model.unk_id = static_cast<int64_t>(i);
    }
    model.pieces.push_back({std::move(text), static_cast<float>(vocabulary.scores[i]), type});
  }
  // Some files have it among the control pieces and name its id.
  if (!has_unknown && vocabulary.unk_id >= 0 && vocabulary.unk_id < std::ssize(model.pieces)) {
    model.unk_id = vocabulary.unk_id;
    model.pieces[static_cast<size_t>(model.unk_id)].type = PieceType::kUnknown;
  }
  model.bos_id = vocabulary.bos_id;
  model.eos_id = vocabulary.eos_id;
  model.pad_id = vocabulary.pad_id;
  model.add_dummy_prefix = vocabulary.add_space_prefix.value_or(true);
  model.remove_extra_whitespaces = vocabulary.remove_extra_whitespaces.value_or(false);
  model.precompiled_charsmap = vocabulary.precompiled_charsmap;
  const SentencepieceOptions options = {.adds_bos = vocabulary.add_bos.value_or(!is_unigram),
                                        .adds_eos = vocabulary.add_eos.value_or(is_unigram)};
  return make_sentencepiece(std::move(model), options, where);
}

}  // namespace thinktune::text
