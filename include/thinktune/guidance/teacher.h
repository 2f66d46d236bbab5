// Who comments on a rollout. The trainer has the frozen initial model as its teacher; unit tests have a scripted one.
#pragma once

#include <string>
#include <vector>

#include "thinktune/core/types.h"

namespace thinktune::guidance {

struct TeacherRequest {
  std::vector<core::ChatMessage>
      messages;                // the question with the student's response, behind the fixed system text and examples
  std::string forced_opinion;  // "correct" or "incorrect" where a verifier gives it; empty: the teacher decides
};

struct TeacherReply {
  std::string text;    // the whole reply, without the end-of-turn token
  bool ended = false;  // it ended by itself (always so in constrained format)
};

class Teacher {
 public:
  virtual ~Teacher() = default;
  // One reply a request, in order. Deterministic.
  virtual std::vector<TeacherReply> reply(const std::vector<TeacherRequest>& requests) = 0;
};

}  // namespace thinktune::guidance
