#include <algorithm>
#include <map>

#include "eval/csv.h"
#include "thinktune/core/error.h"
#include "thinktune/core/random.h"
#include "thinktune/eval/suites.h"

namespace thinktune::eval {
namespace {

constexpr const char* kAnswers[] = {"Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"};

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; }

}  // namespace

std::vector<data::Problem> read_gpqa(const std::filesystem::path& file) {
  const CsvTable table = CsvTable::from_file(file);
  const size_t question = table.column("Question"), id = table.column("Record ID");
  size_t answers[4];
  for (size_t i = 0; i < 4; ++i) answers[i] = table.column(kAnswers[i]);
  std::vector<data::Problem> problems;
  std::map<std::string, size_t> line_of;  // id → line
  for (const CsvRow& row : table.rows()) {
    const std::string where = fmt::format("{}:{}", file.string(), row.line);
    const auto field = [&](size_t column) -> const std::string& {
      if (is_blank(row.fields[column]))
        throw core::data_error(fmt::format("{}: \"{}\" is empty", where, table.header()[column]));
      return row.fields[column];
    };
    data::Problem problem;
    problem.id = field(id);
    problem.problem = field(question);
    const auto [first, is_new] = line_of.emplace(problem.id, row.line);
    if (!is_new)
      throw core::data_error(
          fmt::format("{}: the record \"{}\" is already that of line {}", where, problem.id, first->second));
    const core::RandomKey key = {
        .seed = kGpqaShuffleSeed, .stream = core::Stream::Choices, .prompt = hash_of(problem.id)};
    for (const uint32_t which : core::random_permutation(key, 4)) {
      if (which == 0) problem.answer = static_cast<char>('A' + std::ssize(problem.choices));
      problem.choices.push_back(field(answers[which]));
    }
    problems.push_back(std::move(problem));
  }
  if (problems.empty()) throw core::data_error(fmt::format("{}: there is no row below the header", file.string()));
  return problems;
}

}  // namespace thinktune::eval
