// Graded arithmetic word problems: which number facts (facts.h), in which words (arithmetic_wordings.h), in which
// order.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "data/arithmetic_wordings.h"
#include "data/facts.h"
#include "thinktune/core/error.h"
#include "thinktune/core/random.h"
#include "thinktune/data/dataset.h"

namespace thinktune::data {
namespace {

constexpr int64_t kMaxProblems = 1'000'000;
constexpr uint32_t kMaxAttempts = 1000;  // to find a wording that was not used yet; see capacity()
constexpr int kMaxSecondOperand = 20;    // of two_step

// What the Generator stream's numbers are for: `step` of the key. Step 0 belongs to Facts.
constexpr uint64_t kStepOrder = 1, kStepWording = 2;

// One calculation, without its words.
struct Task {
  Operation operation;
  std::array<int, 3> operands;
};
using Tasks = std::vector<Task>;

struct Sides {
  const Facts& facts;
  FactSide side;

  bool sum(int a, int b) const { return facts.of_sum(a, b) == side; }
  bool product(int a, int b) const { return facts.of_product(a, b) == side; }
};

// All calculations of a level on one side of the split: one list for each operation, which take turns.
using Level = std::vector<Tasks> (*)(const Sides&);

// Addition and subtraction within kMax: no number of a problem is larger, the sum included.
template <int kMax>
std::vector<Tasks> add_sub(const Sides& sides) {
  Tasks add, subtract;
  for (int a = 2; a <= kMax; ++a)
    for (int b = a; a + b <= kMax; ++b) {
      if (!sides.sum(a, b)) continue;
      add.push_back({Operation::Add, {a, b}});
      subtract.push_back({Operation::Subtract, {a + b, a}});
      if (a != b) subtract.push_back({Operation::Subtract, {a + b, b}});
    }
  return {add, subtract};
}

template <int kMaxSmall, int kMinLarge, int kMaxLarge>
std::vector<Tasks> multiply(const Sides& sides) {
  Tasks tasks;
  for (int a = 2; a <= kMaxSmall; ++a)
    for (int b = std::max(a, kMinLarge); b <= kMaxLarge; ++b)
      if (sides.product(a, b)) tasks.push_back({Operation::Multiply, {a, b}});
  return {tasks};
}

template <int kMax>
std::vector<Tasks> divide(const Sides& sides) {
  Tasks tasks;
  for (int a = 2; a <= kMax; ++a)
    for (int b = a; b <= kMax; ++b) {
      if (!sides.product(a, b)) continue;
      tasks.push_back({Operation::Divide, {a * b, a}});
      if (a != b) tasks.push_back({Operation::Divide, {a * b, b}});
    }
  return {tasks};
}

// Both steps' facts are on the same side.
std::vector<Tasks> two_step(const Sides& sides) {
  Tasks add, subtract;
  for (int a = 2; a <= 9; ++a)
    for (int b = a; b <= 9; ++b)
      for (int c = 2; sides.product(a, b) && c <= kMaxSecondOperand; ++c) {
        if (sides.sum(a * b, c)) add.push_back({Operation::MultiplyAdd, {a, b, c}});
        if (a * b - c >= 2 && sides.sum(c, a * b - c)) subtract.push_back({Operation::MultiplySubtract, {a, b, c}});
      }
  return {add, subtract};
}

constexpr std::pair<std::string_view, Level> kLevels[] = {
    {"add_sub_10", add_sub<10>}, {"add_sub_25", add_sub<25>},     {"mul_9", multiply<9, 2, 9>},
    {"div_9", divide<9>},        {"mul_12", multiply<12, 2, 12>}, {"add_sub_100", add_sub<100>},
    {"two_step", two_step},      {"mul_99", multiply<9, 11, 99>}};

size_t level_index(const std::string& name) {
  const auto& names = arithmetic_levels();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw core::user_error(fmt::format("data.arithmetic.levels has \"{}\", which is no level", name),
                           fmt::format("levels are: {}", fmt::join(names, ", ")));
  return static_cast<size_t>(found - names.begin());
}

struct Worked {
  int answer;
  std::string solution;
};

// The equation comes first, without a word before it that names the operation: a small model commits itself to such a
// word, and reinforcement then pushes that word whatever the question (seen: "We add: 9 * 7 = 54").
Worked work_out(const Task& task) {
  const auto [x, y, z] = task.operands;
  const auto worked = [](int answer, const std::string& steps) {
    return Worked{answer, fmt::format("{} The answer is \\boxed{{{}}}.", steps, answer)};
  };
  switch (task.operation) {
    case Operation::Add:
      return worked(x + y, fmt::format("{} + {} = {}.", x, y, x + y));
    case Operation::Subtract:
      return worked(x - y, fmt::format("{} - {} = {}.", x, y, x - y));
    case Operation::Multiply:
      return worked(x * y, fmt::format("{} * {} = {}.", x, y, x * y));
    case Operation::Divide:
      return worked(x / y, fmt::format("{} / {} = {}.", x, y, x / y));
    case Operation::MultiplyAdd:
      return worked(x * y + z, fmt::format("{} * {} = {}. {} + {} = {}.", x, y, x * y, x * y, z, x * y + z));
    case Operation::MultiplySubtract:
      return worked(x * y - z, fmt::format("{} * {} = {}. {} - {} = {}.", x, y, x * y, x * y, z, x * y - z));
  }
  throw core::internal_error("an operation that cannot be worked out");
}

// How many problems can be drawn from the tasks by random trials without repeating a text: half of what the words
// allow.
size_t capacity(const Tasks& tasks) {
  if (tasks.empty()) return 0;
  size_t num_texts = 0;
  for (const std::string_view wording : wordings(tasks[0].operation)) {
    size_t ways = wording.find("{A}") == std::string_view::npos ? 1 : names().size();
    if (wording.find("{B}") != std::string_view::npos) ways *= names().size() - 1;
    if (wording.find("{o}") != std::string_view::npos) ways *= things().size();
    num_texts += ways;
  }
  return tasks.size() * num_texts / 2;
}

class Generator {
 public:
  Generator(const ArithmeticOptions& options, ArithmeticSplit split)
      : options_(options), split_(split), facts_(static_cast<uint64_t>(options.seed)) {
    const Sides sides{facts_, split == ArithmeticSplit::Train ? FactSide::Train : FactSide::HeldOut};
    for (const std::string& name : options.levels) {
      const size_t index = level_index(name);
      Source source{.name = name, .index = index};
      for (Tasks& tasks : kLevels[index].second(sides)) source.lists.push_back({.tasks = std::move(tasks)});
      sources_.push_back(std::move(source));
    }
  }

