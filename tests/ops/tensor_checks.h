// Inputs, tolerances and gradient checks for the tests of operations.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <vector>

namespace thinktune::ops {

// Normally distributed, a function of seed alone.
inline at::Tensor normals(at::IntArrayRef sizes, at::ScalarType dtype, uint64_t seed, double scale = 1.0) {
  return (at::randn(sizes, at::detail::createCPUGenerator(seed), at::kDouble) * scale).to(dtype);
}

// Relative error of one rounding to the dtype.
inline double roundoff(at::ScalarType dtype) {
  return dtype == at::kDouble ? 0x1p-53 : dtype == at::kFloat ? 0x1p-24 : 0x1p-8;
}

// |actual − expected| ≤ relative · |expected| + absolute · (root mean square of expected), everywhere; NaN fails.
inline void expect_near(const at::Tensor& actual, const at::Tensor& expected, double relative, double absolute) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  if (actual.numel() == 0) return;
  const at::Tensor a = actual.to(at::kDouble), e = expected.to(at::kDouble);
  const double rms = e.square().mean().sqrt().item<double>();
  const at::Tensor excess = (a - e).abs() - relative * e.abs() - absolute * rms;
  EXPECT_TRUE(excess.max().item<double>() <= 0)
      << "largest difference " << (a - e).abs().max().item<double>() << ", rms " << rms << ", beyond the tolerance by "
      << excess.max().item<double>();
}

inline at::Tensor leaf(const at::Tensor& t) { return t.detach().clone().set_requires_grad(true); }

// Gradients of Σ outputs · weights with respect to the inputs.
inline std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& weights,
                                         const std::vector<at::Tensor>& inputs) {
  return torch::autograd::grad(outputs, inputs, weights);
}

// Every element of every input (f64 leaves): autograd's gradient against central differences of Σ f() · weights.
inline void expect_slopes(const std::function<std::vector<at::Tensor>()>& f, const std::vector<at::Tensor>& inputs,
                          double tolerance) {
  std::vector<at::Tensor> outputs = f(), weights;
  for (size_t i = 0; i < outputs.size(); ++i) weights.push_back(normals(outputs[i].sizes(), at::kDouble, 900 + i));
  const std::vector<at::Tensor> analytic = gradients(outputs, weights, inputs);
  at::NoGradGuard no_grad;
  const auto loss = [&] {
    double sum = 0;
    const std::vector<at::Tensor> values = f();
    for (size_t i = 0; i < values.size(); ++i) sum += (values[i] * weights[i]).sum().item<double>();
    return sum;
  };
  for (size_t k = 0; k < inputs.size(); ++k) {
    at::Tensor flat = inputs[k].detach().view(-1);
    const at::Tensor gradient = analytic[k].contiguous().view(-1);
    double* p = flat.mutable_data_ptr<double>();
    for (int64_t i = 0; i < flat.numel(); ++i) {
      const double before = p[i], step = 1e-5;
      p[i] = before + step;
      const double above = loss();
      p[i] = before - step;
      const double below = loss();
      p[i] = before;
      EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * step), tolerance)
          << "input " << k << ", element " << i;
    }
  }
}

// One thread as long as it lives: tests of many small tensors take longer to wake threads than to compute.
class OneThread {
 public:
  OneThread() : before_(at::get_num_threads()) { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

// Runs f with one thread and with two, and expects the same bits.
inline void expect_same_for_any_threads(const std::function<std::vector<at::Tensor>()>& f) {
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const std::vector<at::Tensor> one = f();
  at::set_num_threads(2);
  const std::vector<at::Tensor> two = f();
  at::set_num_threads(before);
  ASSERT_EQ(one.size(), two.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], two[i])) << "result " << i;
}

inline const std::vector<at::ScalarType> kDtypes = {at::kFloat, at::kBFloat16, at::kDouble};

}  // namespace thinktune::ops
