// How a benchmark is asked and judged. A protocol is a named, versioned set of tasks, one a suite, with everything that
// decides a number: prompt, worked examples, sampling, stop texts, limit, what counts as the answer, comparison,
// metric. A published protocol is followed to the letter where this program can; where it cannot, the task's `differs`
// says so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/core/types.h"
#include "thinktune/data/prompts.h"
#include "thinktune/eval/suites.h"

namespace thinktune::eval {

enum class PromptForm {
  Chat,   // a user turn in the model's own chat template
  Raw,    // the text alone, behind what the tokenizer puts before every text
  Score,  // the text alone; each choice is scored by its log-probability behind it, nothing is drawn
};
inline const core::Choices<PromptForm> kPromptFormNames = {
    {"chat", PromptForm::Chat}, {"raw", PromptForm::Raw}, {"score", PromptForm::Score}};

// What finds an answer in a text. The first seven are the reward's rules (reward/extraction.h), the others what the
// published protocols do, each with the regular expression that it equals.
enum class Finder {
  Box,
  Tag,
  Hashes,
  Phrase,
  Choice,
  Math,
  LastNumber,
  FirstHashes,          // first  #### (\-?[0-9\.\,]+)
  LastNumeral,          // last   (-?[$0-9.,]{2,})|(-?[0-9]+)
  MinervaSentence,      // first  Final Answer: The final answer is(.*?). I hope it is correct.
  TheAnswerIs,          // first  (?<=The answer is )(.*)(?=.)
  ParenthesisedLetter,  // last   (\([A-Z]\)), else a choice's text, else :[\s]*(A|B|C|D)
  DollarsOrBox,         // last \boxed, else from the first $ to the last one, else the whole text
  FirstAnswerLine,      // first  (?i)Answer\s*:\s*([^\n]+)
  FirstAnswerLetter,    // first  (?i)Answer[ \t]*:[ \t]*\$?([A-D])\$?
  LastAnswerLine,       // last   (?i)Answer\s*:\s*([^\n]+)
};
inline const core::Choices<Finder> kFinderNames = {{"box", Finder::Box},
                                                   {"tag", Finder::Tag},
                                                   {"hashes", Finder::Hashes},
                                                   {"phrase", Finder::Phrase},
                                                   {"choice", Finder::Choice},
                                                   {"math", Finder::Math},
                                                   {"last_number", Finder::LastNumber},
                                                   {"first_hashes", Finder::FirstHashes},
                                                   {"last_numeral", Finder::LastNumeral},
                                                   {"minerva_sentence", Finder::MinervaSentence},
                                                   {"the_answer_is", Finder::TheAnswerIs},
                                                   {"parenthesised_letter", Finder::ParenthesisedLetter},
                                                   {"dollars_or_box", Finder::DollarsOrBox},
                                                   {"first_answer_line", Finder::FirstAnswerLine},
                                                   {"first_answer_letter", Finder::FirstAnswerLetter},
                                                   {"last_answer_line", Finder::LastAnswerLine}};

enum class Comparison {
  Mathematics,   // reward/equality.h
  Letter,        // the letter of a choice, however it is dressed up: "(B)", "\text{B}", "B. Iron"
  LetterAsText,  // the letter, after case and punctuation are taken away
  Numeral,       // the same text after , $ a final . and all up to #### are taken away, without regard to case
  ExactText,     // byte by byte
};
inline const core::Choices<Comparison> kComparisonNames = {{"mathematics", Comparison::Mathematics},
                                                           {"letter", Comparison::Letter},
                                                           {"letter_as_text", Comparison::LetterAsText},
                                                           {"numeral", Comparison::Numeral},
                                                           {"exact_text", Comparison::ExactText}};

struct Task {
  std::string suite;  // its name, or kAnyMath, kAnyChoice
  PromptForm form = PromptForm::Chat;
  std::string system;          // system turn; empty: none of ours
  std::string question;        // {problem}, {choices} and {letters} ("ABCD") are replaced
  std::string choice;          // a line of {choices}: {letter}, {text}
  bool tidy_choices = false;   // as lm-evaluation-harness does for GPQA: trimmed, " [title]" and brackets removed
  std::string example_answer;  // behind the question of a worked example: {solution}; examples are joined by "\n\n"
  int64_t num_examples = 0;
  std::string examples_file;    // below the data folder
  std::string examples_source;  // where it is published, for who does not have it
  double temperature = 0;       // 0: greedy
  double top_p = 1;
  int64_t samples = 1;
  int64_t max_new_tokens = 1024;
  std::vector<std::string> stop;
  std::vector<Finder> strict;  // the first that finds something decides
  std::vector<Finder> lenient;
  Comparison compare_strict = Comparison::Mathematics;
  Comparison compare_lenient = Comparison::Mathematics;
  std::string decides = "strict";  // which of measures() is the headline
  bool needs_end = false;          // a response that was cut at the limit is no success, whatever it says
  std::string differs;             // from what is published; empty: nothing known

  // What is measured of every sample: "strict", "lenient"; of a scored one "acc", "acc_norm", "acc_bytes".
  std::vector<std::string> measures() const;
};
inline constexpr const char* kAnyMath = "any math";      // every suite whose answer is an expression
inline constexpr const char* kAnyChoice = "any choice";  // every multiple choice

struct Protocol {
  std::string name;
  int64_t version = 1;
  std::string source;
  std::vector<Task> tasks;

  std::string full_name() const;  // "lm-eval/1"
};

const std::vector<Protocol>& protocols();

// "lm-eval/1", or "lm-eval" for its newest version. Throws Error{User} for an unknown one, with those there are.
const Protocol& find_protocol(std::string_view name);

// What a user sets in place of the protocol's own.
struct Overrides {
  std::optional<int64_t> samples;
  std::optional<int64_t> max_new_tokens;
  std::optional<double> temperature;
  std::optional<double> top_p;
};

// A task as it will be run, with its suite.
struct ResolvedTask {
  std::string protocol;              // full name
  Task task;                         // `suite` is the suite's own name
  std::vector<std::string> changed;  // settings in which it is not the protocol's own: "temperature"
};

// Throws Error{User} if the protocol does not define the suite (listing those that it does), and for overrides that
// make no sense: several samples of greedy decoding, any for a scored task.
ResolvedTask resolve_task(const Protocol& protocol, const std::string& suite, SuiteKind kind,
                          const Overrides& overrides);

// The task's worked examples: the first num_examples of its file. Throws Error{User} if it is not below data_dir,
// saying what it is and where it is published, or if it has too few.
std::vector<data::Example> load_examples(const Task& task, const std::filesystem::path& data_dir);

// The text of the user turn, or the raw text, worked examples included. Replaced text is never searched again.
std::string render_question(const Task& task, const data::Problem& problem, const std::vector<data::Example>& examples);

// One choice as it stands in {choices}; of a scored task, what is scored behind the question.
std::string render_choice(const Task& task, const data::Problem& problem, size_t index);

// Everything above, for summary.json.
nlohmann::ordered_json to_json(const ResolvedTask& resolved);

}  // namespace thinktune::eval
