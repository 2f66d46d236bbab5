#include "text/pipeline.h"

#include <algorithm>
#include <array>
#include <map>

#include "text/added_tokens.h"
#include "text/byte_alphabet.h"
#include "text/merges.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"
#include "text/word_cache.h"
#include "thinktune/core/error.h"
#include "thinktune/text/gguf_vocabulary.h"

namespace thinktune::text {
namespace {

constexpr TokenId kNone = TokenTable::kNone;

// The byte that a piece "<0x41>" stands for, or -1.
int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int byte = 0;
  for (const char c : piece.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    byte = 16 * byte + digit;
  }
  return byte;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t start = 0;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, start)) {
    out += text.substr(start, at - start);
    out += to;
    start = at + from.size();
  }
  return out += text.substr(start);
}

class Pipeline final : public Tokenizer {
 public:
  explicit Pipeline(PipelineSpec spec);

  using Tokenizer::encode;
  std::vector<TokenId> encode(const std::vector<Segment>& segments) const override;
  std::vector<TokenId> encode_continuation(std::string_view text) const override;
  std::string decode(const std::vector<TokenId>& ids, bool skip_special) const override;
  std::string token_bytes(TokenId id) const override {
    return id >= vocab_size() ? std::string() : std::string(bytes_[checked(id)]);
  }
  std::vector<TokenId> add_special_tokens(std::vector<TokenId> ids) const override;
  int64_t vocab_size() const override { return spec_.tokens.size(); }
  bool is_special(TokenId id) const override {
    return id < vocab_size() && is_special_[static_cast<size_t>(checked(id))];
  }
  TokenId special_id(std::string_view token) const override;
  std::string token_text(TokenId id) const override { return std::string(spec_.tokens[checked(id)]); }
  std::string to_tokenizer_json() const override { return text::to_tokenizer_json(spec_); }
  GgufVocabulary to_gguf() const override { return to_gguf_vocabulary(spec_); }

 private:
  struct Work {
    std::vector<TokenId>& ids;
    MergeTable::Workspace merging;
    std::vector<TokenId> symbols;
  };

  TokenId checked(TokenId id) const {
    TT_CHECK(id >= 0 && id < spec_.tokens.size(), "token {} of a vocabulary of {}", id, spec_.tokens.size());
    return id;
  }
  std::string bytes_of(TokenId id, std::string_view text) const;
  void index_words();
  void index_merges();

  std::vector<TokenId> encode_marked(const MarkedText& marked, bool is_start) const;
  void encode_normalized(const MarkedText& marked, bool is_first, bool with_prefix, Work& work) const;
  void encode_stretch(const MarkedText& marked, bool is_first, bool with_prefix, Work& work) const;
  void encode_text(std::string_view text, Work& work) const;
  void encode_word(std::string_view word, Work& work) const;
  void symbols_of(std::string_view word, std::vector<TokenId>& symbols) const;

  PipelineSpec spec_;
  std::vector<bool> is_special_;
  std::vector<bool> is_added_;
  std::map<TokenId, std::string> normalized_;  // added tokens that stand in normalised text, as they do there
  TokenTable bytes_;                           // what each token stands for; byte-level: ordinary ones can be searched
  TokenTable words_;  // not byte-level: ordinary tokens as they are written; token i of it is word_ids_[i]
  std::vector<TokenId> word_ids_;
  std::array<TokenId, 256> id_of_byte_{};  // byte-level: each byte's token; else ASCII characters' tokens
  std::array<TokenId, 256> byte_fallback_{};
  MergeTable merges_;
  bool cuts_at_marks_ = false;                 // words are cut off where no merge reaches over: see index_merges
  std::array<bool, 256> reaches_over_mark_{};  // by the byte before a space mark
  AddedTokenFinder added_, added_normalized_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  uint32_t cache_owner_;
};

