// Letters: T rows of a product, D width, V vocabulary.
#include "thinktune/train/bench.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <functional>
#include <map>

#include "set_up.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"
#include "thinktune/ops/linear.h"
#include "thinktune/train/batch.h"

namespace thinktune::train {
namespace {

using infer::RowCounts;

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

// Seconds of the model's products in a pass of so many rows, with its own weights, one after the other as a pass has
// them: the best of a few rounds, which is what the machine can do. The engine's passes have packed weights; those for
// old log-probabilities have not, and stand beside what packed ones would take.
class ProductTimes {
 public:
  explicit ProductTimes(const model::Weights& weights)
      : plain_(weights),
        packed_(model::pack(weights)),
        layers_forward_([this](int64_t rows) { return best(matrices(packed_), rows, false); }),
        layers_both_([this](int64_t rows) { return best(matrices(plain_), rows, true); }),
        head_forward_([this](int64_t rows) { return best({packed_.head}, rows, false); }),
        head_both_([this](int64_t rows) { return best({plain_.head}, rows, true); }) {}

  double layers_forward(const RowCounts& passes) { return layers_forward_.of(passes); }
  double layers_both(const RowCounts& passes) { return layers_both_.of(passes); }
  double head_forward(const RowCounts& passes) { return head_forward_.of(passes); }
  double head_both(const RowCounts& passes) { return head_both_.of(passes); }

 private:
  // Measured at powers of two and in the middle between them; what lies between two of these, along a line.
  class ByRows {
   public:
    explicit ByRows(std::function<double(int64_t)> measure) : measure_(std::move(measure)) {}

    double of(const RowCounts& passes) {
      double seconds = 0;
      for (const auto& [rows, count] : passes) seconds += static_cast<double>(count) * of_pass(rows);
      return seconds;
    }

   private:
    double of_pass(int64_t rows) {
      constexpr int64_t kMost = 2048;  // from there on a row takes the same time
      if (rows > kMost) return measured(kMost) * static_cast<double>(rows) / kMost;
      const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows)));
      const int64_t middle = power + power / 2;
      const int64_t below = rows < middle ? power : middle;
      if (rows == below) return measured(below);
      const int64_t above = rows < middle ? middle : 2 * power;
      const double part = static_cast<double>(rows - below) / static_cast<double>(above - below);
      return (1 - part) * measured(below) + part * measured(above);
    }

    double measured(int64_t rows) {
      const auto [found, is_new] = seconds_.try_emplace(rows, 0);
      if (is_new) found->second = measure_(rows);
      return found->second;
    }

    std::function<double(int64_t)> measure_;
    std::map<int64_t, double> seconds_;
  };

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
    constexpr int kRounds = 7;           // the first one prepares
    constexpr double kLongEnough_s = 3;  // then two do
    core::Stopwatch all;
    for (int round = 0; round < kRounds && (round < 2 || all.seconds() < kLongEnough_s); ++round) {
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
    return best_s;
  }

  const model::Weights& plain_;
  model::Weights packed_;
  ByRows layers_forward_, layers_both_, head_forward_, head_both_;
};

// What went through the model in the measured steps.
struct Work {
  report::StepSeconds seconds;
  infer::EngineStats sampler, teacher;
  RowCounts update, update_head;  // the passes of updates, and those of their response rows through the head
  RowCounts old, old_head;        // the same for old and reference log-probabilities
};

int64_t rows_of(const RowCounts& passes) {
  int64_t rows = 0;
  for (const auto& [rows_of_one, count] : passes) rows += rows_of_one * count;
  return rows;
}

double rows_a_pass(const RowCounts& passes) {
  int64_t count = 0;
  for (const auto& [rows, passes_of_so_many] : passes) count += passes_of_so_many;
  return count > 0 ? static_cast<double>(rows_of(passes)) / static_cast<double>(count) : 0;
}

// Response rows go through the head in chunks.
void add_head(RowCounts& passes, int64_t rows, int64_t count) {
  constexpr int64_t kChunk = ops::TokenLogprobOptions{}.chunk_tokens;
  if (rows >= kChunk) passes[kChunk] += count * (rows / kChunk);
  if (rows % kChunk > 0) passes[rows % kChunk] += count;
}

void add(Work& work, const StepRecord& record, const TrainOptions& options) {
  work.seconds.sample += record.seconds.sample;
  work.seconds.teacher += record.seconds.teacher;
  work.seconds.old_logprobs += record.seconds.old_logprobs;
  work.seconds.update += record.seconds.update;
  const std::vector<MiniBatch> mini_batches = make_mini_batches(record.groups, options);
  const bool old_pass = mini_batches.size() > 1 && options.update.old_logprobs == OldLogprobs::Policy;
  const int64_t old_passes = (old_pass ? 1 : 0) + (options.loss.kl_coefficient != 0 ? 1 : 0);
  for (const MiniBatch& mini : mini_batches)
    for (const MicroBatch& micro : mini.micro_batches) {
      const int64_t rows = packed_tokens(micro), response_rows = std::ssize(micro.weights_M);
      ++work.update[rows];
      add_head(work.update_head, response_rows, 1);
      if (old_passes == 0) continue;
      work.old[rows] += old_passes;
      add_head(work.old_head, response_rows, old_passes);
    }
}

