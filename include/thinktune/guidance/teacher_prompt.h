// What the teacher is asked: a system text, example exchanges, then the question with the student's response. All of it
// comes from a JSON file that the user can replace:
//
//   {"system": "…",
//    "examples": [{"question": "…", "response": "…", "opinion": "correct" | "incorrect", "reason": "…", "phrase": "…",
//                  "answer": "…", "solution": "…"}, …]}
//
// `answer` and `solution` are needed in every example if teacher_sees asks for them, and may be absent otherwise.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/core/types.h"
#include "thinktune/guidance/options.h"

namespace thinktune::guidance {

struct TeacherExample {
  std::string question;
  std::string response;
  std::string answer;
  std::string solution;
  std::string opinion;  // "correct" or "incorrect"
  std::string reason;
  std::string phrase;
};

// One exercise as the teacher is to see it.
struct Exercise {
  std::string_view question;
  std::string_view response;
  std::string_view answer;
  std::string_view solution;
};

struct PromptView {
  TeacherSees teacher_sees = TeacherSees::Nothing;
  bool repeat_question = false;
};

// The user turn. Blocks with a heading line each, an empty line between them: question; the
// student's response, stripped of white space; answer or worked solution; the question again if asked. Tags inside the
// response are left alone: the reply is read by itself, never searched for in the prompt.
std::string render_exercise(const Exercise& exercise, const PromptView& view);

class TeacherPrompt {
 public:
  // Throw Error{Data} naming file, example and field: not JSON, a field missing, unknown or of the wrong
  // type, an empty text, an opinion that is neither, a reply that would not be valid itself. `where` names the source
  // in messages.
  static TeacherPrompt parse(std::string_view json, const std::string& where);
  static TeacherPrompt read(const std::filesystem::path& file);
  static TeacherPrompt built_in();  // configs/teacher/general.json as it was when the program was built

  // built_in() for an empty prompt_file, else that file.
  static TeacherPrompt from(const GuidanceOptions& options);

  // System text and examples as chat turns: system, then user and assistant for each. Throws Error{Data} if an example
  // lacks the answer or solution that the view shows.
  std::vector<core::ChatMessage> fixed_messages(const PromptView& view) const;

  // The user turn that goes behind them.
  static core::ChatMessage request_message(const Exercise& exercise, const PromptView& view);

  // XXH3 of system text and examples, hexadecimal: whatever the file's layout.
  std::string checksum() const;

  const std::string& system() const { return system_; }
  const std::vector<TeacherExample>& examples() const { return examples_; }

 private:
  std::string where_;
  std::string system_;
  std::vector<TeacherExample> examples_;
};

}  // namespace thinktune::guidance
