// Many ranks, over c10d. Besides the operations themselves: who is to blame when one does not complete.
//
// A thread of each rank writes a heartbeat and the operation that the rank is at into the store every half second. When
// an operation fails, the rank reads those of the others twice: a heartbeat that stands still belongs to a process that
// is dead or stopped, and a rank that is at an earlier operation has not come yet. The store is rank 0's: where that
// process is stopped, every access to it hangs, so none is waited for.
#include <ATen/ATen.h>
#include <c10/util/Logging.h>
#include <netdb.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "backends.h"
#include "thinktune/comm/communicator.h"
#include "thinktune/core/error.h"
#include "thinktune/core/signals.h"

namespace thinktune::comm {
namespace {

using Clock = std::chrono::steady_clock;
using StorePtr = c10::intrusive_ptr<c10d::Store>;

constexpr std::chrono::milliseconds kHeartbeat{500};
constexpr std::chrono::milliseconds kTwoHeartbeats{1200};
constexpr std::chrono::seconds kStorePatience{3};
constexpr std::chrono::seconds kGrace{10};  // after the time-out, for the own error of an operation on the host
constexpr const char* kHint = "what a rank says before it ends is the cause, if another rank says more than this one";

struct Operation {
  std::string name;  // "all-reduce of the gradients"
  int64_t number = 0;
  int64_t step = -1;
  bool on_host = true;
  Clock::time_point started;
  std::function<void()> finish;  // what is left to do when the work is over; may be empty

  std::mutex mutex;  // of what follows, for the watchdog's thread
  bool begun = false;
  c10::intrusive_ptr<c10d::Work> work;  // null where it has begun: it could not, or is over and its tensors let go

  Watchdog::State state() {
    const std::lock_guard lock(mutex);
    if (!begun) return Watchdog::State::Running;
    if (work == nullptr) return Watchdog::State::Over;
    if (!on_host) return state_of(*work);
    // What has failed is told to who waits.
    return work->isCompleted() ? Watchdog::State::Over : Watchdog::State::Running;
  }

  void begin(const c10::intrusive_ptr<c10d::Work>& its_work) {
    const std::lock_guard lock(mutex);
    begun = true;
    work = its_work;
  }

  void rethrow_failure() {
    const std::lock_guard lock(mutex);
    if (work == nullptr) return;
    if (const std::exception_ptr error = work->exception()) std::rethrow_exception(error);
  }
};
using OperationPtr = std::shared_ptr<Operation>;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The first line of LibTorch's text, without the place in its source.
std::string reason(const std::exception& error) {
  std::string text = error.what();
  text = text.substr(0, text.find('\n'));
  if (text.starts_with("[") && text.find("] ") != std::string::npos) text = text.substr(text.find("] ") + 2);
  return text.substr(0, text.find(". This "));  // general advice
}

// What c10d writes of lost connections comes in the error of the operation that needed them.
void silence_c10d() {
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = std::max(FLAGS_caffe2_log_level, 3);
}

// Where a rank is, as it writes it: "heartbeat number name".
struct Sign {
  std::string heartbeat, name;
  int64_t number = 0;

  static std::string key(int64_t rank) { return fmt::format("sign/{}", rank); }

  static std::optional<Sign> read(const StorePtr& store, int64_t rank) {
    if (!store->check({key(rank)})) return std::nullopt;
    const std::vector<uint8_t> bytes = store->get(key(rank));
    const std::string text(bytes.begin(), bytes.end());
    const size_t first = text.find(' '), second = text.find(' ', first + 1);
    return Sign{text.substr(0, first), text.substr(second + 1), std::stoll(text.substr(first + 1))};
  }
};

// Writes this rank's sign until it is told to end.
class SignWriter {
 public:
  SignWriter(StorePtr store, int64_t rank) : state_(std::make_shared<State>()) {
    std::thread([state = state_, store = std::move(store), rank] {
      std::unique_lock lock(state->mutex);
      for (int64_t heartbeat = 0; !state->ends; ++heartbeat) {
        const std::string sign = fmt::format("{} {} {}", heartbeat, state->number, state->name);
        lock.unlock();
        try {
          store->set(Sign::key(rank), std::vector<uint8_t>(sign.begin(), sign.end()));
        } catch (const std::exception&) {
          return;  // rank 0 is gone: the next operation says so
        }
        lock.lock();
        state->wake.wait_for(lock, kHeartbeat, [&] { return state->ends; });
      }
    }).detach();
  }
  SignWriter(const SignWriter&) = delete;
  SignWriter& operator=(const SignWriter&) = delete;

