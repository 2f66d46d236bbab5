#include "text/normalizer.h"

#include "text/unicode.h"
#include "text/utf8.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using Kind = NormalizerStep::Kind;

// Applies `f` to each stretch of UTF-8 and copies the bytes between them.
template <typename F>
std::string for_valid_parts(std::string_view text, F&& f) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = utf8_valid_length(text);
    if (valid > 0) out += f(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) break;
    out.push_back(text[0]);
    text.remove_prefix(1);
  }
  return out;
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  size_t from = 0;
  for (size_t at = text.find(pattern); at != std::string_view::npos; at = text.find(pattern, from)) {
    out += text.substr(from, at - from);
    out += content;
    from = at + pattern.size();
  }
  return out += text.substr(from);
}

std::string replace_matches(std::string_view text, const Regex& regex, std::string_view content) {
  std::vector<Regex::Match> matches;
  regex.find_all(text, matches);
  std::string out;
  size_t from = 0;
  for (const auto& match : matches) {
    out += text.substr(from, match.begin - from);
    out += content;
    from = match.end;
  }
  return out += text.substr(from);
}

NormalForm form_of(Kind kind) {
  switch (kind) {
    case Kind::Nfc:
      return NormalForm::Nfc;
    case Kind::Nfd:
      return NormalForm::Nfd;
    case Kind::Nfkc:
      return NormalForm::Nfkc;
    default:
      return NormalForm::Nfkd;
  }
}

}  // namespace

Normalizer::Normalizer(const std::vector<NormalizerStep>& steps, const std::string& where) {
  for (const NormalizerStep& step : steps) {
    steps_.push_back({step, {}});
    if (step.kind == Kind::Replace && step.is_regex) steps_.back().regex.emplace_back(step.pattern, where);
  }
}

std::string_view Normalizer::apply(std::string_view text, bool with_prefix, std::string& buffer) const {
  for (const Step& step : steps_) {
    const NormalizerStep& spec = step.spec;
    if (spec.kind == Kind::Prepend) {
      if (!with_prefix || text.empty()) continue;
      std::string next = spec.content;
      next += text;
      buffer = std::move(next);
    } else if (spec.kind == Kind::Replace) {
      if (step.regex.empty()) {
        if (spec.pattern.empty() || text.find(spec.pattern) == std::string_view::npos) continue;
        buffer = replace_all(text, spec.pattern, spec.content);
      } else {
        buffer = for_valid_parts(
            text, [&](std::string_view part) { return replace_matches(part, step.regex[0], spec.content); });
      }
    } else {
      const NormalForm form = form_of(spec.kind);
      if (is_surely_in_normal_form(text, form)) continue;
      buffer = for_valid_parts(text, [&](std::string_view part) { return to_normal_form(part, form); });
    }
    text = buffer;
  }
  return text;
}

}  // namespace thinktune::text
