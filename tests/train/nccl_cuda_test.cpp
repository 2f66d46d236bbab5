// NCCL on one GPU: a group of one rank. Several ranks need as many GPUs: scripts/gpu_check.sh runs them where they are.
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "src/comm/backends.h"
#include "support/gpu.h"
#include "train/small_run.h"

namespace thinktune::train {
namespace {

TEST(NcclCuda, AGroupOfOneRankExchangesOnTheGpu) {
  TT_REQUIRE_GPU(gpu);
  const auto nccl = comm::make_nccl(
      c10::make_intrusive<c10d::HashStore>(),
      {.rank = 0, .size = 1, .timeout = std::chrono::seconds(60), .local_address = "", .cuda_device = gpu.index()});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kLong}) {
    at::Tensor numbers = at::arange(1000, at::TensorOptions().dtype(at::kLong)).to(gpu, dtype);
    std::vector<at::Tensor> sum = {numbers.clone()};
    nccl->allreduce(sum)->wait();
    EXPECT_TRUE(at::equal(sum[0], numbers)) << dtype;
    at::Tensor scattered = at::zeros_like(numbers), gathered = at::zeros_like(numbers),
               turned = at::zeros_like(numbers);
    nccl->reduce_scatter_single(scattered, numbers)->wait();
    nccl->all_gather_single(gathered, numbers)->wait();
    std::vector<int64_t> equal;
    nccl->all_to_all_single(turned, numbers, equal, equal)->wait();
    for (const at::Tensor& result : {scattered, gathered, turned}) EXPECT_TRUE(at::equal(result, numbers)) << dtype;
  }
}

}  // namespace
}  // namespace thinktune::train