Pipeline::Pipeline(PipelineSpec spec)
    : spec_(std::move(spec)),
      normalizer_(spec_.normalizer, spec_.where),
      pre_tokenizer_(spec_.pre_tokenizer, spec_.where),
      cache_owner_(WordCache::new_owner()) {
  const auto size = static_cast<size_t>(spec_.tokens.size());
  is_special_.assign(size, false);
  is_added_.assign(size, false);
  std::vector<AddedToken> raw, normalized;
  for (const AddedToken& token : spec_.added) {
    is_added_[static_cast<size_t>(checked(token.id))] = true;
    if (token.special) is_special_[static_cast<size_t>(token.id)] = true;
    if (!token.normalized) {
      raw.push_back(token);
      continue;
    }
    normalized.push_back(token);
    std::string buffer;
    normalized.back().content = std::string(normalizer_.apply(token.content, true, buffer));
    normalized_[token.id] = normalized.back().content;
  }
  added_ = AddedTokenFinder(std::move(raw));
  added_normalized_ = AddedTokenFinder(std::move(normalized));
  index_words();
  index_merges();
}

// What a token stands for inside a text.
std::string Pipeline::bytes_of(TokenId id, std::string_view token) const {
  const std::string text(token);
  if (spec_.decoder.is_byte_level) {
    // An added token is its own text (the reference reads its characters as bytes where all are in the alphabet, and
    // so breaks "é"); so is a token outside the alphabet: no merge leads to it.
    return is_added_[static_cast<size_t>(id)] ? text : bytes_of_token(text).value_or(text);
  }
  if (spec_.decoder.byte_fallback)
    if (const int byte = byte_of_piece(text); byte >= 0) return std::string(1, static_cast<char>(byte));
  return spec_.decoder.replace.empty() ? text : replaced(text, spec_.decoder.replace, spec_.decoder.replace_with);
}

void Pipeline::index_words() {
  const TokenId size = spec_.tokens.size();
  bytes_.reserve(static_cast<size_t>(size));
  for (TokenId id = 0; id < size; ++id) {
    // What somebody typed never becomes a special token: those are no words.
    const bool is_ordinary = !is_special_[static_cast<size_t>(id)];
    const auto normalized = normalized_.find(id);
    const std::string_view text = normalized == normalized_.end() ? spec_.tokens[id] : normalized->second;
    bytes_.add(bytes_of(id, text), spec_.byte_level && is_ordinary && !is_added_[static_cast<size_t>(id)]);
    if (spec_.byte_level || !is_ordinary) continue;
    words_.add(spec_.tokens[id]);
    word_ids_.push_back(id);
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (spec_.byte_level) {
      const TokenId id = spec_.tokens.find(alphabet_character(static_cast<uint8_t>(byte)));
      id_of_byte_[byte] = id != kNone && !is_special_[static_cast<size_t>(id)] ? id : kNone;
    } else {
      const TokenId word = byte < 0x80 ? words_.find({&c, 1}) : kNone;
      id_of_byte_[byte] = word == kNone ? kNone : word_ids_[static_cast<size_t>(word)];
    }
    byte_fallback_[byte] = spec_.byte_fallback ? spec_.tokens.find(fmt::format("<0x{:02X}>", byte)) : kNone;
  }
}

void Pipeline::index_merges() {
  merges_.reserve(spec_.merges.size());
  // Where words are not split off, a text is one word and every search in it long. It may be cut before a space mark
  // that follows something else if no merge makes a token with such a place inside: nothing reaches over it. A merge
  // that does (Gemma has one, ">" and "▁</") rules this out behind its left side's last byte alone.
  cuts_at_marks_ = !spec_.byte_level && !spec_.ignore_merges && words_.find(kSpaceMark) != kNone;
  for (const PipelineMerge& merge : spec_.merges) {
    // What somebody typed never becomes a special token.
    if (is_special_[static_cast<size_t>(checked(merge.merged))] ||
        is_special_[static_cast<size_t>(checked(merge.left))] || is_special_[static_cast<size_t>(checked(merge.right))])
      continue;
    if (!merges_.add(merge.left, merge.right, merge.rank, merge.merged))
      throw core::data_error(fmt::format("{}: the merge of \"{}\" and \"{}\" is there twice", spec_.where,
                                         spec_.tokens[merge.left], spec_.tokens[merge.right]));
    const std::string_view left = spec_.tokens[merge.left];
    if (cuts_at_marks_ && spec_.tokens[merge.right].starts_with(kSpaceMark) && !left.ends_with(kSpaceMark)) {
      reaches_over_mark_[static_cast<unsigned char>(left.back())] = true;
      if (const int byte = byte_of_piece(left); byte >= 0) reaches_over_mark_[static_cast<size_t>(byte)] = true;
    }
  }
}

