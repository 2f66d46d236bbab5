#include "thinktune/train/batch.h"

#include <algorithm>
#include <numeric>

#include "thinktune/guidance/splice.h"

namespace thinktune::train {
namespace {

rollout::TrainSequence to_sequence(const rollout::Rollout& rollout, guidance::LossOn loss_on) {
  rollout::TrainSequence sequence;
  sequence.ids = rollout.ids;
  sequence.sampler_logprobs = rollout.sampler_logprobs;
  for (const rollout::Origin origin : rollout.origin) sequence.sampled.push_back(origin == rollout::Origin::Student);
  sequence.loss_mask = guidance::loss_mask(rollout, loss_on);
  sequence.guided_mask = guidance::guided_mask(rollout, loss_on);
  sequence.advantage = static_cast<float>(rollout.advantage);
  return sequence;
}

bool has_gradient(const rollout::TrainSequence& sequence, const algo::LossOptions& loss) {
  const bool counts =
      std::any_of(sequence.loss_mask.begin(), sequence.loss_mask.end(), [](uint8_t m) { return m != 0; });
  return counts && (sequence.advantage != 0 || loss.kl_coefficient != 0 || loss.entropy_coefficient != 0);
}

int64_t num_tokens(const rollout::TrainGroup& group, const algo::LossOptions& loss) {
  int64_t tokens = 0;
  for (const rollout::TrainSequence& sequence : group.sequences)
    if (has_gradient(sequence, loss)) tokens += std::ssize(sequence.ids) - 1;
  return tokens > 0 ? tokens + std::ssize(group.prompt_ids) : 0;
}

int64_t micro_batch_tokens(const rollout::TrainBatch& batch, const TrainOptions& options, int64_t num_ranks) {
  const int64_t limit = options.update.micro_batch_tokens;
  if (num_ranks == 1 || options.comm.fixed_order) return limit;
  int64_t tokens = 0;
  for (const rollout::TrainGroup& group : batch.groups) tokens += num_tokens(group, options.loss);
  return std::clamp<int64_t>(tokens / (2 * num_ranks), 1, limit);
}

MiniBatch make_mini_batch(const rollout::TrainBatch& batch, const TrainOptions& options, int64_t max_tokens) {
  const std::vector<std::vector<float>> weights = algo::aggregation_weights(batch, options.loss);
  MiniBatch mini;
  int64_t tokens = 0;
  size_t number = 0;
  for (const rollout::TrainGroup& group : batch.groups) {
    bool opened = false;  // the group stands in the last micro-batch
    for (const rollout::TrainSequence& sequence : group.sequences) {
      const std::vector<float>& sequence_weights = weights[number++];
      ++mini.num_sequences;
      if (!has_gradient(sequence, options.loss)) {
        ++mini.num_left_out;
        continue;
      }
      const int64_t response = std::ssize(sequence.ids) - 1, prompt = std::ssize(group.prompt_ids);
      if (mini.micro_batches.empty() || tokens + response + (opened ? 0 : prompt) > max_tokens) {
        mini.micro_batches.emplace_back().number = mini.num_micro_batches++;
        tokens = 0;
        opened = false;
      }
      MicroBatch& micro = mini.micro_batches.back();
      if (!opened) {
        micro.groups.push_back({group.prompt_ids, {}});
        tokens += prompt;
        opened = true;
      }
      micro.groups.back().sequences.push_back(sequence);
      micro.weights_M.insert(micro.weights_M.end(), sequence_weights.begin(), sequence_weights.end());
      tokens += response;
    }
  }
  mini.num_rounds = mini.num_micro_batches;
  return mini;
}

// The rank of each micro-batch.
std::vector<int64_t> ranks_of(const MiniBatch& mini, int64_t num_ranks, bool in_turn) {
  std::vector<int64_t> ranks(mini.micro_batches.size()), order(ranks.size());
  std::iota(order.begin(), order.end(), 0);
  if (in_turn) {
    for (const int64_t k : order) ranks[static_cast<size_t>(k)] = k % num_ranks;
    return ranks;
  }
  const auto tokens = [&](int64_t k) { return packed_tokens(mini.micro_batches[static_cast<size_t>(k)]); };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return tokens(a) > tokens(b); });
  std::vector<int64_t> load(static_cast<size_t>(num_ranks), 0);
  for (const int64_t k : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += tokens(k);
    ranks[static_cast<size_t>(k)] = least - load.begin();
  }
  return ranks;
}

}  // namespace

std::vector<MiniBatch> make_mini_batches(const std::vector<rollout::Group>& groups, const TrainOptions& options,
                                         int64_t num_ranks) {
  std::vector<MiniBatch> mini_batches;
  const auto stride = static_cast<size_t>(options.update.mini_batch_prompts);
  for (size_t first = 0; first < groups.size(); first += stride) {
    rollout::TrainBatch batch;
    bool has_guided = false;
    for (size_t g = first; g < std::min(first + stride, groups.size()); ++g) {
      rollout::TrainGroup& group = batch.groups.emplace_back();
      group.prompt_ids = groups[g].prompt.ids;
      for (const rollout::Rollout& rollout : groups[g].rollouts) {
        if (!rollout.judgement.scored) continue;
        group.sequences.push_back(to_sequence(rollout, options.guidance.loss_on));
        has_guided |= rollout.guidance.guided;
      }
    }
    mini_batches.push_back(make_mini_batch(batch, options, micro_batch_tokens(batch, options, num_ranks)));
    mini_batches.back().has_guided = has_guided;
  }
  return mini_batches;
}

void keep_own(std::vector<MiniBatch>& mini_batches, int64_t rank, int64_t num_ranks, const comm::CommOptions& options) {
  for (MiniBatch& mini : mini_batches) {
    const std::vector<int64_t> ranks = ranks_of(mini, num_ranks, options.fixed_order);
    std::vector<int64_t> counts(static_cast<size_t>(num_ranks), 0);
    std::vector<MicroBatch> own;
    for (size_t k = 0; k < ranks.size(); ++k) {
      ++counts[static_cast<size_t>(ranks[k])];
      if (ranks[k] == rank) own.push_back(std::move(mini.micro_batches[k]));
    }
    mini.micro_batches = std::move(own);
    mini.num_rounds = *std::max_element(counts.begin(), counts.end());
  }
}

int64_t packed_tokens(const MicroBatch& micro_batch) {
  int64_t tokens = 0;
  for (const rollout::TrainGroup& group : micro_batch.groups) {
    tokens += std::ssize(group.prompt_ids);
    for (const rollout::TrainSequence& sequence : group.sequences) tokens += std::ssize(sequence.ids) - 1;
  }
  return tokens;
}

}  // namespace thinktune::train
