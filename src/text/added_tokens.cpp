#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"
#include "text/utf8.h"

namespace thinktune::text {
namespace {

// Kind of the last character of a text, 0 if there is none.
uint8_t last_kind(std::string_view text) {
  for (size_t length = 1; length <= 4 && length <= text.size(); ++length) {
    const std::string_view end = text.substr(text.size() - length);
    if (utf8_character_length(end) == length) return kind_of(utf8_code_point(end.data(), length));
  }
  return 0;
}

uint8_t first_kind(std::string_view text) {
  const size_t length = utf8_character_length(text);
  return length == 0 ? 0 : kind_of(utf8_code_point(text.data(), length));
}

// Where the white space at the end of `text` begins, not before `limit`.
size_t trailing_space(std::string_view text, size_t limit) {
  size_t end = text.size();
  while (end > limit && (last_kind(text.substr(0, end)) & kSpace) != 0) {
    do --end;
    while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  }
  return std::max(end, limit);
}

size_t leading_space(std::string_view text) {
  size_t size = 0;
  while ((first_kind(text.substr(size)) & kSpace) != 0) size += utf8_character_length(text.substr(size));
  return size;
}

}  // namespace

MarkedText MarkedText::slice(size_t begin, size_t end) const {
  MarkedText out{text.substr(begin, end - begin), {}};
  auto part = std::upper_bound(parts.begin(), parts.end(), begin, [](size_t at, const Part& p) { return at < p.end; });
  for (; part != parts.end(); ++part) {
    out.parts.push_back({std::min(part->end, end) - begin, part->special});
    if (part->end >= end) break;
  }
  return out;
}

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  starts_.fill(false);
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const auto& a, const auto& b) { return a.content < b.content; });
  const auto same = [](const auto& a, const auto& b) { return a.content == b.content; };
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same), tokens_.end());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const auto byte = static_cast<unsigned char>(tokens_[i].content[0]);
    if (!starts_[byte]) ranges_[byte].first = i;
    starts_[byte] = true;
    ranges_[byte].last = i + 1;
    has_special_ = has_special_ || tokens_[i].special;
  }
}

// Indices of the tokens that `text` begins with, the shortest first.
void AddedTokenFinder::candidates_at(std::string_view text, std::vector<size_t>& found) const {
  found.clear();
  Range range = ranges_[static_cast<unsigned char>(text[0])];
  for (size_t size = 1; range.first < range.last; ++size) {
    if (tokens_[range.first].content.size() == size) found.push_back(range.first++);
    if (size == text.size()) return;
    const auto byte_at = [&](const AddedToken& token) { return static_cast<unsigned char>(token.content[size]); };
    const auto wanted = static_cast<unsigned char>(text[size]);
    const auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(range.first);
    const auto end = tokens_.begin() + static_cast<std::ptrdiff_t>(range.last);
    const auto low =
        std::lower_bound(begin, end, wanted, [&](const auto& t, unsigned char b) { return byte_at(t) < b; });
    const auto high =
        std::upper_bound(low, end, wanted, [&](unsigned char b, const auto& t) { return b < byte_at(t); });
    range = {static_cast<size_t>(low - tokens_.begin()), static_cast<size_t>(high - tokens_.begin())};
  }
}

AddedTokenFinder::Verdict AddedTokenFinder::judge(const AddedToken& token, size_t begin, const MarkedText& marked,
                                                  size_t part) {
  if (!token.special) return Verdict::Taken;
  if (begin + token.content.size() > marked.parts[part].end) return Verdict::Shorter;
  return marked.parts[part].special == Special::Parse ? Verdict::Taken : Verdict::PassedOver;
}

void AddedTokenFinder::find(const MarkedText& marked, std::vector<Stretch>& stretches) const {
  stretches.clear();
  const std::string_view text = marked.text;
  std::vector<size_t> candidates;
  size_t start = 0;  // of what no stretch holds yet
  size_t part = 0;
  for (size_t i = 0; i < text.size() && !tokens_.empty();) {
    if (!starts_[static_cast<unsigned char>(text[i])]) {
      ++i;
      continue;
    }
    while (marked.parts[part].end <= i) ++part;
    candidates_at(text.substr(i), candidates);
    const AddedToken* token = nullptr;
    Verdict verdict = Verdict::Shorter;
    while (!candidates.empty() && verdict == Verdict::Shorter) {
      token = &tokens_[candidates.back()];
      verdict = judge(*token, i, marked, part);
      candidates.pop_back();
    }
    if (verdict == Verdict::Shorter) {
      ++i;
      continue;
    }
    size_t begin = i;
    size_t end = i + token->content.size();
    i = end;
    if (verdict == Verdict::PassedOver) continue;
    if (token->single_word &&
        ((last_kind(text.substr(0, begin)) & kWordPart) != 0 || (first_kind(text.substr(end)) & kWordPart) != 0))
      continue;
    if (token->lstrip) begin = trailing_space(text.substr(0, begin), std::min(start, begin));
    if (token->rstrip) end += leading_space(text.substr(end));
    if (start < begin) stretches.push_back({-1, start, begin});
    stretches.push_back({token->id, begin, end});
    start = end;
    // The reference goes on looking behind the token itself: one that begins in white space that rstrip took in is
    // still found.
  }
  if (start < text.size()) stretches.push_back({-1, start, text.size()});
}

}  // namespace thinktune::text
