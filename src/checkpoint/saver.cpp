#include "thinktune/checkpoint/saver.h"

#include <ATen/ATen.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <system_error>
#include <utility>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/core/last_words.h"
#include "thinktune/ops/device.h"

namespace thinktune::checkpoint {
namespace {

at::Tensor copy_of(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options().device(at::kCPU).requires_grad(false)).copy_(tensor.detach());
}

std::vector<at::Tensor> copies_of(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> copies;
  for (const at::Tensor& tensor : tensors) copies.push_back(copy_of(tensor));
  return copies;
}

// Training goes first wherever both want a core: its threads wait for each other, and all of them for the one that this
// thread would hold up. When training waits for a save, this thread has the cores for itself.
void give_way() {
  constexpr int kLowest = 19;
  ::setpriority(PRIO_PROCESS, 0, kLowest);  // of this thread alone; where it is refused the save is as good
}

// Threads that are made meanwhile take no signals: those go to the thread that trains.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace

// The policy's f32 weights are the master weights themselves.
struct Saver::Snapshot {
  RunState state;
  RunTensors tensors;
  model::Weights policy;

  Snapshot(const RunState& run_state, const RunTensors& run) : state(run_state), tensors(run) {
    at::NoGradGuard no_grad;
    policy = *run.policy;
    tensors.policy = &policy;
    if (run.are_copies) return;
    tensors.master = copies_of(run.master);
    tensors.first_moments = copies_of(run.first_moments);
    tensors.second_moments = copies_of(run.second_moments);
    size_t number = 0;
    policy = model::map_weights(*run.policy, [&](const at::Tensor& weight) {
      const size_t i = number++;
      return weight.is_alias_of(run.master[i]) ? tensors.master[i] : copy_of(weight);
    });
  }
};

Saver::Saver(std::filesystem::path folder, const Retention& retention)
    : folder_(std::move(folder)), retention_(retention) {}

Saver::~Saver() {
  if (thread_.joinable()) thread_.join();
  if (!error_) return;
  try {
    std::rethrow_exception(error_);
  } catch (const std::exception& error) {
    spdlog::error("a checkpoint was not saved: {}", error.what());
  }
}

void Saver::check() {
  if (busy_) return;
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Saver::finish() {
  if (thread_.joinable()) thread_.join();
  check();
}

void Saver::wait() {
  core::Stopwatch watch;
  finish();
  held_up_s_ += watch.seconds();
}

// The first save makes the folder. Made anew later it would lack the checkpoints that were in it, and nobody would
// know.
void Saver::check_folder() {
  if (!has_folder_) {
    core::make_folder(folder_);
    has_folder_ = true;
  }
  if (!std::filesystem::exists(folder_)) throw core::removed_meanwhile(folder_);
}

void Saver::start(const RunState& state, const RunTensors& tensors, const Scores& scores) {
  core::Stopwatch watch;
  finish();
  check_folder();
  std::string refused;
  try {
    write_beside(std::make_shared<Snapshot>(state, tensors), scores, watch);
  } catch (const std::system_error& error) {
    refused = fmt::format("thread for it ({})", error.what());
  } catch (const std::exception& error) {
    if (!ops::is_out_of_memory(error)) throw;
    refused = "memory for the copy that it is written from";
  }
  if (refused.empty()) return;
  spdlog::warn("training waits for this save: there is no {} (with checkpoint.background=false it always waits)",
               refused);
  save(state, tensors, scores);
}

void Saver::write_beside(std::shared_ptr<Snapshot> snapshot, const Scores& scores, const core::Stopwatch& watch) {
  const double held_up_s = watch.seconds();
  const SignalsBlocked blocked;
  busy_ = true;
  try {
    thread_ = std::thread([this, snapshot = std::move(snapshot), scores, held_up_s]() mutable {
      give_way();
      try {
        write(snapshot->state, snapshot->tensors, scores, held_up_s);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        error_ = std::current_exception();
      }
      snapshot.reset();
      busy_ = false;
    });
  } catch (...) {
    busy_ = false;
    throw;
  }
  held_up_s_ += held_up_s;
}

void Saver::save(const RunState& state, const RunTensors& tensors, const Scores& scores) {
  core::Stopwatch watch;
  finish();
  check_folder();
  write(state, tensors, scores, -1);
  held_up_s_ += watch.seconds();
}

void Saver::write(const RunState& state, const RunTensors& tensors, const Scores& scores, double held_up_s) {
  core::Stopwatch watch;
  const std::filesystem::path path = checkpoint::save(folder_, state, tensors, retention_, scores);
  {
    const std::lock_guard lock(mutex_);
    newest_ = path;
  }
  core::set_saved(what_was_saved(path));
  if (held_up_s < 0)
    spdlog::info("saved {} ({})", path.string(), core::human_duration(watch.seconds()));
  else
    spdlog::info("saved {} (held up training for {}, written beside it in {})", path.string(),
                 core::human_duration(held_up_s), core::human_duration(watch.seconds()));
}

std::filesystem::path Saver::newest() {
  const std::lock_guard lock(mutex_);
  return newest_;
}

}  // namespace thinktune::checkpoint
