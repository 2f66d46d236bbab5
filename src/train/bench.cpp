// Letters: T rows of a product, D width, V vocabulary.
#include "thinktune/train/bench.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>

#include "set_up.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"
#include "thinktune/ops/linear.h"
#include "thinktune/train/batch.h"

namespace thinktune::train {
namespace {

// Multiplications and additions of one token: in all layers, and in the head.
struct Operations {
  double layers = 0, head = 0;
};

Operations operations_of(const model::Weights& weights) {
  Operations operations;
  for (const model::LayerWeights& w : weights.layers)
    for (const at::Tensor& matrix : {w.qkv, w.output, w.gate_up, w.down})
      operations.layers += 2 * static_cast<double>(matrix.numel());
  operations.head = 2 * static_cast<double>(weights.head.numel());
  return operations;
}

// Seconds a row of the model's products, with its own weights, one after the other as a pass has them: the best of a
// few rounds, which is what the machine can do. The engine's passes have packed weights; those for old
// log-probabilities have not, and stand beside what packed ones would take.
class ProductTimes {
 public:
  explicit ProductTimes(const model::Weights& weights) : plain_(weights), packed_(model::pack(weights)) {}

  double layers_forward(int64_t rows) const { return best(matrices(packed_), rows, false); }
  double layers_both(int64_t rows) const { return best(matrices(plain_), rows, true); }
  double head_forward(int64_t rows) const { return best({packed_.head}, rows, false); }
  double head_both(int64_t rows) const { return best({plain_.head}, rows, true); }

 private:
  static std::vector<at::Tensor> matrices(const model::Weights& weights) {
    std::vector<at::Tensor> all;
    for (const model::LayerWeights& w : weights.layers) all.insert(all.end(), {w.qkv, w.output, w.gate_up, w.down});
    return all;
  }

  double best(const std::vector<at::Tensor>& matrices, int64_t rows, bool backward) const {
    c10::NoGradGuard no_grad;
    // The time of a product does not depend on its numbers.
    std::map<int64_t, at::Tensor> inputs;  // by width
    for (const at::Tensor& w : matrices)
      for (const int64_t width : {w.size(0), w.size(1)})
        inputs.try_emplace(width, at::full({rows, width}, 0.5, plain_.embedding.options()));
    double best_s = 0;
    constexpr int kRounds = 7;  // the first one prepares
    for (int round = 0; round < kRounds; ++round) {
      ops::synchronize(plain_.embedding.device());
      core::Stopwatch watch;
      for (const at::Tensor& w : matrices) {
        const at::Tensor &x = inputs.at(w.size(1)), &dy = inputs.at(w.size(0));
        if (!backward) {
          ops::linear(x, w);
          continue;
        }
        const c10::AutoGradMode with_graph(true);
        const at::Tensor leaf = x.detach().requires_grad_(), weight = w.detach().requires_grad_();
        ops::linear(leaf, weight).backward(dy);
      }
      ops::synchronize(plain_.embedding.device());
      const double seconds = watch.seconds();
      if (round == 1 || (round > 1 && seconds < best_s)) best_s = seconds;
    }
    return best_s / static_cast<double>(rows);
  }

