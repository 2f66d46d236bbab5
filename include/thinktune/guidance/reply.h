// The teacher's reply: three tagged parts, written and read in one form,
//
//   <opinion>correct|incorrect</opinion><reason>…</reason>
//   <phrase>…</phrase>
//
// Reading is strict: a reply that is anything else is a value with a reason, and the rollout stays as it was.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thinktune/core/options.h"

namespace thinktune::guidance {

inline constexpr std::string_view kCorrect = "correct";
inline constexpr std::string_view kIncorrect = "incorrect";

// The pieces of the form, in order. Where the teacher's format is constrained they are written for it.
inline constexpr std::string_view kBeforeOpinion = "<opinion>";
inline constexpr std::string_view kBeforeReason = "</opinion><reason>";
inline constexpr std::string_view kBeforePhrase = "</reason>\n<phrase>";
inline constexpr std::string_view kAfterPhrase = "</phrase>";

enum class ReplyError {
  None,
  NotEnded,        // cut at the limit of generation
  RepeatedTag,     // one of the six tags occurs twice
  MissingOpinion,  // opening or closing tag absent; the same for the two below
  MissingReason,
  MissingPhrase,
  WrongOrder,       // all six tags, not in the order of the form
  TextOutsideTags,  // something other than white space before, between or behind the parts
  BadOpinion,       // neither "correct" nor "incorrect"
  EmptyReason,
  EmptyPhrase,
};
inline const core::Choices<ReplyError> kReplyErrorNames = {{"none", ReplyError::None},
                                                           {"not_ended", ReplyError::NotEnded},
                                                           {"repeated_tag", ReplyError::RepeatedTag},
                                                           {"missing_opinion", ReplyError::MissingOpinion},
                                                           {"missing_reason", ReplyError::MissingReason},
                                                           {"missing_phrase", ReplyError::MissingPhrase},
                                                           {"wrong_order", ReplyError::WrongOrder},
                                                           {"text_outside_tags", ReplyError::TextOutsideTags},
                                                           {"bad_opinion", ReplyError::BadOpinion},
                                                           {"empty_reason", ReplyError::EmptyReason},
                                                           {"empty_phrase", ReplyError::EmptyPhrase}};

// The parts are stripped of white space at both ends and empty unless `error` is None. They may hold '<' and other
// tags.
struct ParsedReply {
  ReplyError error = ReplyError::None;
  std::string opinion;  // "correct" or "incorrect"
  std::string reason;
  std::string phrase;
};

// Checks in the order of the enumeration and reports the first that fails. `ended`: the reply ended with an end-of-turn
// token. Never throws for what a model wrote; linear in the text's length.
ParsedReply parse_reply(std::string_view text, bool ended);

// The parts in the form above, as they are given.
std::string format_reply(std::string_view opinion, std::string_view reason, std::string_view phrase);

// One part as a teacher wrote it behind its opening tag, up to what it meant as the end: cut at the first of the six
// tags, then white space stripped at both ends, then cut at the first empty line. A closing tag that generation broke
// off ("</rea" at the very end) goes too. For the constrained format.
std::string trim_part(std::string_view generated);

// The six tags: "<opinion>", "</opinion>", …
const std::vector<std::string>& reply_tags();

// Without white space at both ends (space, \t, \n, \v, \f, \r).
std::string_view stripped(std::string_view text);

}  // namespace thinktune::guidance
