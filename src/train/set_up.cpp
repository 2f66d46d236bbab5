#include "set_up.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <span>

#include "exchange.h"
#include "stages.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/heap.h"
#include "thinktune/guidance/model_teacher.h"
#include "thinktune/guidance/reply.h"
#include "thinktune/guidance/teacher_prompt.h"
#include "thinktune/infer/kv_sizes.h"
#include "thinktune/ops/device.h"
#include "thinktune/train/memory.h"

namespace thinktune::train {
namespace {

// Tokens that a teacher's reply takes at most behind its prompt, with what is written for it (the tags, a forced
// opinion).
int64_t longest_reply(const Run& run) {
  const guidance::GuidanceOptions& g = run.options.guidance;
  const int64_t form =
      std::ssize(run.vocabulary.tokenizer->encode(guidance::format_reply(guidance::kIncorrect, "", "")));
  if (g.format == guidance::Format::Constrained) return form + g.max_reason_tokens + g.max_phrase_tokens;
  return g.max_reply_tokens + (g.opinion == guidance::Opinion::Verifier ? form : 0);
}

// The initial model, whatever memory there is.
class PatientTeacher final : public guidance::Teacher {
 public:
  PatientTeacher(const Run& run, guidance::ModelTeacher teacher) : run_(run), teacher_(std::move(teacher)) {}

  std::vector<guidance::TeacherReply> reply(const std::vector<guidance::TeacherRequest>& requests) override {
    const Sampler sampler = {.engine = *run_.teacher_engine,
                             .weights = run_.initial_sharded.get(),
                             .what = "teacher's replies",
                             .longest = run_.options.guidance.max_teacher_prompt_tokens + longest_reply(run_),
                             .lower =
                                 "guidance.max_teacher_prompt_tokens, engine.prefill_tokens or the limits of "
                                 "replies (guidance.max_…_tokens)"};
    return within_memory(run_, sampler, [&] { return teacher_.reply(requests); });
  }