  const model::Weights& plain_;
  model::Weights packed_;
};

// What went through the model in the measured steps.
struct Work {
  report::StepSeconds seconds;
  infer::EngineStats sampler, teacher;
  int64_t packed_tokens = 0, response_rows = 0;  // of the updates
  int64_t old_tokens = 0, old_rows = 0;          // of the passes for old and reference log-probabilities
};

void add(Work& work, const StepRecord& record, const TrainOptions& options) {
  work.seconds.sample += record.seconds.sample;
  work.seconds.teacher += record.seconds.teacher;
  work.seconds.old_logprobs += record.seconds.old_logprobs;
  work.seconds.update += record.seconds.update;
  const std::vector<MiniBatch> mini_batches = make_mini_batches(record.groups, options);
  const bool old_pass = mini_batches.size() > 1 && options.update.old_logprobs == OldLogprobs::Policy;
  const int64_t passes = (old_pass ? 1 : 0) + (options.loss.kl_coefficient != 0 ? 1 : 0);
  for (const MiniBatch& mini : mini_batches)
    for (const MicroBatch& micro : mini.micro_batches) {
      work.packed_tokens += packed_tokens(micro);
      work.response_rows += std::ssize(micro.weights_M);
      work.old_tokens += passes * packed_tokens(micro);
      work.old_rows += passes * std::ssize(micro.weights_M);
    }
}

// One prompt row through the head a group; the others are not needed.
double prefill_s(const ProductTimes& times, const infer::EngineStats& stats, int64_t rows) {
  return static_cast<double>(stats.prompt_tokens) * times.layers_forward(rows);
}

double decode_s(const ProductTimes& times, const infer::EngineStats& stats, int64_t slots) {
  return static_cast<double>(stats.generated_tokens) * (times.layers_forward(slots) + times.head_forward(slots));
}

int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

}  // namespace

BenchResult run_bench(const TrainOptions& options, const BenchOptions& bench) {
  TT_CHECK(bench.steps >= 1 && bench.warm_up >= 0, "{} steps after {}", bench.steps, bench.warm_up);
  core::Stopwatch ready;
  Run run;
  run.options = options;
  run.options.engine.ignore_eos = bench.ignore_eos;
  set_up(run, nullptr);
  BenchResult result;
  result.ready_s = ready.seconds();

  Work work;
  for (int64_t step = 0; step < bench.warm_up + bench.steps; ++step) {
    if (step == bench.warm_up) {
      ops::reset_peak_memory(run.device);
      run.engine->reset_stats();
      if (run.teacher_engine != nullptr) run.teacher_engine->reset_stats();
    }
    core::Stopwatch watch;
    const StepRecord record = train_step(run, step);
    if (step < bench.warm_up) continue;
    result.step_s.push_back(watch.seconds());
    add(work, record, options);
    for (const rollout::Group& group : record.groups)
      for (const rollout::Rollout& rollout : group.rollouts) {
        ++result.num_rollouts;
        result.response_tokens += std::ssize(rollout.ids);
      }
  }
  result.peak_bytes = peak_bytes();
  result.device = ops::describe(run.device);
  const ops::DeviceMemory memory = ops::memory_of(run.device);
  result.device_peak_bytes = memory.peak;
  result.device_reserved_bytes = memory.peak_reserved;
  work.sampler = run.engine->stats();
  if (run.teacher_engine != nullptr) work.teacher = run.teacher_engine->stats();

  const model::Weights& weights = run.policy->compute_weights();
  const ProductTimes times(weights);
  const int64_t rollouts = options.rollout.prompts_per_step * options.rollout.group_size;
  const int64_t slots = std::min(options.engine.max_sequences, rollouts);
  const int64_t micro_rows = std::max<int64_t>(1, std::min(options.update.micro_batch_tokens, work.packed_tokens));
  const int64_t head_rows = std::min(micro_rows, ops::TokenLogprobOptions{}.chunk_tokens);
  const Operations operations = operations_of(weights);
  const auto passes = [&](int64_t tokens, int64_t rows) {
    return static_cast<double>(tokens) * operations.layers + static_cast<double>(rows) * operations.head;
  };
  const auto add_part = [&](const std::string& name, double seconds, int64_t tokens, double products_s, double count) {
    if (tokens > 0) result.parts.push_back({name, seconds, tokens, products_s, count});
  };
  const auto add_generation = [&](const std::string& name, double seconds, const infer::EngineStats& stats) {
    const double prefill = prefill_s(times, stats, options.engine.prefill_tokens);
    const double decode = decode_s(times, stats, slots);
    const double prefill_count = passes(stats.prompt_tokens, 0);
    const double decode_count = passes(stats.generated_tokens, stats.generated_tokens);
    add_part(name, seconds, stats.generated_tokens, prefill + decode, prefill_count + decode_count);
    add_part(name + ": prefill", stats.prefill_s, stats.prompt_tokens, prefill, prefill_count);
    add_part(name + ": decode", stats.decode_s, stats.generated_tokens, decode, decode_count);
  };
  add_generation("sample", work.seconds.sample, work.sampler);
  add_generation("teacher", work.seconds.teacher, work.teacher);
  add_part("old log-probs", work.seconds.old_logprobs, work.old_tokens,
           static_cast<double>(work.old_tokens) * times.layers_forward(micro_rows) +
               static_cast<double>(work.old_rows) * times.head_forward(head_rows),
           passes(work.old_tokens, work.old_rows));
  const double layers_s = times.layers_both(micro_rows), head_s = times.head_both(head_rows);
  add_part("update", work.seconds.update, work.packed_tokens,
           static_cast<double>(work.packed_tokens) * layers_s + static_cast<double>(work.response_rows) * head_s,
           3 * passes(work.packed_tokens, work.response_rows));
  result.product_gflops = 3 * (operations.layers + operations.head) / (layers_s + head_s) / 1e9;
  return result;
}

}  // namespace thinktune::train