  ~SignWriter() {
    {
      const std::lock_guard lock(state_->mutex);
      state_->ends = true;
    }
    state_->wake.notify_all();
  }

  void at(const Operation& operation) {
    const std::lock_guard lock(state_->mutex);
    state_->number = operation.number;
    state_->name = operation.name;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable wake;
    bool ends = false;
    int64_t number = 0;
    std::string name = "none";
  };
  std::shared_ptr<State> state_;
};

// "; rank 2 is dead or stopped, …" for each rank that stands out.
std::string who_is_missing(const StorePtr& store, int64_t rank, int64_t size, int64_t number) {
  std::vector<std::optional<Sign>> before;
  for (int64_t r = 0; r < size; ++r) before.push_back(Sign::read(store, r));
  std::this_thread::sleep_for(kTwoHeartbeats);
  std::string text;
  for (int64_t r = 0; r < size; ++r) {
    const std::optional<Sign> now = Sign::read(store, r);
    if (r == rank || !now || !before[r]) continue;
    if (now->heartbeat == before[r]->heartbeat)
      text +=
          fmt::format("; rank {} is dead or stopped, its last operation was number {} ({})", r, now->number, now->name);
    else if (now->number < number)
      text += fmt::format("; rank {} has not come: it is at operation {} ({}), this one is {}", r, now->number,
                          now->name, number);
  }
  return text;
}

class ProcessGroup final : public Communicator {
 public:
  ProcessGroup(StorePtr store, const BackendSetup& setup, const ConnectOptions& options)
      : store_(std::move(store)), rank_(setup.rank), size_(setup.size), options_(options) {
    host_ = make_gloo(store_, setup);
    if (options.cuda_device) device_ = make_nccl(store_, setup);
    signs_ = std::make_unique<SignWriter>(store_->clone(), rank_);
    std::optional<c10::Device> gpu;
    if (options.cuda_device) gpu = c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(*options.cuda_device));
    watchdog_ = std::make_unique<Watchdog>(kHeartbeat, gpu);
  }

  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }
  void set_step(int64_t step) override { step_ = step; }

  PendingPtr start_all_reduce(at::Tensor sum, const char* what) override {
    return start("all-reduce", what, sum, [&](c10d::Backend& b) {
      std::vector<at::Tensor> tensors = {sum};
      return b.allreduce(tensors);
    });
  }

  // Gloo's own is an all-reduce of a copy, which is kept, in a work that never says that it is over.
  PendingPtr start_reduce_scatter(at::Tensor sum_C, at::Tensor input_RC, const char* what) override {
    if (!sum_C.is_cpu())
      return start("reduce-scatter", what, sum_C,
                   [&](c10d::Backend& b) { return b.reduce_scatter_single(sum_C, input_RC); });
    return start(
        "reduce-scatter", what, input_RC,
        [&](c10d::Backend& b) {
          std::vector<at::Tensor> tensors = {input_RC};
          return b.allreduce(tensors);
        },
        [sum_C, input_RC, rank = rank_] {
          sum_C.copy_(input_RC.view({-1}).narrow(0, rank * sum_C.numel(), sum_C.numel()).view_as(sum_C));
        });
  }

  PendingPtr start_all_gather(at::Tensor output_RC, at::Tensor input_C, const char* what) override {
    return start("all-gather", what, output_RC,
                 [&](c10d::Backend& b) { return b.all_gather_single(output_RC, input_C); });
  }