 private:
  const Run& run_;
  guidance::ModelTeacher teacher_;
};

std::unique_ptr<guidance::Teacher> make_model_teacher(Run& run) {
  const TrainOptions& o = run.options;
  run.teacher_engine = std::make_unique<infer::Engine>(*run.engine, *run.initial_weights);
  run.teacher_engine->before_each_round([&stops = *run.stops] { stops.poll(); });
  const guidance::TeacherPrompt prompt = guidance::TeacherPrompt::from(o.guidance);
  run.teacher_prompt_checksum = prompt.checksum();
  return std::make_unique<PatientTeacher>(
      run, guidance::ModelTeacher(*run.teacher_engine, *run.vocabulary.chat, *run.vocabulary.tokenizer,
                                  prompt.fixed_messages(guidance::prompt_view(o.guidance)), o.guidance));
}

void set_up_guide(Run& run, std::unique_ptr<guidance::Teacher> teacher) {
  const TrainOptions& o = run.options;
  if (!o.guidance.enabled) return;
  // Making the initial model a teacher computes what all its prompts begin with.
  run.teacher = divide_teacher(*run.comm,
                               teacher != nullptr
                                   ? std::move(teacher)
                                   : passes_through(run.initial_sharded.get(), [&] { return make_model_teacher(run); }),
                               run.initial_sharded.get());
  const guidance::GuideSetup setup = {.seed = static_cast<uint64_t>(o.seed),
                                      .num_steps = o.steps,
                                      .group_size = o.rollout.group_size,
                                      .response_limit = o.rollout.max_new_tokens,
                                      .end_of_turn_ids = run.config.end_of_turn_ids};
  run.guide = std::make_unique<guidance::Guide>(o.guidance, setup, *run.vocabulary.tokenizer, *run.teacher);
}

void set_up_data(Run& run) {
  const TrainOptions& o = run.options;
  const data::Problems problems = data::load_problems(o.data);
  run.prompt_builder = std::make_unique<data::PromptBuilder>(o.prompt, *run.vocabulary.tokenizer, *run.vocabulary.chat);
  run.prompts = std::make_unique<PromptStream>(problems.train, *run.prompt_builder, static_cast<uint64_t>(o.seed));
  if (run.prompts->num_too_long() > 0)
    spdlog::warn("{} of {} problems have prompts above {} tokens and are left out", run.prompts->num_too_long(),
                 problems.train.size(), o.prompt.max_prompt_tokens);
  int64_t heldout_too_long = 0;
  for (const data::Problem& problem : problems.heldout) {
    if (o.eval.num_problems > 0 && std::ssize(run.heldout) >= o.eval.num_problems) break;
    rollout::Prompt prompt = run.prompt_builder->build(problem, run.heldout.size());
    if (!run.prompt_builder->is_too_long(prompt))
      run.heldout.push_back(std::move(prompt));
    else
      ++heldout_too_long;
  }
  if (heldout_too_long > 0)
    spdlog::warn("{} held-out problems have prompts above {} tokens and are left out of every evaluation",
                 heldout_too_long, o.prompt.max_prompt_tokens);
  spdlog::info("{} training problems, {} held out", run.prompts->size(), run.heldout.size());
}

at::ScalarType compute_dtype(const TrainOptions& o) {
  return o.precision == Precision::Bf16 ? at::kBFloat16 : at::kFloat;
}

// A prompt, and what is generated behind it, at most.
struct Lengths {
  int64_t prompt_tokens = 0, new_tokens = 0;
};

Lengths student_lengths(const TrainOptions& o) {
  return {o.prompt.max_prompt_tokens, std::max(o.rollout.max_new_tokens, o.eval.max_new_tokens)};
}

// Of the last of a reply's parts: what was written before it is its prompt's end.
Lengths teacher_lengths(const Run& run) {
  const guidance::GuidanceOptions& g = run.options.guidance;
  const int64_t last = g.format == guidance::Format::Constrained ? g.max_phrase_tokens : g.max_reply_tokens;
  return {g.max_teacher_prompt_tokens + longest_reply(run) - last, last};
}

// One sequence at least must fit into the sampler's bound, beside what is kept there.
void check_memory(const Run& run, Lengths lengths, const char* what, int64_t kept_bytes = 0) {
  const int64_t limit = run.options.engine.kv_cache_mib << 20;
  const infer::KvSizes sizes(run.config, compute_dtype(run.options), run.device.is_cuda());
  const int64_t bytes = kept_bytes + sizes.sample(lengths.prompt_tokens, lengths.new_tokens);
  if (bytes > limit)
    throw core::user_error(
        fmt::format("the keys and values of {}, up to {} tokens, take {} MiB; engine.kv_cache_mib is "
                    "{}",
                    what, lengths.prompt_tokens + lengths.new_tokens, (bytes + (1 << 20) - 1) >> 20, limit >> 20),
        "raise it, or lower the limits of prompts and responses");
}

// Of the student, in positions: a prompt and what is sampled behind it, or trained on.
int64_t longest_sequence(const TrainOptions& o) {
  return o.prompt.max_prompt_tokens +
         std::max({o.rollout.max_new_tokens, o.guidance.response_limit, o.eval.max_new_tokens});
}

void check_lengths(const Run& run, bool model_teaches) {
  const TrainOptions& o = run.options;
  const int64_t longest = longest_sequence(o);
  if (longest > model::max_tokens(run.config))
    throw core::user_error(
        fmt::format("prompts of up to {} tokens and responses of up to {} exceed the model's {} positions",
                    o.prompt.max_prompt_tokens, longest - o.prompt.max_prompt_tokens, model::max_tokens(run.config)),
        "lower prompt.max_prompt_tokens or rollout.max_new_tokens");
  check_memory(run, student_lengths(o), "a prompt and its response");
  if (model_teaches && o.guidance.max_teacher_prompt_tokens + longest_reply(run) > model::max_tokens(run.config))
    throw core::user_error(
        fmt::format("teacher prompts of up to {} tokens and replies of up to {} exceed the model's {} positions",
                    o.guidance.max_teacher_prompt_tokens, longest_reply(run), model::max_tokens(run.config)),
        o.guidance.format == guidance::Format::Constrained
            ? "lower guidance.max_teacher_prompt_tokens, guidance.max_reason_tokens or guidance.max_phrase_tokens"
            : "lower guidance.max_teacher_prompt_tokens or guidance.max_reply_tokens");
  if (model_teaches) check_memory(run, teacher_lengths(run), "a teacher's prompt and its reply");
}

// Memory that this rank may fill: the GPU's, or its part of the machine's.
int64_t device_bytes(const Run& run) {
  if (run.device.is_cuda()) return ops::memory_of(run.device).total;
  return ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE) / comm::read_environment().local_size;
}

// CUDA tensors travel by NCCL, host tensors by Gloo: a rank without a GPU among others would wait for ever.
void check_same_kind_of_device(const Run& run) {
  const std::vector<std::string> kinds =
      run.comm->all_gather_bytes(run.device.is_cuda() ? "a GPU" : "the CPU", "the devices");
  for (size_t r = 1; r < kinds.size(); ++r)
    if (kinds[r] != kinds[0])
      throw core::user_error(fmt::format("rank {} computes on {}, rank 0 on {}", r, kinds[r], kinds[0]),
                             "set device to cuda, and every rank says why it has none; or to cpu");
}

// XXH3 of all tensors' names, types, shapes and bytes, however they are divided into files. The disk is read once for
// it: loading finds the bytes in the system's cache.
std::string checksum_of(const weights::TensorSource& source) {
  const std::vector<weights::TensorInfo>& tensors = source.tensors();
  std::vector<std::string> facts(tensors.size());
  at::parallel_for(0, std::ssize(tensors), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const weights::TensorInfo& t = tensors[static_cast<size_t>(i)];
      facts[static_cast<size_t>(i)] = fmt::format("{}:{} {} [{}] {:016x}\n", t.name.size(), t.name, name_of(t.dtype),
                                                  fmt::join(t.shape, ","), core::xxh3_of(t.bytes));
      source.release(t);
    }
  });
  std::sort(facts.begin(), facts.end());
  const std::string all = fmt::format("{}", fmt::join(facts, ""));
  return fmt::format("{:016x}", core::xxh3_of(std::as_bytes(std::span(all))));
}

