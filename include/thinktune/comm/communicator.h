// What the ranks of a run do together. One object a process; every rank calls the same operations in the same order,
// with tensors of the same sizes. Host tensors travel by Gloo, CUDA tensors by NCCL.
//
// Letters: R ranks, C numbers of one rank's share.
//
// An operation that has not completed within the time-out, or whose peer is gone, throws Error{Device} that names rank,
// step, operation and how long it took, and, where they can be known, the ranks that were not there. Nothing can be
// done with a communicator after that. Operations may be started by any thread, one at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/comm/environment.h"

namespace thinktune::comm {

// An operation on its way. Its tensors are left alone until wait() has returned.
class Pending {
 public:
  virtual ~Pending() = default;
  virtual void wait() = 0;  // for CUDA tensors the current stream waits, not the caller
};
using PendingPtr = std::unique_ptr<Pending>;

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int64_t rank() const = 0;
  virtual int64_t size() const = 0;
  bool is_first() const { return rank() == 0; }

  // "step 4", or "rank 1, step 4" where there are several: for messages. `step` counts steps done before this one.
  std::string place(int64_t step) const;
  virtual void set_step(int64_t step) = 0;  // the step that messages name

  // `what` is named in messages: "gradients". Tensors are contiguous; in place where there is one. Sums of f32, f64,
  // bf16 or int64 are the same bits on every rank, in an order that depends on R.
  virtual PendingPtr start_all_reduce(at::Tensor sum, const char* what) = 0;
  // The input's numbers are used up.
  virtual PendingPtr start_reduce_scatter(at::Tensor sum_C, at::Tensor input_RC, const char* what) = 0;
  virtual PendingPtr start_all_gather(at::Tensor output_RC, at::Tensor input_C, const char* what) = 0;
  // Row r of the input goes to rank r; row r of the output comes from rank r.
  virtual PendingPtr start_all_to_all(at::Tensor output_RC, at::Tensor input_RC, const char* what) = 0;
  virtual PendingPtr start_broadcast(at::Tensor tensor, int64_t root, const char* what) = 0;

  void all_reduce(at::Tensor sum, const char* what) { start_all_reduce(std::move(sum), what)->wait(); }
  void broadcast(at::Tensor tensor, int64_t root, const char* what) {
    start_broadcast(std::move(tensor), root, what)->wait();
  }
  // result[r]: the bytes of rank r, of any number.
  std::vector<std::string> all_gather_bytes(const std::string& bytes, const char* what);
  // Returns on each rank after every rank has called it.
  void barrier(const char* what) { all_gather_bytes("", what); }
};

// One rank: every operation is done at once.
std::unique_ptr<Communicator> make_single();

struct ConnectOptions {
  double timeout_s = 1800;
  std::optional<int64_t> cuda_device;  // this rank's; none: host tensors only
  // The last resort, called on a thread of its own when an operation has failed, or is not over after its time-out,
  // that nobody waits for (as a GPU's): the process cannot go on, and whoever owns it must end it. Empty: only logged.
  std::function<void(const std::string& message)> on_stuck;
};

// Meets the other ranks. Throws Error{User} if they do not come within the time-out, or if a CUDA device is asked of a
// build without CUDA. With one rank: make_single().
std::unique_ptr<Communicator> connect(const Environment& environment, const ConnectOptions& options);

}  // namespace thinktune::comm