  std::vector<Problem> run() {
    const auto count =
        static_cast<size_t>(split_ == ArithmeticSplit::Train ? options_.num_train : options_.num_heldout);
    check_capacity(count);
    std::vector<Problem> problems;
    problems.reserve(count);
    for (size_t number = 0; number < count; ++number) {
      Source& source = sources_[number % sources_.size()];
      const size_t turn = number / sources_.size();
      TaskList& list = source.lists[turn % source.lists.size()];
      problems.push_back(make_problem(source, next_task(source, list, turn / source.lists.size()), number));
    }
    return problems;
  }

 private:
  struct TaskList {
    Tasks tasks;
    std::vector<uint32_t> order;  // of the round that is under way
  };
  struct Source {
    std::string name;
    size_t index;  // in kLevels
    std::vector<TaskList> lists;
  };

  const char* split_name() const { return split_ == ArithmeticSplit::Train ? "train" : "heldout"; }

  core::RandomKey key(uint64_t step, uint64_t number, size_t sample) const {
    const uint64_t half = split_ == ArithmeticSplit::Train ? 0 : uint64_t{1} << 63;  // the splits share no numbers
    return {.seed = static_cast<uint64_t>(options_.seed),
            .stream = core::Stream::Generator,
            .step = step,
            .prompt = number | half,
            .sample = static_cast<uint32_t>(sample)};
  }

  [[noreturn]] void fail_capacity(const Source& source, size_t most) const {
    throw core::user_error(
        fmt::format("arithmetic level \"{}\" has too few distinct problems: about {} can be drawn for the {} split",
                    source.name, most, split_name()),
        fmt::format("lower data.arithmetic.num_{}, or add levels", split_name()));
  }

