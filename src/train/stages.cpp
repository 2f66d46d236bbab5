// Letters: M response tokens of a micro-batch, flat.
#include "stages.h"

#include <ATen/ATen.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

#include "bytes.h"
#include "exchange.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/sample_groups.h"
#include "thinktune/model/family.h"
#include "thinktune/ops/device.h"

namespace thinktune::train {
namespace {

constexpr const char* kFinitenessHint =
    "go on from the last checkpoint with a lower learning rate, or with precision f32";

template <class T, class Field>
at::Tensor flat(const MicroBatch& micro, at::ScalarType dtype, Field field) {
  std::vector<T> values;
  for (const rollout::TrainGroup& group : micro.groups)
    for (const rollout::TrainSequence& sequence : group.sequences) {
      const std::vector<T>& part = field(sequence);
      values.insert(values.end(), part.begin(), part.end());
    }
  return at::tensor(values, at::TensorOptions().dtype(dtype));
}

// Log-probabilities of each sequence, without gradient, into the field that `field` names.
template <class Field>
void fill(const model::Decoder& decoder, const model::Weights& weights, const TrainOptions& options, MicroBatch& micro,
          Field field) {
  const at::Tensor logprobs_M =
      response_logprobs(decoder, weights, micro.groups, logprob_options(options), Gradient::None)
          .logprob_T.cpu()
          .contiguous();
  const float* next = logprobs_M.const_data_ptr<float>();
  for (rollout::TrainGroup& group : micro.groups)
    for (rollout::TrainSequence& sequence : group.sequences) {
      field(sequence).assign(next, next + sequence.ids.size());
      next += sequence.ids.size();
    }
}

bool has_teacher_tokens(const MicroBatch& micro) {
  for (const rollout::TrainGroup& group : micro.groups)
    for (const rollout::TrainSequence& sequence : group.sequences)
      if (std::find(sequence.sampled.begin(), sequence.sampled.end(), 0) != sequence.sampled.end()) return true;
  return false;
}

// Which weight is to blame for what was computed from them.
std::string what_of_the_weights(const Run& run) {
  if (const std::string weight = run.parallel->first_not_finite_weight(); !weight.empty())
    return fmt::format("a weight of {} is not finite", weight);
  if (run.sharded != nullptr) return "this rank's weights are";
  if (run.initial_weights != nullptr)
    if (const std::string weight = model::first_not_finite(run.config, *run.initial_weights); !weight.empty())
      return fmt::format("a weight of the frozen first model's {} is not finite", weight);
  return "all weights are";
}

// Between the sampler and the policy, over the tokens that were sampled.
struct Differences {
  int64_t num_tokens = 0;
  double sum = 0, largest = 0;

  void add(const MicroBatch& micro) {
    for (const rollout::TrainGroup& group : micro.groups)
      for (const rollout::TrainSequence& sequence : group.sequences)
        for (size_t i = 0; i < sequence.ids.size(); ++i)
          if (sequence.sampled[i])
            add(std::abs(static_cast<double>(sequence.sampler_logprobs[i] - sequence.old_logprobs[i])));
  }