void set_up_policy(Run& run, const model::Pretrained& pretrained, bool needs_initial) {
  const at::ScalarType compute = compute_dtype(run.options);
  model::Weights master = pretrained.load_weights(at::kFloat, run.device);
  if (needs_initial)
    run.initial_weights = std::make_unique<model::Weights>(model::map_weights(
        master, [&](const at::Tensor& t) { return t.to(compute, /*non_blocking=*/false, /*copy=*/true); }));
  run.policy = std::make_unique<Policy>(*run.decoder, std::move(master), compute);
  run.parallel = std::make_unique<DataParallel>(*run.policy, *run.comm, run.options.comm);
}

// Ranks with different memory must go the same way.
comm::Gather decision_of_first(const Run& run, comm::Gather own) {
  const std::string first =
      run.comm->all_gather_bytes(std::string(core::name_of(comm::kGatherNames, own)), "a decision of rank 0")[0];
  for (const auto& [name, gather] : comm::kGatherNames)
    if (name == first) return gather;
  throw core::internal_error(fmt::format("rank 0 has decided for '{}'", first));
}

// The host holds all weights for a moment, the device never.
void set_up_sharded_policy(Run& run, const model::Pretrained& pretrained, bool needs_initial) {
  const TrainOptions& o = run.options;
  const comm::Gather gather =
      decision_of_first(run, gather_that_fits(run.config, o, run.comm->size(), device_bytes(run),
                                              run.device.is_cuda() ? Processor::Gpu : Processor::Cpu));
  spdlog::info("weights come together as with comm.gather = {}", core::name_of(comm::kGatherNames, gather));
  const model::Weights master = pretrained.load_weights(at::kFloat);
  const auto divide = [&](const ShardedWeights* beside) {
    return std::make_unique<ShardedWeights>(master, compute_dtype(o), run.device, *run.comm, gather, beside);
  };
  run.sharded = divide(nullptr);
  if (needs_initial) {
    run.initial_sharded = divide(run.sharded.get());
    run.initial_weights = std::make_unique<model::Weights>(run.initial_sharded->weights());
  }
  run.policy = std::make_unique<Policy>(*run.decoder, run.sharded->weights());
  run.parallel =
      std::make_unique<DataParallel>(*run.policy, *run.comm, o.comm, *run.sharded, run.sharded->f32_parts(master));
}

}  // namespace

PromptStream::PromptStream(const std::vector<data::Problem>& problems, const data::PromptBuilder& builder,
                           uint64_t seed)
    : prompts_(build(problems, builder, num_too_long_)),
      seed_(seed),
      order_(seed, static_cast<uint32_t>(prompts_.size())) {}

