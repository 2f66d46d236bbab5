#include "text/pre_tokenizer.h"

#include <algorithm>

#include "text/unicode.h"
#include "text/utf8.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using Kind = PreTokenizerStep::Kind;
using Prefix = PreTokenizerStep::Prefix;

struct Part {
  size_t begin;
  size_t end;
  bool is_match;
};

// The text's parts, matches and what is between them.
std::vector<Part> parts_of(std::string_view text, const std::vector<Regex::Match>& matches) {
  std::vector<Part> parts;
  size_t from = 0;
  for (const auto& match : matches) {
    if (from != match.begin) parts.push_back({from, match.begin, false});
    parts.push_back({match.begin, match.end, true});
    from = match.end;
  }
  if (from != text.size()) parts.push_back({from, text.size(), false});
  return parts;
}

void put(std::string_view text, size_t begin, size_t end, std::vector<std::string_view>& out) {
  if (end > begin) out.push_back(text.substr(begin, end - begin));
}

// What a Split step makes of the parts; as `tokenizers` has it, to the oddities (after a removed or merged match the
// next match starts anew).
void join(std::string_view text, std::vector<Part> parts, SplitBehavior behavior, std::vector<std::string_view>& out) {
  if (behavior == SplitBehavior::Removed || behavior == SplitBehavior::Isolated) {
    for (const Part& part : parts)
      if (!part.is_match || behavior == SplitBehavior::Isolated) put(text, part.begin, part.end, out);
    return;
  }
  const bool from_the_back = behavior == SplitBehavior::MergedWithNext;
  if (from_the_back) std::reverse(parts.begin(), parts.end());
  std::vector<Part> joined;
  bool was_match = false;
  for (const Part& part : parts) {
    const bool joins = !joined.empty() && (behavior == SplitBehavior::Contiguous ? part.is_match == was_match
                                                                                 : part.is_match && !was_match);
    if (!joins) {
      joined.push_back(part);
    } else if (from_the_back) {
      joined.back().begin = part.begin;
    } else {
      joined.back().end = part.end;
    }
    was_match = part.is_match;
  }
  if (from_the_back) std::reverse(joined.begin(), joined.end());
  for (const Part& part : joined) put(text, part.begin, part.end, out);
}

std::vector<Regex::Match> find_literal(std::string_view text, std::string_view pattern) {
  std::vector<Regex::Match> matches;
  if (pattern.empty()) return matches;
  for (size_t at = text.find(pattern); at != std::string_view::npos; at = text.find(pattern, at + pattern.size()))
    matches.push_back({at, at + pattern.size()});
  return matches;
}

std::vector<Regex::Match> find_numbers(std::string_view text) {
  std::vector<Regex::Match> matches;
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_character_length(text.substr(at));
    if ((kind_of(utf8_code_point(text.data() + at, length)) & kNumber) != 0) matches.push_back({at, at + length});
    at += length;
  }
  return matches;
}

// Spaces as the replacement, and one before the text if it is to have one and does not begin with one.
std::string with_space_marks(std::string_view text, std::string_view mark, bool prefix) {
  std::string marked;
  for (const char c : text)
    if (c == ' ') {
      marked += mark;
    } else {
      marked.push_back(c);
    }
  return prefix && !marked.empty() && !marked.starts_with(mark) ? std::string(mark) + marked : marked;
}

}  // namespace

PreTokenizer::PreTokenizer(const std::vector<PreTokenizerStep>& steps, const std::string& where) {
  const auto tiles = [](const PreTokenizerStep& step) {
    return step.behavior == SplitBehavior::Isolated ? !step.invert
                                                    : step.behavior == SplitBehavior::Removed && step.invert;
  };
  for (const PreTokenizerStep& spec : steps) {
    Step step{spec, {}, {}};
    if (spec.kind == Kind::Split && spec.is_regex) {
      if (tiles(spec)) step.scanner = pattern_of_regex(spec.pattern);
      if (!step.scanner) step.regex.emplace(spec.pattern, where);
    }
    if (spec.kind == Kind::ByteLevel && spec.split) step.scanner = WordPattern::Gpt2;
    // A ByteLevel step that neither splits nor prefixes has nothing to do here.
    if (spec.kind != Kind::ByteLevel || spec.split || spec.prefix != Prefix::Never) steps_.push_back(std::move(step));
  }
  if (steps_.size() == 1 && steps_[0].scanner && steps_[0].spec.prefix == Prefix::Never) fast_ = steps_[0].scanner;
  if (steps_.size() == 2 && steps_[0].spec.kind == Kind::Digits && steps_[0].spec.individual_digits &&
      steps_[1].scanner == WordPattern::Gpt2 && steps_[1].spec.prefix == Prefix::Never)
    fast_ = WordPattern::Gpt2DigitsApart;
}

// `word` is UTF-8.
void PreTokenizer::split_word(const Step& step, std::string_view word, std::vector<std::string_view>& out) {
  const PreTokenizerStep& spec = step.spec;
  if (step.scanner) {
    while (!word.empty()) {
      const size_t size = first_word(*step.scanner, word);
      out.push_back(word.substr(0, size));
      word.remove_prefix(size);
    }
    return;
  }
  std::vector<Regex::Match> matches;
  SplitBehavior behavior = spec.behavior;
  if (spec.kind == Kind::Digits) {
    matches = find_numbers(word);
    behavior = spec.individual_digits ? SplitBehavior::Isolated : SplitBehavior::Contiguous;
  } else if (spec.kind == Kind::Metaspace) {
    matches = find_literal(word, spec.replacement);
    behavior = SplitBehavior::MergedWithNext;
  } else if (step.regex) {
    step.regex->find_all(word, matches);
  } else {
    matches = find_literal(word, spec.pattern);
  }
  std::vector<Part> parts = parts_of(word, matches);
  if (spec.invert)
    for (Part& part : parts) part.is_match = !part.is_match;
  join(word, std::move(parts), behavior, out);
}

void PreTokenizer::split(std::string_view text, bool is_first, bool with_prefix, Words& words) const {
  if (!text.empty()) words.words.push_back(text);
  std::vector<std::string_view> next;
  for (const Step& step : steps_) {
    next.clear();
    for (std::string_view word : words.words) {
      // "First" is the text's very start, which only the first word can be at.
      const bool at_start = word.data() == words.words.front().data();
      const bool prefixed =
          step.spec.prefix == Prefix::Always || (step.spec.prefix == Prefix::First && is_first && at_start);
      if (step.spec.kind == Kind::Metaspace) {
        words.storage.push_back(with_space_marks(word, step.spec.replacement, prefixed && (with_prefix || !at_start)));
        word = words.storage.back();
      } else if (step.spec.kind == Kind::ByteLevel && prefixed && (with_prefix || !at_start) && word[0] != ' ') {
        words.storage.push_back(std::string(1, ' ').append(word));
        word = words.storage.back();
      }
      if ((step.spec.kind == Kind::Metaspace || step.spec.kind == Kind::ByteLevel) && !step.spec.split) {
        if (!word.empty()) next.push_back(word);
        continue;
      }
      while (!word.empty()) {
        const size_t valid = utf8_valid_length(word);
        if (valid > 0) split_word(step, word.substr(0, valid), next);
        word.remove_prefix(valid);
        if (word.empty()) break;
        next.push_back(word.substr(0, 1));
        word.remove_prefix(1);
      }
    }
    words.words.swap(next);
  }
}

}  // namespace thinktune::text