TokenId Pipeline::special_id(std::string_view token) const {
  const TokenId id = spec_.tokens.find(token);
  return id != kNone && is_special_[static_cast<size_t>(id)] ? id : kNone;
}

std::vector<TokenId> Pipeline::encode(const std::vector<Segment>& segments) const {
  MarkedText marked;
  std::string joined;
  for (const Segment& segment : segments) {
    if (segment.text.empty()) continue;
    if (segments.size() > 1) joined += segment.text;
    const size_t end = segments.size() > 1 ? joined.size() : segment.text.size();
    // Where nothing is parsed there are no borders.
    const bool goes_on =
        segment.special == Special::AsText && !marked.parts.empty() && marked.parts.back().special == Special::AsText;
    if (goes_on) {
      marked.parts.back().end = end;
    } else {
      marked.parts.push_back({end, segment.special});
    }
  }
  if (marked.parts.empty()) return {};
  marked.text = segments.size() > 1 ? std::string_view(joined) : std::string_view(segments[0].text);
  return encode_marked(marked, true);
}

std::vector<TokenId> Pipeline::encode_continuation(std::string_view text) const {
  if (text.empty()) return {};
  return encode_marked({text, {{text.size(), Special::AsText}}}, false);
}

// `is_start`: the text begins here, and gets the prefix if the tokenizer has one for the start of texts.
std::vector<TokenId> Pipeline::encode_marked(const MarkedText& marked, bool is_start) const {
  std::vector<TokenId> ids;
  ids.reserve(marked.text.size() / 3);
  Work work{ids, {}, {}};
  std::vector<Stretch> stretches;
  added_.find(marked, stretches);
  for (const Stretch& stretch : stretches) {
    if (stretch.id != kNone) {
      ids.push_back(stretch.id);
    } else {
      const bool is_first = stretch.begin == 0;
      encode_stretch(stretches.size() == 1 ? marked : marked.slice(stretch.begin, stretch.end), is_first,
                     is_start || !is_first, work);
    }
  }
  return ids;
}

// A stretch between added tokens: normalised, then looked through for those that stand in normalised text.
void Pipeline::encode_stretch(const MarkedText& marked, bool is_first, bool with_prefix, Work& work) const {
  std::string buffer;
  if (normalizer_.is_identity()) return encode_normalized(marked, is_first, with_prefix, work);
  if (marked.parts.size() == 1 || !added_normalized_.has_special()) {
    const std::string_view text = normalizer_.apply(marked.text, with_prefix, buffer);
    return encode_normalized({text, {{text.size(), marked.parts[0].special}}}, is_first, with_prefix, work);
  }
  // Special tokens may be found in some parts only: the parts are normalised one by one, so that what was typed and
  // what a template wrote stay apart.
  MarkedText joined;
  std::string text;
  size_t begin = 0;
  for (const MarkedText::Part& part : marked.parts) {
    text += normalizer_.apply(marked.text.substr(begin, part.end - begin), with_prefix && begin == 0, buffer);
    begin = part.end;
    if (text.size() > (joined.parts.empty() ? 0 : joined.parts.back().end))
      joined.parts.push_back({text.size(), part.special});
  }
  joined.text = text;
  encode_normalized(joined, is_first, with_prefix, work);
}

void Pipeline::encode_normalized(const MarkedText& marked, bool is_first, bool with_prefix, Work& work) const {
  if (marked.text.empty()) return;
  const auto encode_words = [&](std::string_view text, bool at_start) {
    pre_tokenizer_.for_each_word(text, is_first && at_start, with_prefix || !at_start,
                                 [&](std::string_view word) { encode_text(word, work); });
  };
  if (added_normalized_.empty()) return encode_words(marked.text, true);
  std::vector<Stretch> stretches;
  added_normalized_.find(marked, stretches);
  for (const Stretch& stretch : stretches) {
    if (stretch.id != kNone) {
      work.ids.push_back(stretch.id);
    } else {
      encode_words(marked.text.substr(stretch.begin, stretch.end - stretch.begin), stretch.begin == 0);
    }
  }
}