  void add(double difference) {
    ++num_tokens;
    sum += difference;
    largest = std::max(largest, difference);  // a NaN is in the sum
  }
};

template <class Archive>
void serialize(Archive& archive, Differences& d) {
  archive(d.num_tokens, d.sum, d.largest);
}

// False: no rank had a token.
bool prove_sampler(const Run& run, const Differences& own) {
  Differences all;
  for (const std::string& bytes : run.comm->all_gather_bytes(to_bytes(own), "how far sampler and policy differ")) {
    const auto of_rank = from_bytes<Differences>(bytes);
    all.num_tokens += of_rank.num_tokens;
    all.sum += of_rank.sum;
    all.largest = std::max(all.largest, of_rank.largest);
  }
  if (all.num_tokens == 0) return false;
  const SamplerTolerance most = sampler_tolerance(run.options.precision);
  const double mean = all.sum / static_cast<double>(all.num_tokens);
  if (mean <= most.mean && all.largest <= most.largest) return true;
  throw core::user_error(
      fmt::format("{}: update.old_logprobs is sampler, but what the sampler recorded is not what the policy says: the "
                  "log-probabilities of {} tokens differ by up to {:.3g} nats, {:.3g} on average; {} allows {} and {}. "
                  "Nothing was updated in this step",
                  run.comm->place(run.stops->step()), all.num_tokens, all.largest, mean,
                  core::name_of(kPrecisionNames, run.options.precision), most.largest, most.mean),
      "set update.old_logprobs to policy: one pass more where a step has several updates");
}

// What the sampler recorded replaces the policy's value of every token that was sampled.
void take_from_sampler(MicroBatch& micro) {
  for (rollout::TrainGroup& group : micro.groups)
    for (rollout::TrainSequence& sequence : group.sequences) {
      sequence.old_logprobs.resize(sequence.ids.size());
      for (size_t i = 0; i < sequence.ids.size(); ++i)
        if (sequence.sampled[i]) sequence.old_logprobs[i] = sequence.sampler_logprobs[i];
    }
}

}  // namespace

core::RandomKey sampling_key(const TrainOptions& options, int64_t step) {
  return {.seed = static_cast<uint64_t>(options.seed),
          .stream = core::Stream::Sampling,
          .step = static_cast<uint64_t>(step)};
}

std::vector<rollout::Group> sample_own_part(Run& run, const std::vector<rollout::Prompt>& prompts,
                                            const Samples& samples) {
  const TrainOptions& o = run.options;
  const std::vector<rollout::Prompt> own = own_part(*run.comm, prompts);
  const Sampler sampler = {.engine = *run.engine,
                           .weights = run.sharded.get(),
                           .what = "rollouts",
                           .longest = o.prompt.max_prompt_tokens + samples.max_new_tokens,
                           .lower =
                               "rollout.max_new_tokens (of evaluations: eval.max_new_tokens), engine.prefill_tokens or "
                               "update.micro_batch_tokens"};
  return passes_through(run.sharded.get(), [&] {
    return within_memory(run, sampler, [&] {
      return infer::sample_groups(*run.engine, *run.vocabulary.tokenizer, own, samples.group_size,
                                  samples.max_new_tokens, samples.sampling, samples.key,
                                  [&](const auto& rollouts) { reward::judge(rollouts, *run.reward); });
    });
  });
}

core::Error name_weight(const Run& run, const infer::LogitsNotFinite& error) {
  return core::device_error(
      fmt::format("{}: {} ({})", run.comm->place(run.stops->step()), error.message(), what_of_the_weights(run)),
      kFinitenessHint);
}

void go_on_with_fewer(const Run& run, const Sampler& sampler, int64_t before, int64_t now) {
  if (sampler.weights != nullptr) sampler.weights->finish_pass();
  spdlog::warn(
      "{}: out of memory while sampling {} sequences at a time; going on with {} (the same {}, more slowly). To begin "
      "with as many: --set engine.max_sequences={}",
      run.comm->place(run.stops->step()), before, now, sampler.what, now);
}

core::Error not_even_one(const Run& run, const Sampler& sampler) {
  return core::device_error(
      fmt::format("{}: out of memory while sampling one sequence of up to {} tokens at a time (of the {})",
                  run.comm->place(run.stops->step()), sampler.longest, sampler.what),
      fmt::format("lower {}; else a smaller model or more memory is needed", sampler.lower));
}

std::vector<rollout::Group> sample_rollouts(Run& run, const std::vector<rollout::Prompt>& prompts, int64_t step) {
  const RolloutOptions& o = run.options.rollout;
  return sample_own_part(run, prompts, {o.group_size, o.max_new_tokens, o.sampling, sampling_key(run.options, step)});
}

void assign_advantages(std::vector<rollout::Group>& groups, const algo::AdvantageOptions& options) {
  for (rollout::Group& group : groups) {
    std::vector<double> rewards;
    std::vector<uint8_t> guided;
    std::vector<rollout::Rollout*> scored;
    for (rollout::Rollout& rollout : group.rollouts) {
      if (!rollout.judgement.scored) continue;
      scored.push_back(&rollout);
      rewards.push_back(rollout.judgement.reward);
      guided.push_back(rollout.guidance.guided);
    }
    const std::vector<double> advantages = algo::group_advantages(rewards, guided, options);
    for (size_t i = 0; i < advantages.size(); ++i) scored[i]->advantage = advantages[i];
  }
}

ops::TokenLogprobOptions logprob_options(const TrainOptions& options) {
  const infer::SamplingOptions& sampling = options.rollout.sampling;
  return {.transform = {sampling.temperature, sampling.top_k, sampling.top_p},
          .entropy_gradient = options.loss.entropy_coefficient != 0};
}

void add_old_logprobs(Run& run, std::vector<MiniBatch>& mini_batches) {
  const bool from_sampler = run.options.update.old_logprobs == OldLogprobs::Sampler;
  if (mini_batches.size() == 1 && !from_sampler) return;
  const bool is_to_prove = from_sampler && !run.sampler_is_proved;
  Differences differences;
  const ops::ProfilerRange range("old log-probs");
  const auto old = [](rollout::TrainSequence& s) -> std::vector<float>& { return s.old_logprobs; };
  passes_through(run.sharded.get(), [&] {
    for (MiniBatch& mini : mini_batches)
      for (MicroBatch& micro : mini.micro_batches) {
        run.stops->poll();
        if (!from_sampler || is_to_prove || has_teacher_tokens(micro))
          fill(*run.decoder, run.policy->compute_weights(), run.options, micro, old);
        if (is_to_prove) differences.add(micro);
        if (from_sampler) take_from_sampler(micro);
      }
  });
  if (is_to_prove) run.sampler_is_proved = prove_sampler(run, differences);
}

void add_reference_logprobs(const Run& run, std::vector<MiniBatch>& mini_batches) {
  if (run.options.loss.kl_coefficient == 0) return;
  const ops::ProfilerRange range("reference log-probs");
  const auto reference = [](rollout::TrainSequence& s) -> std::vector<float>& { return s.reference_logprobs; };
  passes_through(run.initial_sharded.get(), [&] {
    for (MiniBatch& mini : mini_batches)
      for (MicroBatch& micro : mini.micro_batches)
        fill(*run.decoder, *run.initial_weights, run.options, micro, reference);
  });
}

algo::LossInputs loss_inputs(const MicroBatch& micro, const ops::TokenLogprobs& logprobs, const TrainOptions& options) {
  const at::Device device = logprobs.logprob_T.device();
  algo::LossInputs inputs;
  inputs.logprobs_M = logprobs.logprob_T;
  inputs.entropy_M = logprobs.entropy_T;
  const at::Tensor old_M = flat<float>(
      micro, at::kFloat, [](const auto& s) -> const auto& { return s.old_logprobs; });
  inputs.old_logprobs_M = old_M.size(0) > 0 ? old_M.to(device) : inputs.logprobs_M.detach();
  inputs.guided_M = flat<uint8_t>(
                        micro, at::kByte, [](const auto& s) -> const auto& { return s.guided_mask; })
                        .to(device, at::kBool);
  if (options.loss.kl_coefficient != 0)
    inputs.reference_logprobs_M =
        flat<float>(
            micro, at::kFloat, [](const auto& s) -> const auto& { return s.reference_logprobs; })
            .to(device);
  std::vector<float> advantages;
  for (const rollout::TrainGroup& group : micro.groups)
    for (const rollout::TrainSequence& sequence : group.sequences)
      advantages.insert(advantages.end(), sequence.ids.size(), sequence.advantage);
  inputs.advantages_M = at::tensor(advantages).to(device);
  inputs.weights_M = at::tensor(micro.weights_M).to(device);
  return inputs;
}

double learning_rate(const TrainOptions& options, int64_t step, int64_t update, int64_t updates_per_step) {
  return optim::learning_rate(options.optim, step * updates_per_step + update, options.steps * updates_per_step);
}

void check_finite_weights(const Run& run, int64_t step) {
  const std::string weight = run.parallel->first_not_finite_weight();
  if (weight.empty()) return;
  throw core::device_error(
      fmt::format("{}: a weight of {} is not finite; nothing was updated in this step", run.comm->place(step), weight),
      kFinitenessHint);
}

void check_finite_loss(const Run& run, const algo::LossParts& parts, int64_t step) {
  if (std::isfinite(parts.loss.item<double>())) return;
  throw core::device_error(fmt::format("{}: the loss is not finite ({}); the weights were not changed in this update",
                                       run.comm->place(step), what_of_the_weights(run)),
                           kFinitenessHint);
}

void check_finite_gradients(const Run& run, double grad_norm, int64_t step) {
  if (std::isfinite(grad_norm)) return;
  throw core::device_error(
      fmt::format("{}: the gradient of {} is not finite; the weights were not changed in this update",
                  run.comm->place(step), run.parallel->first_not_finite_gradient()),
      kFinitenessHint);
}

}  // namespace thinktune::train
