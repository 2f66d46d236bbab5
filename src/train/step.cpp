// THE step. ThinkTuning, one step of it, in the order of the method (arXiv 2508.07616).
#include <ATen/ATen.h>

#include "exchange.h"
#include "stages.h"
#include "thinktune/algo/loss.h"
#include "thinktune/core/clock.h"
#include "thinktune/ops/device.h"
#include "thinktune/train/batch.h"
#include "thinktune/train/run.h"

namespace thinktune::train {

StepRecord train_step(Run& run, int64_t step) {
  const TrainOptions& o = run.options;
  StepRecord record;
  core::Stopwatch watch;
  run.stops->begin_step(step);

  run.stops->begin("sampling");
  // The student answers each prompt n times, and is judged on what it said by itself: each answer while others are
  // being sampled. Each rank samples its part of the prompts; from here on every rank knows all groups.
  const std::vector<rollout::Prompt> prompts = run.prompts->next(o.rollout.prompts_per_step);
  record.groups = gather_groups(*run.comm, prompts, sample_rollouts(run, prompts, step));
  run.engine->release();  // the memory of the sampler's copies is the rest of the step's now
  record.seconds.sample = watch.restart();

  run.stops->begin("teacher");
  // The teacher reads some of the answers, says what it thinks, goes on from there; the joined text is judged again.
  if (run.guide != nullptr) record.guidance = run.guide->guide(record.groups, step);
  judge_guided(*run.comm, record.groups, *run.reward);
  record.seconds.teacher = watch.restart();

  run.stops->begin("old log-probs");
  // How much better than its group was each answer?
  assign_advantages(record.groups, o.advantage);

  // Every token's log-probability before the policy moves, and under the initial model if the loss asks for it.
  std::vector<MiniBatch> mini_batches = make_mini_batches(record.groups, o, run.comm->size());
  keep_own(mini_batches, run.comm->rank(), run.comm->size(), o.comm);
  add_old_logprobs(run, mini_batches);
  add_reference_logprobs(run, mini_batches);
  record.seconds.old_logprobs = watch.restart();

  run.stops->begin("update");
  const ops::ProfilerRange range("update");
  check_finite_weights(run, step);
  for (size_t update = 0; update < mini_batches.size(); ++update) {
    const MiniBatch& mini = mini_batches[update];
    record.updates.add_mini_batch(mini);
    if (mini.num_micro_batches == 0) continue;  // all groups equal: nothing to learn from, so nothing moves

    run.parallel->begin_update(mini);
    for (const MicroBatch& micro : mini.micro_batches) {
      run.stops->poll();
      const ops::TokenLogprobs logprobs =
          run.policy->logprobs(micro.groups, logprob_options(o), o.update.gradient_checkpointing);
      const algo::LossInputs inputs = loss_inputs(micro, logprobs, o);
      const algo::LossParts parts = algo::policy_loss(inputs, mini.has_guided, o.loss);
      check_finite_loss(run, parts, step);
      parts.loss.backward();
      run.parallel->end_micro_batch();
      record.updates.add_micro_batch(micro, inputs, parts);
    }

    run.parallel->sum_gradients();  // of all micro-batches of all ranks
    const double grad_norm = run.parallel->clip_gradients(o.optim);
    check_finite_gradients(run, grad_norm, step);
    const double lr = learning_rate(o, step, static_cast<int64_t>(update), std::ssize(mini_batches));
    run.stops->commit();
    run.optimiser->step(run.parallel->gradients(), lr);
    run.parallel->publish_weights();
    run.engine->weights_changed();
    record.updates.add_update(grad_norm, lr);
  }
  ops::synchronize(run.device);
  record.updates.gather(*run.comm);
  record.seconds.update = watch.restart();
  return record;
}

}  // namespace thinktune::train