void Pipeline::encode_text(std::string_view text, Work& work) const {
  if (cuts_at_marks_) {
    for (size_t at = text.find(kSpaceMark, 1); at != std::string_view::npos;) {
      const std::string_view before = text.substr(0, at);
      if (!before.ends_with(kSpaceMark) && !reaches_over_mark_[static_cast<unsigned char>(before.back())]) {
        encode_word(before, work);
        text.remove_prefix(at);
        at = 0;
      }
      at = text.find(kSpaceMark, at + 1);
    }
  }
  encode_word(text, work);
}

void Pipeline::encode_word(std::string_view word, Work& work) const {
  WordCache::Slot* slot = nullptr;
  if (word.size() <= WordCache::kMaxBytes) {
    slot = &WordCache::of_this_thread().slot_of(word);
    if (WordCache::holds(*slot, cache_owner_, word)) {
      work.ids.insert(work.ids.end(), slot->tokens, slot->tokens + slot->num_tokens);
      return;
    }
  }
  const size_t first = work.ids.size();
  TokenId whole = kNone;
  if (spec_.ignore_merges) {
    whole = spec_.byte_level ? bytes_.find(word) : words_.find(word);
    if (whole != kNone && !spec_.byte_level) whole = word_ids_[static_cast<size_t>(whole)];
  }
  if (whole != kNone) {
    work.ids.push_back(whole);
  } else {
    symbols_of(word, work.symbols);
    merges_.apply(work.symbols, work.merging);
    work.ids.insert(work.ids.end(), work.symbols.begin(), work.symbols.end());
  }
  if (slot != nullptr) WordCache::fill(*slot, cache_owner_, word, work.ids.data() + first, work.ids.size() - first);
}

// A word's characters (or bytes) as tokens: what the merges begin with.
void Pipeline::symbols_of(std::string_view word, std::vector<TokenId>& symbols) const {
  symbols.clear();
  if (spec_.byte_level) {
    for (const char c : word)
      if (const TokenId id = id_of_byte_[static_cast<unsigned char>(c)]; id != kNone) symbols.push_back(id);
    return;
  }
  bool pending_unknown = false;  // as in the reference, written once what is known follows
  while (!word.empty()) {
    const size_t length = std::max<size_t>(1, utf8_character_length(word));
    const std::string_view character = word.substr(0, length);
    word.remove_prefix(length);
    TokenId id = kNone;
    if (length == 1) {
      id = id_of_byte_[static_cast<unsigned char>(character[0])];
    } else if (const TokenId found = words_.find(character); found != kNone) {
      id = word_ids_[static_cast<size_t>(found)];
    }
    if (id != kNone) {
      if (pending_unknown) symbols.push_back(spec_.unknown);
      pending_unknown = false;
      symbols.push_back(id);
      continue;
    }
    const auto fallback = [&](char c) { return byte_fallback_[static_cast<unsigned char>(c)]; };
    if (std::all_of(character.begin(), character.end(), [&](char c) { return fallback(c) != kNone; })) {
      for (const char c : character) symbols.push_back(fallback(c));
      continue;
    }
    if (spec_.unknown == kNone) continue;
    if (pending_unknown && !spec_.fuse_unknown) symbols.push_back(spec_.unknown);
    pending_unknown = true;
  }
  if (pending_unknown) symbols.push_back(spec_.unknown);
}

std::string Pipeline::decode(const std::vector<TokenId>& ids, bool skip_special) const {
  const DecoderSpec& decoder = spec_.decoder;
  std::string bytes;
  bool is_first = true;
  for (const TokenId id : ids) {
    if (id >= vocab_size()) continue;
    const std::string_view token = bytes_[checked(id)];
    if (skip_special && is_special_[static_cast<size_t>(id)]) continue;
    if (is_first && decoder.drops_first_marks) {
      bytes += replaced(spec_.tokens[id], decoder.replace, "");
    } else {
      bytes += token;
    }
    is_first = false;
  }
  size_t start = 0;
  while (start < decoder.num_stripped && start < bytes.size() && bytes[start] == ' ') ++start;
  return start == 0 ? bytes : bytes.substr(start);
}

std::vector<TokenId> Pipeline::add_special_tokens(std::vector<TokenId> ids) const {
  ids.insert(ids.begin(), spec_.prefix.begin(), spec_.prefix.end());
  ids.insert(ids.end(), spec_.suffix.begin(), spec_.suffix.end());
  return ids;
}

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline(PipelineSpec spec) { return std::make_unique<Pipeline>(std::move(spec)); }

}  // namespace thinktune::text
