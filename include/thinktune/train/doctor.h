// Looks at a machine, a model and a config before a run: what would stop the run, or make it learn nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "thinktune/comm/communicator.h"
#include "thinktune/core/options.h"
#include "thinktune/train/options.h"

namespace thinktune::train {

enum class Health {
  Ok,
  Warning,  // a run works, and may not be what was meant
  Failed,   // a run would stop, or compute something wrong
  Skipped,  // could not be looked at: something before it has failed, or it was not asked for
};
inline const core::Choices<Health> kHealthNames = {
    {"ok", Health::Ok}, {"warning", Health::Warning}, {"failed", Health::Failed}, {"skipped", Health::Skipped}};

// One check.
struct Finding {
  std::string check;  // "tokenizer"
  Health health = Health::Ok;
  std::string found;                             // one sentence
  std::string advice;                            // what to do; empty where nothing is to be done
  core::ErrorKind kind = core::ErrorKind::User;  // of a failed one: whose fault it is, and the exit code
};

// Called once a check, as soon as it is done.
using OnFinding = std::function<void(const Finding& finding)>;

// libraries and threads: what needs no config. `versions` names program and libraries.
void examine_machine(const std::string& versions, const OnFinding& on_finding);

// Whether sums and copies between the ranks come out right, and how fast: of host tensors, and of those of `device`,
// this rank's, if it is a GPU. Every rank calls it. Numbers that are wrong on any rank are rank 0's finding; an
// operation that fails is one of every rank that it fails on.
void examine_ranks(comm::Communicator& ranks, const std::string& device, const OnFinding& on_finding);

// settings, device, memory, disk, model files, tokenizer, end of turn, chat template, data, reward; with `sampled` also
// what the base model earns: pass@n and groups with a signal on the first `num_problems` problems of the run, for which
// the model is loaded. Never throws an Error for what it looks at: that is a finding.
struct RankCounts {
  int64_t all = 1;
  int64_t local = 1;  // on this machine, whose memory they share
};
struct ExamineOptions {
  bool sampled = true;
  int64_t num_problems = 16;
  RankCounts ranks = {};
};
void examine_run(const TrainOptions& options, const ExamineOptions& how, const OnFinding& on_finding);

}  // namespace thinktune::train
