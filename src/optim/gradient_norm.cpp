// The gradients' global norm, and their clip:  n = √(Σ g²);  g ← g·max_norm/n where n > max_norm.
#include "thinktune/ops/gradient_norm.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "thinktune/optim/adamw.h"

namespace thinktune::optim {
namespace {

// Squares are summed in f64, so that no f32 gradient overflows and the order of the sum hardly matters; chunk by chunk,
// so that a large tensor needs no f64 copy of itself. LibTorch splits a sum of 32768 numbers or more over the CPU's
// threads: a chunk below that makes the order, and so the last bit, independent of their number.
constexpr int64_t kCpuChunk = int64_t{1} << 14;
constexpr int64_t kDeviceChunk = int64_t{1} << 24;

at::Tensor squares_of(const at::Tensor& gradient) {
  const at::Tensor flat = gradient.detach().reshape({-1});
  const int64_t chunk = flat.is_cpu() ? kCpuChunk : kDeviceChunk;
  at::Tensor sum = at::zeros({}, flat.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < flat.numel(); begin += chunk)
    sum += flat.narrow(0, begin, std::min(chunk, flat.numel() - begin)).to(at::kDouble).square_().sum();
  return sum;
}

}  // namespace

at::Tensor sum_of_squares(const std::vector<at::Tensor>& gradients) {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < gradients.size(); ++i) TT_CHECK(gradients[i].defined(), "gradient {} is missing", i);
  if (ops::has_gradient_norm(gradients)) return ops::sum_of_squares(gradients);
  std::vector<at::Tensor> sums;  // read together: reading waits for the device
  for (const at::Tensor& gradient : gradients) sums.push_back(squares_of(gradient));
  double sum = 0;
  if (!sums.empty()) {
    const at::Tensor all = at::stack(sums).cpu();
    for (int64_t i = 0; i < all.size(0); ++i) sum += all.const_data_ptr<double>()[i];
  }
  return at::full({1}, sum, at::kDouble);
}

double scale_to_norm(const std::vector<at::Tensor>& gradients, const at::Tensor& sum_1, double max_norm) {
  TT_CHECK(max_norm >= 0, "max_norm is {}", max_norm);
  at::NoGradGuard no_grad;
  if (ops::has_gradient_norm(gradients)) return ops::scale_to_norm(gradients, sum_1, max_norm);
  const double norm = std::sqrt(sum_1.item<double>());
  // Not finite: left as they are. Scaling by 0 would turn an infinity into NaN and everything else into 0, and hide
  // where it came from.
  if (max_norm > 0 && std::isfinite(norm) && norm > max_norm)
    for (at::Tensor gradient : gradients) gradient.mul_(max_norm / norm);
  return norm;
}

double global_norm(const std::vector<at::Tensor>& gradients) {
  return std::sqrt(sum_of_squares(gradients).item<double>());
}

double clip_by_global_norm(const std::vector<at::Tensor>& gradients, double max_norm) {
  TT_CHECK(max_norm > 0, "max_norm is {}", max_norm);
  return scale_to_norm(gradients, sum_of_squares(gradients), max_norm);
}

}  // namespace thinktune::optim
