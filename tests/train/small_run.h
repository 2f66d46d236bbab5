// Runs that are over in a second: a tiny random model, byte tokens, and a teacher that knows the answers (a random
// model never earns a reward by itself).
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "src/train/set_up.h"
#include "support/paths.h"
#include "support/tiny_model.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/data/source.h"
#include "thinktune/guidance/reply.h"
#include "thinktune/train/trainer.h"

namespace thinktune::train::test {
namespace fs = std::filesystem;

// For bias_end_of_turn: one token in twenty ends a turn; the first one does; none does.
inline constexpr double kSometimesEnds = 1.4, kEndsAtOnce = 8, kNeverEnds = -8;

inline void write_model(const fs::path& folder, uint64_t seed = 1, double end_bias = kSometimesEnds) {
  fs::create_directories(folder);
  const model::ModelConfig config = thinktune::test::tiny_config();
  const model::Weights weights = thinktune::test::random_weights(config, seed, at::kFloat);
  thinktune::test::bias_end_of_turn(weights, end_bias);
  model::save_pretrained(folder, config, weights, thinktune::test::byte_vocabulary(config));
}

inline TrainOptions small_options(const fs::path& folder, const std::string& output = "run") {
  TrainOptions o;
  o.model = (folder / "model").string();
  o.output = (folder / output).string();
  o.steps = 3;
  o.threads = 1;
  o.device = "cpu";
  o.precision = Precision::F32;
  o.data.generator = data::Generator::Arithmetic;
  o.data.arithmetic.num_train = 12;
  o.data.arithmetic.num_heldout = 3;
  o.data.arithmetic.levels = {"add_sub_25"};
  o.prompt.suffix = "";
  o.rollout.prompts_per_step = 4;
  o.rollout.group_size = 3;
  o.rollout.max_new_tokens = 30;
  o.update.mini_batch_prompts = 4;
  o.update.micro_batch_tokens = 512;
  o.guidance.schedule.kind = algo::ScheduleKind::Constant;
  o.guidance.schedule.init = 0.5;
  o.guidance.select = guidance::Select::GroupsWithoutSuccess;
  o.guidance.response_limit = 80;
  o.optim.lr = 1e-3;
  o.report.console_every = 0;
  o.report.rollouts_every = 1;
  o.report.tensorboard = false;
  o.report.zero_reward_steps = 0;
  return o;
}

// Finds the problem in what it is asked, and writes the answer in a box; or says what a script makes of the gold
// answer.
class AnsweringTeacher final : public guidance::Teacher {
 public:
  using Script = std::function<guidance::TeacherReply(const std::string& gold, int64_t number)>;

  explicit AnsweringTeacher(const data::DataOptions& data, Script script = nullptr)
      : problems_(data::load_problems(data).train), script_(std::move(script)) {
    if (script_ == nullptr)
      script_ = [](const std::string& gold, int64_t) {
        return guidance::TeacherReply{
            guidance::format_reply(guidance::kIncorrect, "No.", "It is \\boxed{" + gold + "}."), true};
      };
  }

  std::vector<guidance::TeacherReply> reply(const std::vector<guidance::TeacherRequest>& requests) override {
    std::vector<guidance::TeacherReply> replies;
    for (const guidance::TeacherRequest& request : requests) {
      const auto asked = std::find_if(problems_.begin(), problems_.end(), [&](const data::Problem& p) {
        return request.messages.back().content.find(p.problem) != std::string::npos;
      });
      if (asked == problems_.end()) throw core::internal_error("the teacher was asked an unknown problem");
      replies.push_back(script_(asked->answer, number_++));
    }
    return replies;
  }

 private:
  std::vector<data::Problem> problems_;
  Script script_;
  int64_t number_ = 0;
};

inline std::unique_ptr<guidance::Teacher> answering_teacher(const TrainOptions& options,
                                                            AnsweringTeacher::Script script = nullptr) {
  return std::make_unique<AnsweringTeacher>(options.data, std::move(script));
}

// The parts of a run, for tests of single steps.
inline std::unique_ptr<Run> make_run(const TrainOptions& options,
                                     std::unique_ptr<guidance::Teacher> teacher = nullptr) {
  auto run = std::make_unique<Run>();
  run->options = options;
  set_up(*run, std::move(teacher));
  return run;
}

inline std::vector<at::Tensor> copies(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& t : tensors) all.push_back(t.detach().clone());
  return all;
}

// Bit for bit, NaN equal to itself.
inline bool same_bits(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const at::Tensor& x, const at::Tensor& y) {
    return at::equal(x.detach().view(at::kInt), y.detach().view(at::kInt));
  });
}

// The run's own model as its teacher, with short words and an instruction that goes into a small model's context.
inline void let_the_model_teach(TrainOptions& options, const fs::path& folder) {
  guidance::GuidanceOptions& o = options.guidance;
  o.format = guidance::Format::Constrained;
  o.opinion = guidance::Opinion::Model;
  o.max_teacher_prompt_tokens = 1024;
  o.max_reason_tokens = o.max_phrase_tokens = 12;
  o.prompt_file = (folder / "teacher.json").string();
  std::ofstream(o.prompt_file) << R"({"system": "Be kind.", "examples": []})";
}

inline report::Metrics metrics_of(const StepRecord& record) {
  report::Metrics metrics;
  record.updates.add_to(metrics);
  return metrics;
}

// The rows of a JSONL file without the keys that depend on the clock, in the order in which they stand there.
inline std::vector<nlohmann::ordered_json> rows_without_times(const fs::path& file) {
  std::vector<nlohmann::ordered_json> rows;
  std::istringstream lines(core::read_file(file, "rows"));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::ordered_json row = nlohmann::ordered_json::parse(line);
    nlohmann::ordered_json kept;
    for (const auto& [key, value] : row.items())
      if (!key.starts_with("time/")) kept[key] = value;
    rows.push_back(kept);
  }
  return rows;
}

// All that a run has computed, by file: what two equal runs must have in common, byte for byte.
inline std::map<std::string, std::string> results_of(const TrainOptions& options) {
  const fs::path output = options.output;
  std::map<std::string, std::string> results;
  for (const char* name : {"metrics.jsonl", "eval.jsonl"})
    for (const auto& row : rows_without_times(output / name)) results[name] += row.dump() + "\n";
  const fs::path last = fs::path("checkpoints") / ("step-" + std::to_string(options.steps));
  for (const fs::path& folder : {fs::path("rollouts"), fs::path("eval"), last})
    for (const auto& entry : fs::directory_iterator(output / folder))
      results[(folder / entry.path().filename()).string()] = core::read_file(entry.path(), "result");
  return results;
}

inline void expect_same_results(const TrainOptions& a, const TrainOptions& b) {
  const auto first = results_of(a), second = results_of(b);
  ASSERT_GE(first.size(), 10U);
  for (const auto& [name, content] : first) {
    ASSERT_TRUE(second.contains(name)) << name << " is missing in " << b.output;
    EXPECT_FALSE(content.empty()) << name;
    EXPECT_TRUE(content == second.at(name)) << name << " differs";  // not EXPECT_EQ: it would print the weights
  }
  EXPECT_EQ(first.size(), second.size());
}

template <class Action>
core::Error error_of(Action action) {
  try {
    action();
  } catch (const core::Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return core::internal_error("nothing was thrown");
}

}  // namespace thinktune::train::test