std::vector<rollout::Prompt> PromptStream::build(const std::vector<data::Problem>& problems,
                                                 const data::PromptBuilder& builder, int64_t& too_long) {
  std::vector<rollout::Prompt> prompts;
  for (const data::Problem& problem : problems) {
    rollout::Prompt prompt = builder.build(problem, 0);
    if (builder.is_too_long(prompt))
      ++too_long;
    else
      prompts.push_back(std::move(prompt));
  }
  if (prompts.empty())
    throw core::user_error("no training problem is left: every prompt is longer than prompt.max_prompt_tokens",
                           "raise the limit");
  return prompts;
}

std::vector<rollout::Prompt> PromptStream::next(int64_t count) {
  std::vector<rollout::Prompt> prompts;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t number = order_.position();
    prompts.push_back(prompts_[order_.next()]);
    prompts.back().number = number;
  }
  return prompts;
}

void PromptStream::restore(uint64_t position) {
  order_ = data::DataOrder(seed_, static_cast<uint32_t>(prompts_.size()), position);
}

std::string PromptStream::checksum() const {
  std::string all;
  for (const rollout::Prompt& prompt : prompts_) {
    const auto* ids = reinterpret_cast<const char*>(prompt.ids.data());
    all += fmt::format("{}\n{}\n{}:", prompt.gold, prompt.solution, prompt.ids.size());
    all.append(ids, prompt.ids.size() * sizeof(core::TokenId));
    all = fmt::format("{:016x}", XXH3_64bits(all.data(), all.size()));
  }
  return all;
}

void set_up(Run& run, std::unique_ptr<guidance::Teacher> teacher) {
  const TrainOptions& o = run.options;
  validate(o);
  if (run.comm == nullptr) run.comm = comm::make_single();
  run.stops = std::make_unique<StopPoints>(*run.comm);
  if (run.comm->size() > 1 && o.comm.shard != comm::Shard::None) core::give_back_freed_memory();
  const bool model_teaches = o.guidance.enabled && teacher == nullptr;
  if (o.threads > 0) at::set_num_threads(static_cast<int>(o.threads));
  run.device = ops::open_device(o.device);
  check_same_kind_of_device(run);
  spdlog::info("computing on {}", ops::describe(run.device));
  const model::Pretrained pretrained(o.model);
  run.config = pretrained.config();
  run.config.long_context = o.long_context;
  run.vocabulary = pretrained.load_vocabulary({.chat_template = o.chat_template});
  model::add_end_of_turn(run.config, run.vocabulary);
  check_lengths(run, model_teaches);
  set_up_data(run);

  run.decoder = std::make_unique<model::Decoder>(run.config, run.device);
  const bool needs_initial = model_teaches || o.loss.kl_coefficient != 0;
  if (needs_initial)
    run.initial_model_checksum = run.comm
                                     ->all_gather_bytes(run.comm->is_first() ? checksum_of(pretrained.source()) : "",
                                                        "the initial model's checksum")
                                     .front();
  if (run.comm->size() > 1 && o.comm.shard == comm::Shard::Parameters)
    set_up_sharded_policy(run, pretrained, needs_initial);
  else
    set_up_policy(run, pretrained, needs_initial);
  infer::EngineOptions engine = o.engine;
  engine.reserved_tokens = kv_tokens(o);
  run.engine =
      std::make_unique<infer::Engine>(*run.decoder, run.policy->compute_weights(), *run.vocabulary.tokenizer, engine);
  run.engine->before_each_round([&stops = *run.stops] { stops.poll(); });
  run.reward = reward::make_reward(o.reward);
  run.optimiser = std::make_unique<optim::AdamW>(run.parallel->parameters(), o.optim);
  set_up_guide(run, std::move(teacher));
  const int64_t kept_bytes = run.engine->kept_bytes();
  check_memory(run, student_lengths(o), "a prompt and its response beside the beginning of the teacher's prompts",
               kept_bytes);
  if (model_teaches)  // a prompt that is cut to its limit does not begin so
    check_memory(run, teacher_lengths(run), "a teacher's prompt and its reply beside the beginning of the others",
                 kept_bytes);
}

}  // namespace thinktune::train
