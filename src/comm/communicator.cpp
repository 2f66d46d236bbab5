#include "thinktune/comm/communicator.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "thinktune/core/error.h"

namespace thinktune::comm {
namespace {

class Done final : public Pending {
 public:
  void wait() override {}
};

class Single final : public Communicator {
 public:
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 1; }
  void set_step(int64_t) override {}
  PendingPtr start_all_reduce(at::Tensor, const char*) override { return done(); }
  PendingPtr start_reduce_scatter(at::Tensor sum_C, at::Tensor input_RC, const char*) override {
    return copied(sum_C, input_RC);
  }
  PendingPtr start_all_gather(at::Tensor output_RC, at::Tensor input_C, const char*) override {
    return copied(output_RC, input_C);
  }
  PendingPtr start_all_to_all(at::Tensor output_RC, at::Tensor input_RC, const char*) override {
    return copied(output_RC, input_RC);
  }
  PendingPtr start_broadcast(at::Tensor, int64_t, const char*) override { return done(); }

 private:
  static PendingPtr done() { return std::make_unique<Done>(); }
  static PendingPtr copied(at::Tensor& to, const at::Tensor& from) {
    c10::NoGradGuard no_grad;
    if (!to.is_alias_of(from) || to.data_ptr() != from.data_ptr()) to.copy_(from.view_as(to));
    return done();
  }
};

}  // namespace

std::string Communicator::place(int64_t step) const {
  return size() == 1 ? fmt::format("step {}", step + 1) : fmt::format("rank {}, step {}", rank(), step + 1);
}

std::vector<std::string> Communicator::all_gather_bytes(const std::string& bytes, const char* what) {
  const at::TensorOptions numbers = at::TensorOptions().dtype(at::kLong), raw = numbers.dtype(at::kByte);
  const at::Tensor lengths_R = at::empty({size()}, numbers);
  start_all_gather(lengths_R, at::full({1}, std::ssize(bytes), numbers), what)->wait();
  const int64_t longest = std::max<int64_t>(1, lengths_R.max().item<int64_t>());

  const at::Tensor own_C = at::zeros({longest}, raw), all_RC = at::empty({size(), longest}, raw);
  std::memcpy(own_C.data_ptr(), bytes.data(), bytes.size());
  start_all_gather(all_RC.view({-1}), own_C, what)->wait();
  std::vector<std::string> result;
  for (int64_t r = 0; r < size(); ++r)
    result.emplace_back(static_cast<const char*>(all_RC[r].const_data_ptr()),
                        static_cast<size_t>(lengths_R[r].item<int64_t>()));
  return result;
}

std::unique_ptr<Communicator> make_single() { return std::make_unique<Single>(); }

}  // namespace thinktune::comm
