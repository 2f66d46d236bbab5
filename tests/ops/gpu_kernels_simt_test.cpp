// How tensors are handed to the CUDA kernels, without a GPU: gpu_kernels_cuda.cpp over the kernels' text that g++ has
// compiled (tests/support/simt), on tensors of the CPU, against the CPU's operations. On a GPU operations_cuda_test
// does the rest.
#include <array>

#include "src/ops/gpu_kernels.h"
#include "tensor_checks.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/fused.h"

namespace thinktune::ops {

namespace gpu {
kernels::cuda::Stream current_stream(at::Device) { return nullptr; }
int64_t num_multiprocessors(at::Device) { return 5; }
}  // namespace gpu

namespace {

constexpr std::array kDtypes = {at::kFloat, at::kBFloat16};

// One rounding of the result, and sums of some hundred terms in another order.
double tolerance(at::ScalarType dtype) { return dtype == at::kBFloat16 ? 0.01 : 1e-5; }

// Not contiguous, and at an odd address: columns 1 … of a wider matrix.
at::Tensor awkward(const at::Tensor& t) {
  std::vector<int64_t> wider = t.sizes().vec();
  wider.back() += 3;
  const at::Tensor all = at::zeros(wider, t.options());
  const at::Tensor part = all.narrow(-1, 1, t.size(-1));
  part.copy_(t);
  return part;
}

TEST(GpuKernels, RmsNormAndItsGradients) {
  for (const at::ScalarType dtype : kDtypes)
    for (const auto& [rows, width] : {std::pair{1, 5}, std::pair{7, 97}, std::pair{131, 64}})
      for (const RmsNormForm form : {RmsNormForm{1e-5, false, true}, RmsNormForm{1e-6, true, false}}) {
        SCOPED_TRACE(testing::Message() << rows << " × " << width << " " << dtype);
        const at::Tensor x = leaf(normals({rows, width}, dtype, 1)), weight = leaf(normals({width}, dtype, 2) + 1);
        const at::Tensor dy = normals({rows, width}, dtype, 3);
        const at::Tensor y = rms_norm(x, weight, form);
        y.backward(dy);
        const at::NoGradGuard no_grad;
        const at::Tensor inverse = at::empty({rows}, at::kFloat);
        expect_near(gpu::rms_norm_forward(awkward(x), weight.detach(), form, inverse), y.detach(), tolerance(dtype),
                    tolerance(dtype));
        const at::Tensor dx = at::empty({rows, width}, dtype), dweight = at::empty({width}, dtype);
        gpu::rms_norm_backward(awkward(x), weight.detach(), form, inverse, awkward(dy), dx, dweight);
        expect_near(dx, x.grad(), 2 * tolerance(dtype), 4 * tolerance(dtype));
        expect_near(dweight, weight.grad(), 2 * tolerance(dtype), 16 * tolerance(dtype));
        gpu::rms_norm_backward(x.detach(), weight.detach(), form, inverse, dy, dx, {});
        expect_near(dx, x.grad(), 2 * tolerance(dtype), 4 * tolerance(dtype));
      }
}

TEST(GpuKernels, Rope) {
  for (const at::ScalarType dtype : kDtypes)
    for (const int64_t head : {6, 64}) {
      SCOPED_TRACE(testing::Message() << head << " " << dtype);
      // A slice of queries, keys and values in one row, as the decoder has it.
      const at::Tensor qkv = normals({5, 7, head}, dtype, 1), x = qkv.narrow(1, 2, 3);
      const at::Tensor angle = normals({5, head / 2}, at::kFloat, 2), cos = angle.cos(), sin = angle.sin();
      expect_near(gpu::rope(x, awkward(cos), sin, true), rope(x, cos, sin), tolerance(dtype), tolerance(dtype));
      expect_near(gpu::rope(x, cos, sin, false), rope(x, cos, -sin), tolerance(dtype), tolerance(dtype));
    }
}

TEST(GpuKernels, GluAndItsGradient) {
  for (const at::ScalarType dtype : kDtypes)
    for (const auto& [rows, width] : {std::pair{1, 3}, std::pair{9, 64}})
      for (const Activation activation : {Activation::Silu, Activation::GeluTanh}) {
        SCOPED_TRACE(testing::Message() << rows << " × " << width << " " << dtype);
        const at::Tensor gate_up = leaf(normals({rows, 2 * width}, dtype, 1)), dout = normals({rows, width}, dtype, 2);
        const at::Tensor out = glu(gate_up, activation);
        out.backward(dout);
        const at::NoGradGuard no_grad;
        expect_near(gpu::glu_forward(awkward(gate_up), activation), out.detach(), tolerance(dtype), tolerance(dtype));
        expect_near(gpu::glu_backward(gate_up.detach(), awkward(dout), activation), gate_up.grad(), tolerance(dtype),
                    tolerance(dtype));
      }
}

TEST(GpuKernels, TokenLogprobsAndTheirGradient) {
  for (const at::ScalarType dtype : kDtypes)
    for (const LogprobTransform& transform :
         {LogprobTransform{}, LogprobTransform{0.7, 0, 1.0}, LogprobTransform{1.0, 9, 1.0}}) {
      SCOPED_TRACE(testing::Message() << dtype << " top " << transform.top_k);
      const int64_t rows = 5, vocabulary = 137;
      const at::Tensor logits = normals({rows, vocabulary}, dtype, 1) * 3;
      const auto numbers = [&](at::ScalarType type) { return at::empty({rows}, type); };
      const auto make = [&] {
        // The target need not be among the kept.
        return LogitRows{logits.clone(),      at::tensor({0, 136, 7, 60, 99}, at::kLong),
                         numbers(at::kFloat), numbers(at::kFloat),
                         numbers(at::kFloat), numbers(at::kDouble)};
      };
      const LogitRows right = make(), got = make();
      row_statistics_cpu(right, transform);
      gpu::row_statistics(got, transform);
      expect_near(got.logprob_C, right.logprob_C, 1e-5, 1e-5);
      expect_near(got.entropy_C, right.entropy_C, 1e-5, 1e-5);
      expect_near(got.log_normalizer_C, right.log_normalizer_C, 1e-5, 1e-5);
      EXPECT_TRUE(at::equal(got.threshold_C, right.threshold_C));
      const at::Tensor grad_logprob = normals({rows}, at::kDouble, 2), grad_entropy = normals({rows}, at::kDouble, 3);
      row_gradients_cpu(right, transform, grad_logprob, grad_entropy);
      gpu::row_gradients(got, transform, grad_logprob, grad_entropy);
      expect_near(got.logits_CV, right.logits_CV, tolerance(dtype), tolerance(dtype));
    }
}

// The CPU's operation, which gathers the rows, against the kernel, which reads the pages.
TEST(GpuKernels, AttentionOverPages) {
  constexpr int64_t kPageTokens = 16, kPages = 40, K = 2;
  for (const at::ScalarType dtype : kDtypes)
    for (const auto& [group, head] : {std::pair{1, 8}, std::pair{3, 64}, std::pair{4, 32}})
      for (const AttentionOptions& options :
           {AttentionOptions{.scale = 0.2}, AttentionOptions{.scale = 0.3, .softcap = 5, .window = 19}}) {
        SCOPED_TRACE(testing::Message() << dtype << " group " << group << " head " << head);
        const at::Tensor pool = normals({2, kPages * kPageTokens, K, head}, dtype, 1);
        const at::Tensor keys = pool[0], values = pool[1];
        // Sequences of one token, of a page's last, of several pages; a place that stands for none. As the runner has
        // it, a table is a column of another tensor.
        const at::Tensor table = at::tensor({3, 0, 0, 5, 0, 0, 7, 9, 3, 0, 0, 0}, at::kLong).view({4, 3});
        const PagedBatch batch{table.t().contiguous().t(), at::tensor({0, 15, 41, 0}, at::kLong), kPageTokens};
        const at::Tensor q = awkward(normals({4, K * group, head}, dtype, 2));
        expect_near(gpu::paged_attention(q, keys, values, batch, options),
                    paged_attention(q, keys, values, batch, options), 2 * tolerance(dtype), tolerance(dtype));

        const at::Tensor k = awkward(normals({3, K, head}, dtype, 3)), v = awkward(normals({3, K, head}, dtype, 4));
        const at::Tensor rows = at::tensor({48, 95, 153}, at::kLong), other = pool.clone();
        gpu::write_rows(keys, values, rows, k, v);
        write_rows(other[0], other[1], rows, k, v);
        EXPECT_TRUE(at::equal(pool, other));
      }
}

TEST(GpuKernels, WhatIsNotAlikeIsRefused) {
  const at::Tensor x = normals({2, 8}, at::kFloat, 1), weight = normals({8}, at::kBFloat16, 2);
  EXPECT_THROW(gpu::rms_norm_forward(x, weight, {}, {}), core::Error);
  EXPECT_THROW(gpu::rms_norm_forward(x.to(at::kDouble), weight.to(at::kDouble), {}, {}), core::Error);
  EXPECT_THROW(gpu::glu_backward(x, normals({2, 8}, at::kFloat, 3), Activation::Silu), core::Error);
  EXPECT_THROW(gpu::rope(x.view({2, 1, 8}), normals({2, 3}, at::kFloat, 4), normals({2, 4}, at::kFloat, 5), true),
               core::Error);
}

}  // namespace
}  // namespace thinktune::ops
