#include "thinktune/guidance/select.h"

#include <algorithm>
#include <utility>

#include "thinktune/core/random.h"
#include "thinktune/guidance/reply.h"

namespace thinktune::guidance {
namespace {

struct Candidate {
  uint64_t draw = 0;
  Chosen chosen;
};

// The `count` candidates with the smallest draws. Equal draws (one in 2^64) go by place.
void take_smallest(std::vector<Candidate> candidates, int64_t count, std::vector<Chosen>& out) {
  std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.draw < b.draw; });
  for (int64_t i = 0; i < count; ++i) out.push_back(candidates[i].chosen);
}

bool succeeded(const rollout::Group& group) {
  return std::any_of(group.rollouts.begin(), group.rollouts.end(), [](const auto& r) { return r.judgement.success; });
}

// Counts the group's rollouts into `result` and returns those that `select` allows.
std::vector<Candidate> candidates_of(const rollout::Group& group, size_t group_index,
                                     std::span<const TokenId> end_of_turn_ids, Select select, const SelectionKey& key,
                                     SelectionResult& result) {
  core::RandomKey random{.seed = key.seed,
                         .stream = core::Stream::Selection,
                         .step = static_cast<uint64_t>(key.step),
                         .prompt = group.prompt.number};
  const bool success = succeeded(group);
  if (!success) ++result.num_groups_without_success;
  int64_t num_eligible = 0;
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < group.rollouts.size(); ++i) {
    const rollout::Rollout& rollout = group.rollouts[i];
    ++result.num_rollouts;
    switch (eligibility(rollout, end_of_turn_ids)) {
      case Eligibility::NotEnded:
        ++result.num_not_ended;
        continue;
      case Eligibility::SeveralEnds:
        ++result.num_several_ends;
        continue;
      case Eligibility::Empty:
        ++result.num_empty;
        continue;
      case Eligibility::Eligible:
        ++num_eligible;
    }
    if (select == Select::Wrong && rollout.judgement.verdict == rollout::Verdict::Right) continue;
    if (select == Select::GroupsWithoutSuccess && success) continue;
    random.sample = static_cast<uint32_t>(i);
    candidates.push_back({core::random_bits(random, 0), {group_index, i}});
  }
  if (num_eligible == 0) ++result.num_groups_without_eligible;
  result.num_eligible += num_eligible;
  result.num_candidates += static_cast<int64_t>(candidates.size());
  return candidates;
}

}  // namespace

Eligibility eligibility(const rollout::Rollout& rollout, std::span<const TokenId> end_of_turn_ids) {
  const auto ends_turn = [&](TokenId id) {
    return std::find(end_of_turn_ids.begin(), end_of_turn_ids.end(), id) != end_of_turn_ids.end();
  };
  if (rollout.finish != rollout::Finish::EndOfTurn || rollout.ids.empty() || !ends_turn(rollout.ids.back()))
    return Eligibility::NotEnded;
  if (std::any_of(rollout.ids.begin(), rollout.ids.end() - 1, ends_turn)) return Eligibility::SeveralEnds;
  return rollout.ids.size() == 1 || stripped(rollout.text).empty() ? Eligibility::Empty : Eligibility::Eligible;
}

SelectionResult select_rollouts(const std::vector<rollout::Group>& groups, std::span<const TokenId> end_of_turn_ids,
                                const GuidanceOptions& options, double share, const SelectionKey& key) {
  SelectionResult result;
  std::vector<Candidate> whole_batch;
  for (size_t g = 0; g < groups.size(); ++g) {
    std::vector<Candidate> candidates = candidates_of(groups[g], g, end_of_turn_ids, options.select, key, result);
    const auto num_candidates = static_cast<int64_t>(candidates.size());
    if (options.select == Select::GroupsWithoutSuccess)
      take_smallest(std::move(candidates), std::min(options.per_group, num_candidates), result.chosen);
    else if (options.selection == Selection::Group)
      take_smallest(std::move(candidates), algo::guided_count(num_candidates, share), result.chosen);
    else
      whole_batch.insert(whole_batch.end(), candidates.begin(), candidates.end());
  }
  const auto num_whole = static_cast<int64_t>(whole_batch.size());
  if (num_whole > 0) take_smallest(std::move(whole_batch), algo::guided_count(num_whole, share), result.chosen);
  std::sort(result.chosen.begin(), result.chosen.end(), [](const Chosen& a, const Chosen& b) {
    return std::pair(a.group, a.rollout) < std::pair(b.group, b.rollout);
  });
  return result;
}

}  // namespace thinktune::guidance
