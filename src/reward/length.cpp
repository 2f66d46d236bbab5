// Length: soft overlong punishment and the cosine of Yeo et al.
//   soft_overlong(n) = 0                              n <= S          S soft_limit, H hard_limit
//                      (S - n) / (H - S)              S < n <= H      DAPO (arXiv:2503.14476), section 3.4
//                      -1                             H < n
//   cosine(n)        = long + (short - long) · (1 + cos(π n / H)) / 2, n at most H     (arXiv:2502.03373)
#include <algorithm>
#include <cmath>
#include <numbers>

#include "reward/parts.h"

namespace thinktune::reward {

double length_value(const LengthOptions& options, int64_t num_tokens, bool success) {
  const auto n = static_cast<double>(num_tokens);
  const auto hard = static_cast<double>(options.hard_limit), soft = static_cast<double>(options.soft_limit);
  if (options.shape == LengthShape::SoftOverlong) {
    if (num_tokens <= options.soft_limit) return 0;
    return num_tokens > options.hard_limit ? -1 : (soft - n) / (hard - soft);
  }
  const double at_zero = success ? options.right_short : options.wrong_short;
  const double at_limit = success ? options.right_long : options.wrong_long;
  const double share = std::clamp(n / hard, 0.0, 1.0);
  return at_limit + (at_zero - at_limit) * 0.5 * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace thinktune::reward
