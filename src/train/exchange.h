// What ranks tell each other of a step besides gradients: each rank samples, asks and judges its part, and afterwards
// every rank knows all of it, in the order in which one rank would have it. With one rank nothing is copied.
//
// Parts differ by at most one in number and little in length: elements are dealt by the length of what is known of them
// (a prompt, a question to the teacher, an answer to be judged). What they give does not depend on whose they are.
#pragma once

#include <memory>
#include <vector>

#include "thinktune/comm/communicator.h"
#include "thinktune/guidance/teacher.h"
#include "thinktune/reward/reward.h"
#include "thinktune/rollout/types.h"
#include "thinktune/train/sharded_weights.h"

namespace thinktune::train {

std::vector<rollout::Prompt> own_part(const comm::Communicator& comm, const std::vector<rollout::Prompt>& prompts);

// From the groups of every rank's own part all groups, in the order of `prompts`.
std::vector<rollout::Group> gather_groups(comm::Communicator& comm, const std::vector<rollout::Prompt>& prompts,
                                          std::vector<rollout::Group> own);

// As reward::judge_guided: each guided rollout is judged by one rank. `groups` are the same on all ranks, before and
// after.
void judge_guided(comm::Communicator& comm, std::vector<rollout::Group>& groups, reward::Reward& reward);

// A teacher whose requests are divided over the ranks; every rank must ask the same. `weights`: sharded ones that it
// reads; null: none.
std::unique_ptr<guidance::Teacher> divide_teacher(comm::Communicator& comm, std::unique_ptr<guidance::Teacher> teacher,
                                                  ShardedWeights* weights);

}  // namespace thinktune::train
