// score: the answer checker on rows of a file, without a model.
#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "cli/score_row.h"
#include "thinktune/cli/commands.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/reward/reward.h"
#include "thinktune/rollout/names.h"

namespace thinktune::cli {
namespace {

using nlohmann::json;
using reward::AnswerChecker;
using reward::Judgement;
using reward::Verdict;

constexpr size_t kMaxLineBytes = 64u << 20;

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> names;
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    const std::string_view name = std::string_view(list).substr(at, comma - at);
    const size_t first = std::min(name.find_first_not_of(' '), name.size());
    const size_t last = name.find_last_not_of(' ');
    names.emplace_back(last == std::string_view::npos ? "" : name.substr(first, last - first + 1));
    at = comma + 1;
  }
  return names;
}

// Prose with an answer in it: three words or more outside formulas and braces.
bool is_sentence(std::string_view text) {
  size_t num_words = 0, depth = 0;
  bool in_formula = false;
  const auto is_letter = [&](size_t i) {
    return i < text.size() && ((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z'));
  };
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    while (is_letter(i)) ++i;
    const bool is_command = begin > 0 && text[begin - 1] == '\\';
    if (i - begin >= 2 && depth == 0 && !in_formula && !is_command) ++num_words;
    if (i > begin) continue;
    if (text[i] == '$') in_formula = !in_formula;
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && depth > 0) --depth;
    ++i;
  }
  return num_words >= 3;
}

class Scorer {
 public:
  explicit Scorer(const ScoreCommand& command)
      : command_(command),
        outputs_({.strict = split(command.strict),
                  .lenient = split(command.lenient),
                  .decides = command.decides == "strict" ? reward::Decides::Strict : reward::Decides::Lenient},
                 "--"),
        predictions_({.strict = kPredictionRules, .lenient = kPredictionRules}, "") {}

  void add(std::string_view line, const std::string& where) {
    const ScoreRow row = read_score_row(line, command_.label, where);
    const std::string gold = gold_of(row.gold);
    const Judgement judgement =
        row.output ? outputs_.judge(*row.output, gold) : judge_prediction(*row.prediction, gold);
    count(row, judgement);
    if (!command_.audit || judgement.strict != judgement.lenient) write(row.id, judgement);
  }

  const std::string& lines() const { return lines_; }
  size_t num_rows() const { return num_rows_; }
  std::string summary(const std::string& name, double seconds) const;

 private:
  // A bare answer. Where it is a sentence that is not the gold answer itself, the lenient verdict is on the answer that
  // stands in it.
  Judgement judge_prediction(const std::string& prediction, const std::string& gold) const {
    Judgement judgement = predictions_.judge(prediction, gold);
    if (judgement.verdict == Verdict::Right || !is_sentence(prediction)) return judgement;
    Judgement in_sentence = outputs_.judge(prediction, gold);
    in_sentence.strict = judgement.strict;
    if (command_.decides == "strict") {
      judgement.lenient = in_sentence.lenient;
      return judgement;
    }
    return in_sentence;
  }

  inline static const std::vector<std::string> kPredictionRules = {"box", "tag", "hashes", "phrase", "whole"};

  // A gold answer may be a whole solution with a box in it.
  static std::string gold_of(const std::string& gold) {
    if (gold.find('\\') == std::string::npos) return gold;
    const reward::Found box = reward::find_answer(gold, {reward::Rule::Box});
    return box.found ? box.answer : gold;
  }

  void count(const ScoreRow& row, const Judgement& judgement) {
    ++num_rows_;
    ++verdicts_[0][static_cast<size_t>(judgement.strict)];
    ++verdicts_[1][static_cast<size_t>(judgement.lenient)];
    num_mended_ += row.mended;
    num_differ_ += judgement.strict != judgement.lenient;
    num_repeated_ids_ += !ids_.insert(row.id.dump(-1, ' ', false, json::error_handler_t::replace)).second;
    if (!row.label) return;
    const bool right = judgement.verdict == Verdict::Right;
    ++num_labelled_;
    num_agree_ += right == *row.label;
    num_too_good_ += right && !*row.label;
  }