  PendingPtr start_all_to_all(at::Tensor output_RC, at::Tensor input_RC, const char* what) override {
    return start("all-to-all", what, output_RC, [&](c10d::Backend& b) {
      std::vector<int64_t> equal;
      return b.all_to_all_single(output_RC, input_RC, equal, equal);
    });
  }

  PendingPtr start_broadcast(at::Tensor tensor, int64_t root, const char* what) override {
    return start("broadcast", what, tensor, [&](c10d::Backend& b) {
      std::vector<at::Tensor> tensors = {tensor};
      c10d::BroadcastOptions options;
      options.rootRank = root;
      return b.broadcast(tensors, options);
    });
  }

 private:
  class Started final : public Pending {
   public:
    Started(ProcessGroup& group, OperationPtr operation) : group_(group), operation_(std::move(operation)) {}
    void wait() override { group_.wait(operation_); }

   private:
    ProcessGroup& group_;
    OperationPtr operation_;
  };

  template <class Begin>
  PendingPtr start(const char* kind, const char* what, const at::Tensor& tensor, Begin begin,
                   std::function<void()> finish = nullptr) {
    TT_CHECK(tensor.is_contiguous(), "{} of {}: not contiguous", kind, what);
    const bool on_host = tensor.is_cpu();
    TT_CHECK(on_host || device_ != nullptr, "{} of {}: a tensor on {} without NCCL", kind, what, tensor.device().str());
    auto operation = std::make_shared<Operation>();
    operation->name = fmt::format("{} of {}", kind, what);
    operation->step = step_;
    operation->on_host = on_host;
    operation->started = Clock::now();
    operation->number = ++count_;
    operation->finish = std::move(finish);
    signs_->at(*operation);
    // Before it begins: NCCL connects in its first operation, and waits for a rank that has ended by then.
    const auto limit = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options_.timeout_s));
    watchdog_->watch({.look = [operation] { return operation->state(); },
                      .on_late = [this, operation] { on_late(*operation); },
                      .deadline = operation->started + limit + (on_host ? kGrace : Clock::duration::zero())});
    try {
      c10::NoGradGuard no_grad;
      operation->begin(begin(on_host ? *host_ : *device_));
    } catch (const std::exception& error) {
      operation->begin(nullptr);
      throw failure(*operation, error);
    }
    return std::make_unique<Started>(*this, std::move(operation));
  }

  void wait(const OperationPtr& operation) {
    if (operation->work == nullptr) return;  // waited for already
    try {
      operation->work->wait();
    } catch (const std::exception& error) {
      throw failure(*operation, error);
    }
    if (!operation->on_host) return;  // only the stream waits: the watchdog goes on looking
    c10::NoGradGuard no_grad;
    if (operation->finish) operation->finish();
    operation->finish = nullptr;
    const std::lock_guard lock(operation->mutex);
    operation->work.reset();
  }

  core::Error failure(const Operation& operation, const std::exception& error) const {
    return core::device_error(what_happened(operation, &error), kHint);
  }

  // null: nothing but that it takes too long.
  std::string what_happened(const Operation& operation, const std::exception* error) const {
    const double seconds = seconds_since(operation.started);
    const bool is_late = error == nullptr || seconds >= 0.98 * options_.timeout_s;
    return fmt::format("{}: the {} ", here(operation), operation.name) +
           (is_late ? fmt::format("has not completed after {:.0f} s", seconds)
                    : fmt::format("failed after {:.1f} s ({})", seconds, reason(*error))) +
           blame(operation);
  }

  std::string here(const Operation& operation) const {
    return operation.step < 0 ? fmt::format("rank {}, before the first step", rank_) : place(operation.step);
  }

  std::string blame(const Operation& operation) const {
    auto answer = std::make_shared<std::promise<std::string>>();
    std::future<std::string> text = answer->get_future();
    std::thread([answer, store = store_, rank = rank_, size = size_, number = operation.number] {
      try {
        answer->set_value(who_is_missing(store, rank, size, number));
      } catch (const std::exception&) {
        answer->set_value("; rank 0 cannot be reached");
      }
    }).detach();
    return text.wait_for(kTwoHeartbeats + kStorePatience) == std::future_status::ready ? text.get()
                                                                                       : "; rank 0 does not answer";
  }

  // Called where nobody else would say that an operation does not end, or has failed.
  void on_late(Operation& operation) const {
    std::string message;
    try {
      operation.rethrow_failure();
      message = what_happened(operation, nullptr);
    } catch (const std::exception& error) {
      message = what_happened(operation, &error);
    }
    spdlog::error("{}", message);
    if (options_.on_stuck) options_.on_stuck(message);
  }

  StorePtr store_;
  int64_t rank_, size_;
  ConnectOptions options_;
  c10::intrusive_ptr<c10d::Backend> host_, device_;
  std::atomic<int64_t> step_ = -1;

  std::atomic<int64_t> count_ = 0;  // operations started
  std::unique_ptr<SignWriter> signs_;
  std::unique_ptr<Watchdog> watchdog_;  // ends before what its messages are made of
};

