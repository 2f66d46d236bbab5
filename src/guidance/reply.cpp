#include "thinktune/guidance/reply.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace thinktune::guidance {
namespace {

constexpr std::string_view kWhiteSpace = " \t\n\v\f\r";

// Where the opening and the closing tag of a part stand.
struct Span {
  size_t open = 0;   // first character of the opening tag
  size_t begin = 0;  // first character between the tags
  size_t end = 0;    // first character of the closing tag
  size_t close = 0;  // behind the closing tag
};

std::string opening(size_t part) { return reply_tags()[2 * part]; }
std::string closing(size_t part) { return reply_tags()[2 * part + 1]; }

bool is_blank(std::string_view text) { return stripped(text).empty(); }

ParsedReply failed(ReplyError error) { return {.error = error}; }

// Cuts at the first empty line: "\n" and a line of nothing but blanks.
std::string_view first_paragraph(std::string_view text) {
  for (size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    const size_t next = text.find_first_not_of(" \t\r\v\f", at + 1);
    if (next != std::string_view::npos && text[next] == '\n') return text.substr(0, at);
  }
  return text;
}

}  // namespace

const std::vector<std::string>& reply_tags() {
  static const std::vector<std::string> tags = {"<opinion>", "</opinion>", "<reason>",
                                                "</reason>", "<phrase>",   "</phrase>"};
  return tags;
}

std::string_view stripped(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) - begin + 1);
}

ParsedReply parse_reply(std::string_view text, bool ended) {
  if (!ended) return failed(ReplyError::NotEnded);
  for (const std::string& tag : reply_tags()) {
    const size_t at = text.find(tag);
    if (at != std::string_view::npos && text.find(tag, at + tag.size()) != std::string_view::npos)
      return failed(ReplyError::RepeatedTag);
  }

  constexpr std::array kMissing = {ReplyError::MissingOpinion, ReplyError::MissingReason, ReplyError::MissingPhrase};
  std::array<Span, 3> parts;
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].open = text.find(opening(i));
    parts[i].end = text.find(closing(i));
    if (parts[i].open == std::string_view::npos || parts[i].end == std::string_view::npos) return failed(kMissing[i]);
    parts[i].begin = parts[i].open + opening(i).size();
    parts[i].close = parts[i].end + closing(i).size();
  }

  size_t at = 0;
  for (const Span& part : parts) {
    if (part.open < at || part.end < part.begin) return failed(ReplyError::WrongOrder);
    at = part.close;
  }
  at = 0;
  for (const Span& part : parts) {
    if (!is_blank(text.substr(at, part.open - at))) return failed(ReplyError::TextOutsideTags);
    at = part.close;
  }
  if (!is_blank(text.substr(at))) return failed(ReplyError::TextOutsideTags);

  const auto content = [&](const Span& part) {
    return std::string(stripped(text.substr(part.begin, part.end - part.begin)));
  };
  ParsedReply reply{.opinion = content(parts[0]), .reason = content(parts[1]), .phrase = content(parts[2])};
  if (reply.opinion != kCorrect && reply.opinion != kIncorrect) return failed(ReplyError::BadOpinion);
  if (reply.reason.empty()) return failed(ReplyError::EmptyReason);
  if (reply.phrase.empty()) return failed(ReplyError::EmptyPhrase);
  return reply;
}

std::string format_reply(std::string_view opinion, std::string_view reason, std::string_view phrase) {
  return fmt::format("{}{}{}{}{}{}{}", kBeforeOpinion, opinion, kBeforeReason, reason, kBeforePhrase, phrase,
                     kAfterPhrase);
}

std::string trim_part(std::string_view generated) {
  size_t end = generated.size();
  for (const std::string& tag : reply_tags()) end = std::min(end, generated.find(tag));
  std::string_view text = stripped(generated.substr(0, end));
  for (size_t part = 0; part < 3; ++part) {
    const std::string tag = closing(part);
    for (size_t length = tag.size() - 1; length >= 2; --length) {
      if (!text.ends_with(std::string_view(tag).substr(0, length))) continue;
      text = text.substr(0, text.size() - length);
      break;
    }
  }
  return std::string(stripped(first_paragraph(stripped(text))));
}

}  // namespace thinktune::guidance