// Resident memory of the process, the most in each phase: the system's mark begins anew with each, where it lets us.
class PhasePeaks {
 public:
  void begin(const std::string& phase) {
    if (phase == phase_) return;
    end();
    phase_ = phase;
    std::ofstream again("/proc/self/clear_refs");
    again << "5" << std::flush;
    known_ = again.good();
  }

  void end() {
    const int64_t bytes = mark();
    most_ = std::max(most_, bytes);
    if (known_ && !phase_.empty()) peaks_[phase_] = std::max(peaks_[phase_], bytes);
    phase_.clear();
  }

  int64_t most() const { return most_; }
  int64_t of(const std::string& phase) const {  // 0: not known
    const auto found = peaks_.find(phase);
    return found != peaks_.end() ? found->second : 0;
  }

 private:
  static int64_t mark() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
      if (word == "VmHWM:") {
        int64_t kib = 0;
        status >> kib;
        return 1024 * kib;
      }
    return 0;
  }

  std::string phase_;
  bool known_ = false;
  int64_t most_ = 0;
  std::map<std::string, int64_t> peaks_;
};

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
  PhasePeaks peaks;
  for (int64_t step = 0; step < bench.warm_up + bench.steps; ++step) {
    if (step == bench.warm_up) {
      run.stops->observer = [&peaks](int64_t, const std::string& phase) { peaks.begin(phase); };
      ops::reset_peak_memory(run.device);
      run.engine->reset_stats();
      if (run.teacher_engine != nullptr) run.teacher_engine->reset_stats();
    }
    core::Stopwatch watch;
    const StepRecord record = train_step(run, step);
    if (step < bench.warm_up) continue;
    result.step_s.push_back(watch.seconds());
    peaks.end();
    add(work, record, options);
    for (const rollout::Group& group : record.groups)
      for (const rollout::Rollout& rollout : group.rollouts) {
        ++result.num_rollouts;
        result.response_tokens += std::ssize(rollout.ids);
      }
  }
  result.peak_bytes = peaks.most();
  result.device = ops::describe(run.device);
  const ops::DeviceMemory memory = ops::memory_of(run.device);
  result.device_peak_bytes = memory.peak;
  result.device_reserved_bytes = memory.peak_reserved;
  work.sampler = run.engine->stats();
  if (run.teacher_engine != nullptr) work.teacher = run.teacher_engine->stats();

  const model::Weights& weights = run.policy->compute_weights();
  ProductTimes times(weights);
  const Operations operations = operations_of(weights);
  const auto count = [&](const RowCounts& layers, const RowCounts& head) {
    return static_cast<double>(rows_of(layers)) * operations.layers +
           static_cast<double>(rows_of(head)) * operations.head;
  };
  const auto add_part = [&](BenchPart part) {
    if (part.operations > 0) result.parts.push_back(std::move(part));
  };
  const auto add_generation = [&](const std::string& name, double seconds, const infer::EngineStats& stats,
                                  int64_t peak_bytes) {
    // Of a prompt one row goes through the head, which is left out.
    const double prefill_s = times.layers_forward(stats.prefill_passes);
    const double decode_s = times.layers_forward(stats.decode_passes) + times.head_forward(stats.decode_passes);
    const double prefill = count(stats.prefill_passes, {}), decode = count(stats.decode_passes, stats.decode_passes);
    add_part({name, seconds, stats.generated_tokens, prefill_s + decode_s, prefill + decode, 0, peak_bytes});
    add_part({name + ": prefill", stats.prefill_s, stats.prompt_tokens, prefill_s, prefill,
              rows_a_pass(stats.prefill_passes)});
    add_part({name + ": decode", stats.decode_s, stats.generated_tokens, decode_s, decode,
              rows_a_pass(stats.decode_passes)});
  };
  add_generation("sample", work.seconds.sample, work.sampler, peaks.of("sampling"));
  add_generation("teacher", work.seconds.teacher, work.teacher, peaks.of("teacher"));
  add_part({"old log-probs", work.seconds.old_logprobs, rows_of(work.old),
            times.layers_forward(work.old) + times.head_forward(work.old_head), count(work.old, work.old_head),
            rows_a_pass(work.old), peaks.of("old log-probs")});
  const double update_s = times.layers_both(work.update) + times.head_both(work.update_head);
  const double update = 3 * count(work.update, work.update_head);
  add_part({"update", work.seconds.update, rows_of(work.update), update_s, update, rows_a_pass(work.update),
            peaks.of("update")});
  if (update_s > 0) result.product_gflops = update / update_s / 1e9;
  return result;
}

}  // namespace thinktune::train
