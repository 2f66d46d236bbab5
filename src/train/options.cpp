#include "thinktune/train/options.h"

#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"

namespace thinktune::train {

void describe(core::Fields& f, RolloutOptions& o) {
  f.integer("prompts_per_step", o.prompts_per_step, {1, 1 << 20}, "prompts of a step");
  f.integer("group_size", o.group_size, {1, 4096},
            "rollouts of each prompt; their rewards are compared with each other");
  f.integer("max_new_tokens", o.max_new_tokens, {1, 1 << 20}, "limit of a response, in tokens");
  f.group("sampling", o.sampling, "how rollouts are drawn");
}

// Measured with SmolLM2 at temperature 1: 5e-6 on average and 2e-5 at most in f32, 0.025 and 0.26 in bf16 (200 tokens;
// at most 1.1 in thirty steps).
SamplerTolerance sampler_tolerance(Precision precision) {
  return precision == Precision::F32 ? SamplerTolerance{1e-4, 1e-2} : SamplerTolerance{0.1, 2};
}

void describe(core::Fields& f, UpdateOptions& o) {
  const SamplerTolerance f32 = sampler_tolerance(Precision::F32), bf16 = sampler_tolerance(Precision::Bf16);
  f.integer("mini_batch_prompts", o.mini_batch_prompts, {1, 1 << 20},
            "prompts of one optimiser update; a step makes prompts_per_step / mini_batch_prompts updates, rounded up");
  f.integer("micro_batch_tokens", o.micro_batch_tokens, {1, 1 << 24},
            "tokens of one forward and backward pass; bounds memory");
  f.boolean(
      "gradient_checkpointing", o.gradient_checkpointing,
      "keep only the input of each of the model's blocks, and compute the blocks again in the backward pass: less "
      "memory for about a third more time. Does not change the result");
  f.choice("old_logprobs", o.old_logprobs, kOldLogprobsNames,
           fmt::format("old log-probabilities of the ratio: policy (its forward pass at the start of the step) or "
                       "sampler (as recorded while sampling). The first step of a run compares the two, and the run "
                       "stops where tokens differ by more than {} on average or {} at most in f32, {} and {} in bf16 "
                       "(nats)",
                       f32.mean, f32.largest, bf16.mean, bf16.largest));
  f.number("mismatch_warning", o.mismatch_warning, core::above(0.0),
           "warn when sampler and trainer differ by more than this in a token's log-probability (nats)");
}

void describe(core::Fields& f, TrainOptions& o) {
  f.choice("mode", o.mode, kModeNames,
           "paper: the method as intended; reference: as the public code computes it. Sets the defaults of loss.aas, "
           "loss.single_clip_without_teacher and guidance.repeat_question");
  f.text("model", o.model, "Hugging Face folder or .gguf file; the policy starts from it and the teacher stays it");
  f.text("chat_template", o.chat_template,
         "Jinja file of a chat template in place of the model's own; empty: its own. A base model has none");
  f.boolean("long_context", o.long_context,
            "models with longrope (Phi 3, 128k): true if prompt and response together may pass the original length; "
            "their long rope factors hold then for every sequence");
  f.text("output", o.output, "folder of the run: metrics, rollouts, checkpoints; it must not hold another run");
  f.integer("seed", o.seed, core::at_least(int64_t{0}), "seed of all random numbers");
  f.integer("steps", o.steps, {1, 100'000'000}, "training steps");
  f.text("device", o.device,
         "what computes: cpu, cuda or cuda:N (GPU N), or auto: the first GPU where there is one and the program was "
         "built with CUDA, else the CPU");
  f.integer("threads", o.threads, {0, 4096}, "threads of the CPU's part of the computation; 0: one a core");
  f.choice("precision", o.precision, kPrecisionNames, "bf16: f32 master weights, bf16 passes; f32: throughout");
  f.group("data", o.data, "where the problems come from");
  f.group("prompt", o.prompt, "how a problem becomes a prompt");
  f.group("rollout", o.rollout, "how many rollouts, and how they are drawn");
  f.group("engine", o.engine, "the sampler");
  f.group("guidance", o.guidance, "the teacher; guidance.enabled = false is plain GRPO");
  f.group("reward", o.reward, "how a response is judged");
  f.group("advantage", o.advantage, "from rewards to advantages");
  f.group("loss", o.loss, "the policy loss");
  f.group("update", o.update, "from a step's rollouts to optimiser updates");
  f.group("optim", o.optim, "the optimiser, AdamW");
  f.group("comm", o.comm, "what several ranks (processes) do together; with one rank none of it matters");
  f.group("eval", o.eval, "evaluations on the held-out problems");
  f.group("checkpoint", o.checkpoint, "what is saved and when");
  f.group("report", o.report, "what is written for people");
}

void apply_mode(TrainOptions& options, Mode mode) {
  options.mode = mode;
  const bool reference = mode == Mode::Reference;
  options.loss.aas = reference ? algo::AasMode::Reference : algo::AasMode::Paper;
  options.loss.single_clip_without_teacher = reference;
  options.guidance.repeat_question = reference;
}

void validate(const TrainOptions& options) {
  core::check_ranges(options, "");
  if (options.model.empty()) throw core::user_error("model is missing", "name a Hugging Face folder or a .gguf file");
  if (options.output.empty()) throw core::user_error("output is missing", "name the folder of the run");
  ops::check_device_name(options.device, "device");
  validate(options.data);
  validate(options.prompt);
  validate(options.rollout.sampling);
  validate(options.engine);
  validate(options.guidance);
  validate(options.reward);
  validate(options.advantage);
  validate(options.loss);
  validate(options.optim);
  validate(options.comm);
  validate(options.eval);
  validate(options.checkpoint);
  validate(options.report);
  if (options.rollout.sampling.temperature == 0)
    throw core::user_error("rollout.sampling.temperature is 0: all rollouts of a group would be the same",
                           "use 1, or what the model needs");
  if (options.rollout.group_size == 1 && options.advantage.normalize_std)
    throw core::user_error("rollout.group_size is 1: a rollout alone has nothing to be compared with",
                           "use at least 2");
  if (options.comm.fixed_order && options.update.old_logprobs == OldLogprobs::Sampler)
    throw core::user_error(
        "comm.fixed_order promises the same bits for any number of ranks, but with update.old_logprobs = sampler the "
        "loss goes by log-probabilities whose last bit depends on how many sequences a rank decodes together",
        "set update.old_logprobs to policy, or leave out comm.fixed_order");
  if (options.checkpoint.retention.keep_best > 0 && options.eval.every == 0)
    throw core::user_error("checkpoint.keep_best goes by evaluations, and eval.every is 0: there are none",
                           "set eval.every, or leave out checkpoint.keep_best");
  if (options.checkpoint.best_metric == checkpoint::Metric::Majority && options.eval.samples < 2)
    throw core::user_error("checkpoint.best_metric is majority, and eval.samples is 1: there is no majority",
                           "set eval.samples to 3 or more, and eval.sampling.temperature above 0");
  if (options.update.mini_batch_prompts > options.rollout.prompts_per_step)
    throw core::user_error(fmt::format("update.mini_batch_prompts is {}, but a step has only {} prompts",
                                       options.update.mini_batch_prompts, options.rollout.prompts_per_step),
                           "set it to rollout.prompts_per_step for one update a step");
}

std::string describe_sizes(const TrainOptions& o) {
  const int64_t rollouts = o.rollout.prompts_per_step * o.rollout.group_size;
  const int64_t updates = (o.rollout.prompts_per_step + o.update.mini_batch_prompts - 1) / o.update.mini_batch_prompts;
  std::string text = fmt::format("{} prompts × {} = {} rollouts a step → {} {} of {}\n", o.rollout.prompts_per_step,
                                 o.rollout.group_size, rollouts, updates, updates == 1 ? "update" : "updates",
                                 o.update.mini_batch_prompts * o.rollout.group_size);
  text += fmt::format("{} steps = {} rollouts, at most {} tokens each\n", o.steps, o.steps * rollouts,
                      o.rollout.max_new_tokens);
  text += o.guidance.enabled ? guidance::describe_selection(o.guidance, o.rollout.group_size) + "\n"
                             : "no teacher: plain GRPO\n";
  return text;
}

}  // namespace thinktune::train
