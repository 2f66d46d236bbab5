#include "cli/ranks.h"

#include <ATen/Parallel.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "thinktune/comm/launcher.h"
#include "thinktune/core/error.h"
#include "thinktune/core/last_words.h"
#include "thinktune/ops/device.h"

namespace thinktune::cli {
namespace {

// The ranks of a machine share its cores.
void divide_cores(const comm::Environment& environment) {
  if (environment.local_size == 1 || std::getenv("OMP_NUM_THREADS") != nullptr) return;
  const int64_t cores = std::max(1U, std::thread::hardware_concurrency());
  at::set_num_threads(static_cast<int>(std::max<int64_t>(1, cores / environment.local_size)));
}

}  // namespace

std::optional<int> launch_ranks(int64_t nproc, const std::function<std::string()>& last_words) {
  if (nproc == 0 || comm::is_launched()) return std::nullopt;
  if (const comm::Environment e = comm::read_environment(); e.size > 1)
    throw core::user_error(
        fmt::format("--nproc starts ranks itself, but this process is rank {} of {} of {}", e.rank, e.size, e.launcher),
        "leave out --nproc");
  return comm::launch_local(nproc, last_words);
}

[[noreturn]] void end_stuck(const std::string& message) {
  std::fprintf(stderr, "error: %s\n%s", message.c_str(), std::string(core::last_words()).c_str());
  std::fflush(nullptr);
  std::_Exit(core::exit_code(core::ErrorKind::Device));
}

std::unique_ptr<comm::Communicator> join_ranks(train::TrainOptions& options, double timeout_s) {
  const comm::Environment environment = comm::read_environment();
  divide_cores(environment);
  // What rank 0 says is enough.
  if (environment.rank > 0 && std::getenv("THINKTUNE_LOG") == nullptr) spdlog::set_level(spdlog::level::err);
  comm::ConnectOptions connect = {.timeout_s = timeout_s, .on_stuck = end_stuck};
  if (environment.size > 1) {
    const ops::LocalRank local = {
        .rank = environment.local_rank,
        .size = environment.local_size,
        .may_see_only_its_own = environment.launcher == "Slurm" || environment.launcher == "Open MPI"};
    options.device = ops::device_of_rank(options.device, local, ops::num_gpus());
    const at::Device device = ops::open_device(options.device);
    if (device.is_cuda()) connect.cuda_device = device.index();
  }
  auto ranks = comm::connect(environment, connect);
  if (environment.size > 1) spdlog::info("{} ranks, started by {}", environment.size, environment.launcher);
  return ranks;
}

}  // namespace thinktune::cli
