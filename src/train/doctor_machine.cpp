// Libraries, threads, memory, disk.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

#include "doctor_parts.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"
#include "thinktune/ops/linear.h"
#include "thinktune/train/memory.h"

namespace thinktune::train {
namespace fs = std::filesystem;
using checkpoint::CheckpointOptions;
namespace {

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e9; }

// Largest difference from f64, in units of what the sums' terms add up to: a few roundings of the type.
double product_error(at::ScalarType dtype) {
  constexpr int64_t kRows = 33, kDepth = 257, kColumns = 65;
  const auto numbers = [](int64_t rows, int64_t columns) {  // -1 … 1, without a pattern
    return (at::arange(rows * columns, at::kDouble).mul(0.7548776662466927).frac().mul(2).sub(1)).view({rows, columns});
  };
  const at::Tensor a = numbers(kRows, kDepth).to(dtype), b = numbers(kColumns, kDepth).to(dtype);
  const at::Tensor exact = at::matmul(a.to(at::kDouble), b.to(at::kDouble).t());
  const at::Tensor sizes = at::matmul(a.to(at::kDouble).abs(), b.to(at::kDouble).abs().t());
  return at::linear(a, b).to(at::kDouble).sub(exact).abs().div(sizes).max().item<double>();
}

Verdict look_at_libraries(const std::string& versions) {
  const double f32 = product_error(at::kFloat), bf16 = product_error(at::kBFloat16);
  const bool right = f32 < 1e-5 && bf16 < 1e-2;
  Verdict verdict{.found = fmt::format("{}; products are {} (f32 within {:.0e}, bf16 within {:.0e})", versions,
                                       right ? "right" : "WRONG", f32, bf16)};
  if (!right)
    verdict = {Health::Failed, verdict.found,
               "LibTorch computes wrong numbers on this processor: ONEDNN_MAX_CPU_ISA=AVX2 in the environment may help",
               core::ErrorKind::Device};
  return verdict;
}

// Processors that this process may use: those it is bound to, and the share that its control group allows; 0: no limit.
double group_limit() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  return std::strtod(quota.c_str(), nullptr) / period;
}

Verdict look_at_threads() {
  cpu_set_t bound;
  CPU_ZERO(&bound);
  const int cores = ::sched_getaffinity(0, sizeof bound, &bound) == 0
                        ? CPU_COUNT(&bound)
                        : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = at::get_num_threads();
  const double share = group_limit();
  std::string found = fmt::format("{} threads on {} processors", threads, cores);
  if (share > 0 && share < cores) found += fmt::format(", of whose time this container has {:.1f}", share);
  const double usable = share > 0 ? std::min<double>(cores, share) : cores;
  if (threads > std::ceil(usable))
    return {Health::Warning, found,
            fmt::format("threads wait for each other: set OMP_NUM_THREADS={} in the environment, or threads={}",
                        std::ceil(usable), std::ceil(usable))};
  return {.found = found};
}

// What all ranks of this machine take of its memory: only rank 0 holds a copy that is being saved.
int64_t bytes_of_local_ranks(const TrainOptions& options, const model::ModelConfig& config, const RankCounts& ranks) {
  TrainOptions others = options;
  others.checkpoint.background = false;
  return peak_bytes(memory_of_training(config, options, ranks.all)) +
         (ranks.local - 1) * peak_bytes(memory_of_training(config, others, ranks.all));
}

fs::path nearest_existing(fs::path path) {
  std::error_code ignored;
  path = fs::absolute(path, ignored);
  while (!fs::exists(path, ignored) && path.has_parent_path() && path != path.parent_path()) path = path.parent_path();
  return path;
}

}  // namespace

void examine_machine(const std::string& versions, const OnFinding& on_finding) {
  check("libraries", on_finding, [&] { return look_at_libraries(versions); });
  check("threads", on_finding, look_at_threads);
}

