// A rank's communicator, for whoever wants one of its own: what looks on overrides what it looks at.
#pragma once

#include "thinktune/comm/communicator.h"

namespace thinktune::test {

// Passes everything on.
class Lent : public comm::Communicator {
 public:
  explicit Lent(comm::Communicator& comm) : comm_(comm) {}
  int64_t rank() const override { return comm_.rank(); }
  int64_t size() const override { return comm_.size(); }
  void set_step(int64_t step) override { comm_.set_step(step); }
  comm::PendingPtr start_all_reduce(at::Tensor sum, const char* what) override {
    return comm_.start_all_reduce(sum, what);
  }
  comm::PendingPtr start_reduce_scatter(at::Tensor sum_C, at::Tensor input_RC, const char* what) override {
    return comm_.start_reduce_scatter(sum_C, input_RC, what);
  }
  comm::PendingPtr start_all_gather(at::Tensor output_RC, at::Tensor input_C, const char* what) override {
    return comm_.start_all_gather(output_RC, input_C, what);
  }
  comm::PendingPtr start_all_to_all(at::Tensor output_RC, at::Tensor input_RC, const char* what) override {
    return comm_.start_all_to_all(output_RC, input_RC, what);
  }
  comm::PendingPtr start_broadcast(at::Tensor tensor, int64_t root, const char* what) override {
    return comm_.start_broadcast(tensor, root, what);
  }

 private:
  comm::Communicator& comm_;
};

}  // namespace thinktune::test
