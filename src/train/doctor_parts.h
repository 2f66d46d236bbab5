// The checks of doctor.h, by what they look at.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "free_memory.h"
#include "thinktune/data/prompts.h"
#include "thinktune/data/source.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/train/doctor.h"

namespace thinktune::train {

// What a check says: Ok by default.
struct Verdict {
  Health health = Health::Ok;
  std::string found;
  std::string advice = {};
  core::ErrorKind kind = core::ErrorKind::User;
};

// Runs a check; an Error that it throws is a failed one.
bool check(const char* name, const OnFinding& on_finding, const std::function<Verdict()>& look);  // true: not failed
void skip(const char* name, const OnFinding& on_finding, const std::string& why);

// doctor_machine.cpp
Verdict look_at_memory(const TrainOptions& options, const model::ModelConfig& config, const RankCounts& ranks);
Verdict judge_memory(const TrainOptions& options, const model::ModelConfig& config, const RankCounts& ranks,
                     const FreeMemory& host);
Verdict look_at_disk(const TrainOptions& options, const model::ModelConfig& config);

// doctor_model.cpp
Verdict look_at_files(const model::Pretrained& model);
Verdict look_at_tokenizer(const text::Tokenizer& tokenizer, int64_t num_rows,
                          const std::vector<data::Problem>& problems);
Verdict look_at_end_of_turn(const model::Pretrained& model, const model::Vocabulary& vocabulary);
Verdict look_at_template(const TrainOptions& options, const model::Vocabulary& vocabulary,
                         const data::Problem& problem);

// doctor_task.cpp
Verdict look_at_prompts(const TrainOptions& options, const model::Vocabulary& vocabulary,
                        const std::vector<data::Problem>& problems);
Verdict look_at_reward(const TrainOptions& options, const std::vector<data::Problem>& problems);
void look_at_samples(const TrainOptions& options, const model::Pretrained& model, const model::Vocabulary& vocabulary,
                     const std::vector<data::Problem>& problems, int64_t num_problems, const OnFinding& on_finding);

}  // namespace thinktune::train