  void write(const json& id, const Judgement& judgement) {
    const nlohmann::ordered_json line = {
        {"id", id},
        {"verdict", core::name_of(rollout::kVerdictNames, judgement.verdict)},
        {"strict", core::name_of(rollout::kVerdictNames, judgement.strict)},
        {"lenient", core::name_of(rollout::kVerdictNames, judgement.lenient)},
        {"extracted", judgement.extracted},
        {"reason", judgement.reason},
    };
    lines_ += line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    lines_ += '\n';
  }

  const ScoreCommand& command_;
  AnswerChecker outputs_, predictions_;
  std::string lines_;
  size_t num_rows_ = 0, num_differ_ = 0, num_repeated_ids_ = 0, num_labelled_ = 0, num_agree_ = 0, num_too_good_ = 0,
         num_mended_ = 0;
  std::array<std::array<size_t, 3>, 2> verdicts_{};  // [strict, lenient][verdict]
  std::unordered_set<std::string> ids_;
};

std::string Scorer::summary(const std::string& name, double seconds) const {
  const auto share = [](size_t part, size_t whole) {
    return fmt::format("{} ({:.2f} %)", part, 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  };
  std::string text = fmt::format("{}: {} rows in {:.3f} s, {:.0f} rows/s\n", name, num_rows_, seconds,
                                 static_cast<double>(num_rows_) / std::max(seconds, 1e-9));
  for (size_t i = 0; i < 2; ++i) {
    const bool decides = (i == 0) == (command_.decides == "strict");
    text += fmt::format("  {:8} right {}, wrong {}, unparsed {}{}\n", i == 0 ? "strict" : "lenient",
                        share(verdicts_[i][0], num_rows_), share(verdicts_[i][1], num_rows_),
                        share(verdicts_[i][2], num_rows_), decides ? "   <- verdict" : "");
  }
  text += fmt::format("  strict and lenient differ in {} rows\n", num_differ_);
  if (num_labelled_ > 0)
    text += fmt::format("  label \"{}\": {} of {} rows agree; {} right against it, {} not right against it\n",
                        command_.label, share(num_agree_, num_labelled_), num_labelled_, num_too_good_,
                        num_labelled_ - num_agree_ - num_too_good_);
  if (num_repeated_ids_ > 0) text += fmt::format("  {} rows have an id that stood before\n", num_repeated_ids_);
  if (num_mended_ > 0) text += fmt::format("  {} rows have bytes that are no UTF-8, read as U+FFFD\n", num_mended_);
  return text;
}

}  // namespace

int run_score(const ScoreCommand& command) {
  Scorer scorer(command);
  const bool from_input = command.file == "-";
  const std::string name = from_input ? "standard input" : command.file;
  const std::string content =
      core::read_file(from_input ? "/dev/stdin" : command.file, "file of rows", {.pipes = true});
  core::Stopwatch watch;
  std::string_view rest = content;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  for (size_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", name, number);
    if (line.size() > kMaxLineBytes)
      throw core::data_error(
          fmt::format("{}: the line is {} bytes long, allowed are {}", where, line.size(), kMaxLineBytes));
    scorer.add(line, where);
  }
  if (scorer.num_rows() == 0)
    throw core::data_error(fmt::format("{} has no rows", name),
                           "a row is {\"id\", \"gold\", \"prediction\" or \"output\"}, one a line");
  const double seconds = watch.seconds();
  // Only now, so that a bad row leaves nothing half written.
  std::fwrite(scorer.lines().data(), 1, scorer.lines().size(), stdout);
  std::fprintf(stderr, "%s", scorer.summary(name, seconds).c_str());
  return 0;
}

}  // namespace thinktune::cli
