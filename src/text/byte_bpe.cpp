#include "thinktune/text/byte_bpe.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/merges.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using TokenIds = std::unordered_map<std::string_view, TokenId>;

// Checks what each token must be and returns the ids by token; the views point into `spec`.
TokenIds index_tokens(const ByteBpeSpec& spec) {
  if (spec.tokens.size() != spec.is_special.size())
    throw core::data_error(fmt::format("the tokenizer has {} tokens but {} marks for special ones", spec.tokens.size(),
                                       spec.is_special.size()));
  TokenIds ids;
  ids.reserve(spec.tokens.size());
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const std::string& token = spec.tokens[i];
    if (token.empty()) throw core::data_error(fmt::format("the tokenizer's token {} is empty", i));
    if (utf8_valid_length(token) != token.size())
      throw core::data_error(fmt::format("the tokenizer's token {} is not valid UTF-8", i));
    const auto [found, is_new] = ids.try_emplace(token, static_cast<TokenId>(i));
    if (!is_new)
      throw core::data_error(
          fmt::format("the tokenizer has the token \"{}\" twice: {} and {}", token, found->second, i));
  }
  return ids;
}

MergeTable index_merges(const ByteBpeSpec& spec, const TokenIds& ids) {
  MergeTable table;
  table.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const std::string_view merge = spec.merges[rank];
    const auto refuse = [&](const std::string& why) {
      return core::data_error(fmt::format("the tokenizer's merge {} (\"{}\") {}", rank, merge, why));
    };
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos)
      throw refuse("is not two tokens with one space between them");
    const auto id_of = [&](std::string_view token) {
      const auto found = ids.find(token);
      if (found == ids.end()) throw refuse(fmt::format("has the token \"{}\", which is not in the vocabulary", token));
      // What a user typed must never become a special token.
      if (spec.is_special[found->second]) throw refuse(fmt::format("has the special token \"{}\"", token));
      return found->second;
    };
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    if (!table.add(id_of(left), id_of(right), id_of(std::string(left).append(right)))) throw refuse("is there twice");
  }
  return table;
}

class ByteBpe final : public Tokenizer {
 public:
  explicit ByteBpe(ByteBpeSpec spec);

  std::vector<TokenId> encode(const std::vector<Segment>& segments) const override;
  std::string decode(const std::vector<TokenId>& ids, bool skip_special) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(spec_.tokens.size()); }
  bool is_special(TokenId id) const override { return spec_.is_special[index_of(id)] != 0; }
  TokenId special_id(std::string_view token) const override;
  std::string token_text(TokenId id) const override { return spec_.tokens[index_of(id)]; }
  std::string to_tokenizer_json() const override { return byte_bpe_to_tokenizer_json(spec_); }

 private:
  static constexpr TokenId kNoToken = -1;

  size_t index_of(TokenId id) const;
  TokenId special_at(std::string_view text) const;
  void encode_ordinary(std::string_view text, std::vector<TokenId>& ids) const;

  ByteBpeSpec spec_;
  PreTokenizer pre_tokenizer_;
  MergeTable merges_;
  std::array<TokenId, 256> id_of_byte_{};
  std::vector<std::string> bytes_of_id_;
  std::map<std::string, TokenId, std::less<>> special_ids_;
  std::array<std::vector<TokenId>, 256> specials_by_first_byte_;  // longest first
};

ByteBpe::ByteBpe(ByteBpeSpec spec) : spec_(std::move(spec)), pre_tokenizer_(pre_tokenizer_kind(spec_.pre_tokenizer)) {
  const TokenIds ids = index_tokens(spec_);
  merges_ = index_merges(spec_, ids);
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(alphabet_character(static_cast<uint8_t>(byte)));
    id_of_byte_[byte] = found != ids.end() && !spec_.is_special[found->second] ? found->second : kNoToken;
  }
  bytes_of_id_.reserve(spec_.tokens.size());
  for (size_t i = 0; i < spec_.tokens.size(); ++i) {
    const std::string& token = spec_.tokens[i];
    // A token outside the alphabet is its own text, as in the reference; no merge leads to it.
    bytes_of_id_.push_back(spec_.is_special[i] ? token : bytes_of_token(token).value_or(token));
    if (!spec_.is_special[i]) continue;
    special_ids_.emplace(token, static_cast<TokenId>(i));
    specials_by_first_byte_[static_cast<unsigned char>(token[0])].push_back(static_cast<TokenId>(i));
  }
  for (auto& specials : specials_by_first_byte_)
    std::ranges::sort(specials, [&](TokenId a, TokenId b) { return spec_.tokens[a].size() > spec_.tokens[b].size(); });
}

size_t ByteBpe::index_of(TokenId id) const {
  TT_CHECK(id >= 0 && id < vocab_size(), "token {} of a vocabulary of {}", id, vocab_size());
  return static_cast<size_t>(id);
}

TokenId ByteBpe::special_id(std::string_view token) const {
  const auto found = special_ids_.find(token);
  return found == special_ids_.end() ? kNoToken : found->second;
}

// The longest special token that the text begins with.
TokenId ByteBpe::special_at(std::string_view text) const {
  for (const TokenId id : specials_by_first_byte_[static_cast<unsigned char>(text[0])])
    if (text.starts_with(spec_.tokens[id])) return id;
  return kNoToken;
}

void ByteBpe::encode_ordinary(std::string_view text, std::vector<TokenId>& ids) const {
  MergeTable::Workspace workspace;
  std::vector<TokenId> tokens;
  for (const std::string_view word : pre_tokenizer_.split(text)) {
    tokens.clear();
    for (const char c : word) {
      const TokenId id = id_of_byte_[static_cast<unsigned char>(c)];
      if (id != kNoToken) tokens.push_back(id);
    }
    merges_.apply(tokens, workspace);
    ids.insert(ids.end(), tokens.begin(), tokens.end());
  }
}

std::vector<TokenId> ByteBpe::encode(const std::vector<Segment>& segments) const {
  std::vector<TokenId> ids;
  std::string ordinary;  // since the last special token, over the segments' borders
  for (const Segment& segment : segments) {
    if (segment.special == Special::AsText) {
      ordinary += segment.text;
      continue;
    }
    const std::string_view text = segment.text;
    for (size_t i = 0; i < text.size();) {
      const TokenId special = special_at(text.substr(i));
      if (special == kNoToken) {
        ordinary.push_back(text[i++]);
        continue;
      }
      encode_ordinary(ordinary, ids);
      ordinary.clear();
      ids.push_back(special);
      i += spec_.tokens[special].size();
    }
  }
  encode_ordinary(ordinary, ids);
  return ids;
}

std::string ByteBpe::decode(const std::vector<TokenId>& ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) {
    const size_t index = index_of(id);
    if (skip_special && spec_.is_special[index]) continue;
    bytes += bytes_of_id_[index];
  }
  return bytes;
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_bpe(ByteBpeSpec spec) { return std::make_unique<ByteBpe>(std::move(spec)); }

}  // namespace thinktune::text
