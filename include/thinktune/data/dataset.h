// Problems: from a JSONL file or from the built-in generator.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/rollout/types.h"

namespace thinktune::data {

// One problem. `messages` replaces `problem` as the conversation where the file gives chat turns.
struct Problem {
  std::string id;
  std::string problem;                         // the question; for chat turns the last user turn
  std::string answer;                          // gold
  std::string solution;                        // worked solution, or empty
  std::vector<std::string> choices;            // of a multiple choice, the first is A; else empty
  std::vector<rollout::ChatMessage> messages;  // empty unless the file has them
};

// A JSONL file, one object a line: {"id", "problem" or "messages", "answer"[, "solution"][, "choices"]}. `id` may be
// absent (then "<file name>:<line>"); `choices` is a list of 2 … 26 texts, and the answer then the letter of one.
// Numbers are accepted as answers and ids, null counts as absent, other fields are not looked at. `messages` is a list
// of {"role", "content"} that ends with a user turn; only the first turn may be a system turn. Blank lines, CRLF and a
// UTF-8 byte order mark are accepted. Throws Error{Data} naming file and line for a line that is no JSON object, is
// longer than 16 MB or nested deeper than 64, has no question or no answer, has a field of the wrong type, or repeats
// an id; and for a file without a problem.
std::vector<Problem> read_jsonl(const std::filesystem::path& file);

enum class ArithmeticSplit { Train, HeldOut };

// Graded arithmetic word problems with exact answers and worked solutions.
struct ArithmeticOptions {
  int64_t num_train = 512;
  int64_t num_heldout = 200;
  std::vector<std::string> levels = {"add_sub_25", "mul_9"};  // mixed evenly; see arithmetic_levels()
  int64_t seed = 1;
};
void describe(core::Fields& fields, ArithmeticOptions& options);
void validate(const ArithmeticOptions& options);

// Names of all levels, easiest first.
const std::vector<std::string>& arithmetic_levels();

// A function of the options alone; a smaller num_train or num_heldout gives the beginning of the same list. The operand
// tuples of the two splits never overlap (in either order, for a sum or a product), so a held-out answer cannot be a
// remembered number fact. Throws Error{User} if a level has too few distinct problems for the numbers asked for.
std::vector<Problem> generate_arithmetic(const ArithmeticOptions& options, ArithmeticSplit split);

// Two worked examples in the generator's form: 3 * 4 and 19 - 6. Their number facts are in neither split, in no level.
std::vector<Problem> arithmetic_examples();

}  // namespace thinktune::data