  void check_capacity(size_t count) const {
    const size_t for_each_level = (count + sources_.size() - 1) / sources_.size();
    for (const Source& source : sources_)
      for (const TaskList& list : source.lists)
        if ((for_each_level + source.lists.size() - 1) / source.lists.size() > capacity(list.tasks))
          fail_capacity(source, capacity(list.tasks) * source.lists.size());
  }

  // Every task once a round, each round in a new order.
  const Task& next_task(const Source& source, TaskList& list, size_t turn) {
    const size_t round = turn / list.tasks.size(), place = turn % list.tasks.size();
    if (place == 0) {
      const uint64_t list_number = 16 * source.index + static_cast<uint64_t>(&list - source.lists.data());
      list.order =
          core::random_permutation(key(kStepOrder, list_number, round), static_cast<uint32_t>(list.tasks.size()));
    }
    return list.tasks[list.order[place]];
  }

  Problem make_problem(const Source& source, Task task, size_t number) {
    const auto choices = wordings(task.operation);
    for (size_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
      const auto draw = [&, k = key(kStepWording, number, attempt)](uint32_t position, size_t bound) {
        return static_cast<size_t>(core::random_below(k, position, bound));
      };
      const bool commutes = task.operation != Operation::Subtract && task.operation != Operation::Divide;
      if (commutes && draw(0, 2) == 1) std::swap(task.operands[0], task.operands[1]);
      const size_t a = draw(1, names().size()), other = draw(2, names().size() - 1);
      const Slots slots{names()[a], names()[other < a ? other : other + 1], things()[draw(3, things().size())],
                        task.operands};
      std::string text = fill(choices[draw(4, choices.size())], slots);
      if (!texts_.insert(text).second) continue;
      Worked worked = work_out(task);
      return {.id = fmt::format("{}/{}/{}", source.name, split_name(), number),
              .problem = std::move(text),
              .answer = std::to_string(worked.answer),
              .solution = std::move(worked.solution)};
    }
    fail_capacity(source, texts_.size());
  }

  const ArithmeticOptions& options_;
  ArithmeticSplit split_;
  Facts facts_;
  std::vector<Source> sources_;
  std::unordered_set<std::string> texts_;
};

}  // namespace

const std::vector<std::string>& arithmetic_levels() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, level] : kLevels) all.emplace_back(name);
    return all;
  }();
  return names;
}

void describe(core::Fields& fields, ArithmeticOptions& options) {
  fields.integer("num_train", options.num_train, {1, kMaxProblems}, "number of training problems");
  fields.integer("num_heldout", options.num_heldout, {0, kMaxProblems},
                 "number of held-out problems; their number facts are in no training problem");
  fields.texts(
      "levels", options.levels,
      fmt::format("levels of difficulty, mixed evenly; easiest first: {}", fmt::join(arithmetic_levels(), ", ")));
  fields.integer("seed", options.seed, core::at_least(int64_t{0}), "seed of the split, the order and the words");
}

void validate(const ArithmeticOptions& options) {
  core::check_ranges(options, "data.arithmetic");
  if (options.levels.empty())
    throw core::user_error("data.arithmetic.levels is empty",
                           fmt::format("levels are: {}", fmt::join(arithmetic_levels(), ", ")));
  std::unordered_set<std::string> seen;
  for (const std::string& level : options.levels) {
    level_index(level);
    if (!seen.insert(level).second)
      throw core::user_error(fmt::format("data.arithmetic.levels has \"{}\" twice", level));
  }
}

std::vector<Problem> generate_arithmetic(const ArithmeticOptions& options, ArithmeticSplit split) {
  validate(options);
  return Generator(options, split).run();
}

std::vector<Problem> arithmetic_examples() {
  const auto example = [](const char* id, const Task& task, const char* text) {
    Worked worked = work_out(task);
    return Problem{
        .id = id, .problem = text, .answer = std::to_string(worked.answer), .solution = std::move(worked.solution)};
  };
  return {example("example/1", {Operation::Multiply, {kReservedProduct[0], kReservedProduct[1]}},
                  "There are 3 vases with 4 roses in each vase. How many roses are there in all?"),
          example("example/2", {Operation::Subtract, {kReservedSum[0] + kReservedSum[1], kReservedSum[0]}},
                  "Lea has 19 toy cars. She gives her brother 6 toy cars. How many toy cars does Lea have left?")};
}

}  // namespace thinktune::data
