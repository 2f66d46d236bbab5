// Which rollouts of a step the teacher is shown (ThinkTuning "One step" 2 and 3).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "thinktune/guidance/options.h"
#include "thinktune/rollout/types.h"

namespace thinktune::guidance {

using core::TokenId;

// Why a rollout can be guided, or why not.
enum class Eligibility {
  Eligible,
  NotEnded,     // cut at the response limit, or its last token is no end-of-turn token
  SeveralEnds,  // an end-of-turn token before the last one
  Empty,        // nothing but white space before the end-of-turn token: there is nothing to comment on
};

// `end_of_turn_ids`: every id that ends a turn.
Eligibility eligibility(const rollout::Rollout& rollout, std::span<const TokenId> end_of_turn_ids);

struct Chosen {
  size_t group = 0;
  size_t rollout = 0;
  bool operator==(const Chosen&) const = default;
};

// How rollouts are drawn: every rollout has a number of its own, random_bits of (seed, Stream::Selection, step, prompt
// number, place in the group), and of n candidates the k with the smallest numbers are taken. That is uniform without
// replacement, and what is taken in one group depends on no other group, on the order of the groups, or on what was
// drawn before.
struct SelectionKey {
  uint64_t seed = 0;
  int64_t step = 0;
};

struct SelectionResult {
  std::vector<Chosen> chosen;  // by group, then by place in the group
  int64_t num_rollouts = 0;
  int64_t num_eligible = 0;
  int64_t num_candidates = 0;  // eligible, and of the kind that `select` asks for
  int64_t num_empty = 0;
  int64_t num_not_ended = 0;
  int64_t num_several_ends = 0;
  int64_t num_groups_without_eligible = 0;
  int64_t num_groups_without_success = 0;  // no rollout of the group earned a reward
};

// `share` is the schedule's value. Candidates are counted as algo::guided_count has it (at least one where there is
// one), per group or over the whole batch; with groups_without_success min(per_group, candidates) are taken of each
// such group, whatever the share is. Every rollout must have been judged. A wrong rollout is one whose verdict is not
// Right (an answer that cannot be read is wrong); a group succeeded if one of its rewards is above 0, since only then
// GRPO has something to learn from it.
SelectionResult select_rollouts(const std::vector<rollout::Group>& groups, std::span<const TokenId> end_of_turn_ids,
                                const GuidanceOptions& options, double share, const SelectionKey& key);

}  // namespace thinktune::guidance