// The address of this machine on the way to `host`; nothing is sent.
std::string local_address(const std::string& host, int64_t port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  if (const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0)
    throw core::user_error(fmt::format("the machine of rank 0, {}, cannot be found: {}", host, ::gai_strerror(code)),
                           "MASTER_ADDR is its name or address");
  std::string result;
  for (const addrinfo* a = found; a != nullptr && result.empty(); a = a->ai_next) {
    const int fd = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    char text[NI_MAXHOST];
    if (fd >= 0 && ::connect(fd, a->ai_addr, a->ai_addrlen) == 0 &&
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
        ::getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0)
      result = text;
    if (fd >= 0) ::close(fd);
  }
  ::freeaddrinfo(found);
  if (result.empty())
    throw core::user_error(fmt::format("there is no way from here to the machine of rank 0, {}", host),
                           "check MASTER_ADDR and the network");
  return result;
}

}  // namespace

std::unique_ptr<Communicator> connect(const Environment& e, const ConnectOptions& options) {
  if (e.size == 1) return make_single();
  silence_c10d();
  core::ignore_broken_pipes();  // what is sent to a rank that has ended is to be an error, not the sender's end
  const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * options.timeout_s));
  c10d::TCPStoreOptions store_options;
  store_options.port = static_cast<uint16_t>(e.master_port);
  store_options.isServer = e.rank == 0;
  store_options.numWorkers = static_cast<size_t>(e.size);
  store_options.timeout = timeout;
  // A launcher on this machine has opened the port already, so that nobody else could take it in between.
  if (const auto fd = process_variable("THINKTUNE_STORE_FD"); fd && e.rank == 0)
    store_options.masterListenFd = std::stoi(*fd);
  const BackendSetup setup = {.rank = static_cast<int>(e.rank),
                              .size = static_cast<int>(e.size),
                              .timeout = timeout,
                              .local_address = local_address(e.master_address, e.master_port),
                              .cuda_device = options.cuda_device.value_or(0)};
  try {
    const auto store = c10::make_intrusive<c10d::TCPStore>(e.master_address, store_options);
    return std::make_unique<ProcessGroup>(store, setup, options);
  } catch (const c10::Error& error) {
    throw core::user_error(fmt::format("rank {} of {} has not met the others at {}:{} ({})", e.rank, e.size,
                                       e.master_address, e.master_port, reason(error)),
                           "MASTER_ADDR and MASTER_PORT must be those of rank 0, reachable from every rank, and all "
                           "ranks must be started within comm.timeout_s");
  } catch (const std::system_error& error) {
    throw core::user_error(fmt::format("rank {} of {} cannot use {}:{} ({})", e.rank, e.size, e.master_address,
                                       e.master_port, error.what()),
                           "another MASTER_PORT may be free");
  }
}

}  // namespace thinktune::comm