Verdict judge_memory(const TrainOptions& options, const model::ModelConfig& config, const RankCounts& ranks,
                     const FreeMemory& host) {
  const at::Device device = ops::open_device(options.device);
  const bool on_gpu = device.is_cuda();
  const int64_t of_one =
      peak_bytes(memory_of_training(config, options, ranks.all, on_gpu ? Processor::Gpu : Processor::Cpu));
  // A rank has its GPU for itself; the ranks of a machine share its memory.
  const bool shared = !on_gpu && ranks.local > 1;
  const int64_t needed = shared ? bytes_of_local_ranks(options, config, ranks) : of_one;
  const int64_t free = on_gpu ? ops::memory_of(device).free : host.bytes;
  std::string found = fmt::format("a step takes about {:.2f} GB", gigabytes(of_one));
  if (ranks.all > 1) found += " on each rank";
  if (shared) found += fmt::format(", {:.2f} GB on the {} of this machine", gigabytes(needed), ranks.local);
  found += fmt::format("; {:.2f} GB are free{}", gigabytes(free),
                       !on_gpu && host.of_group ? " within the limit of this container (its control group)" : "");
  const int64_t copy = on_gpu ? bytes_of_saved_copy(config, options) : 0;  // on the CPU it is among the parts
  if (on_gpu && copy > 0)
    found += fmt::format("; a save beside training copies {:.2f} GB to the host, where {:.2f} GB are free",
                         gigabytes(copy), gigabytes(host.bytes));
  if (copy > host.bytes)
    return {Health::Failed, found, "set checkpoint.background=false: training then waits for saves, without a copy",
            core::ErrorKind::Device};
  if (needed > free)
    return {Health::Failed, found,
            fmt::format("lower engine.kv_cache_mib or update.micro_batch_tokens, set update.gradient_checkpointing, {}"
                        "or take a smaller model; --dry-run of train shows the parts",
                        shared ? "start fewer ranks on this machine, " : ""),
            core::ErrorKind::Device};
  if (static_cast<double>(needed) > 0.9 * static_cast<double>(free))
    return {Health::Warning, found, "little is left for LibTorch's own buffers: lower engine.kv_cache_mib a little"};
  return {.found = found};
}

Verdict look_at_memory(const TrainOptions& options, const model::ModelConfig& config, const RankCounts& ranks) {
  return judge_memory(options, config, ranks, free_host_memory());
}

Verdict look_at_disk(const TrainOptions& options, const model::ModelConfig& config) {
  if (options.output.empty()) throw core::user_error("output is missing", "name the folder of the run");
  const fs::path folder = nearest_existing(options.output);
  if (!fs::is_directory(folder))
    throw core::user_error(fmt::format("{} is a file, not a folder", folder.string()), "choose another output folder");
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    throw core::user_error(fmt::format("{} is not writable", folder.string()), "choose another output folder");
  // Weights in the compute precision; masters and two moments in f32. A new one is whole before an old one is removed.
  const int64_t weight_bytes = options.precision == Precision::Bf16 ? 2 : 4;
  const int64_t one = model::num_parameters(config) * (weight_bytes + 12);
  const auto& [keep_last, keep_best] = options.checkpoint.retention;
  const auto due = [&](int64_t every) { return every > 0 ? (options.steps - 1) / every : 0; };
  // The last step, and the evaluations that are among the best so far.
  const int64_t made =
      std::min(options.steps, due(options.checkpoint.every) + 1 + (keep_best > 0 ? due(options.eval.every) : 0));
  const int64_t kept = keep_last > 0 ? std::min(made, keep_last + keep_best + 1) : made;
  const auto needed = static_cast<double>(one) * static_cast<double>(kept);
  const auto free = static_cast<double>(fs::space(folder).available);
  const std::string found = fmt::format("{} checkpoint{} of {:.2f} GB at a time, {:.1f} GB are free at {}", kept,
                                        kept == 1 ? "" : "s", gigabytes(one), free / 1e9, folder.string());
  if (needed > free)
    return {Health::Failed, found,
            "free some space, choose another output folder, or lower checkpoint.keep_last (0 keeps all)"};
  std::error_code absent;
  if (fs::exists(fs::path(options.output) / "checkpoints", absent))
    return {Health::Warning, found + "; the output folder holds a run already",
            "go on with it by --resume, or choose another output folder"};
  if (made == 1 && options.steps > CheckpointOptions{}.every)
    return {Health::Warning, fmt::format("{}; the only one is that of step {}", found, options.steps),
            "set checkpoint.every: whatever ends the run before loses all of it"};
  return {.found = found};
}

}  // namespace thinktune::train
