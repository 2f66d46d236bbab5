// Settings of the optimiser, and its learning rate.
//
// W = warmup_updates, N = number of updates, u = 0 … N − 1, q = (u − W)/(N − W):
//   u < W     lr·(u + 1)/(W + 1)
//   constant  lr
//   linear    lr·(1 − (1 − min_lr_share)·q)
//   cosine    lr·(min_lr_share + (1 − min_lr_share)·½(1 + cos(π·q)))
// Update W has the whole lr; the end, q = 1, lies one update after the last, so that no update is made with a rate of
// 0.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "thinktune/optim/adamw.h"

namespace thinktune::optim {

void describe(core::Fields& fields, OptimOptions& options) {
  const core::NumberRange beta = {.min = 0, .max = 1, .max_excluded = true};
  fields.number("lr", options.lr, {.min = 0, .max = 10, .min_excluded = true}, "learning rate after the warm-up");
  fields.number("beta1", options.beta1, beta, "decay of the first moment, per update");
  fields.number("beta2", options.beta2, beta, "decay of the second moment, per update");
  fields.number("epsilon", options.epsilon, {.min = 0, .max = 1, .min_excluded = true},
                "added to the root of the second moment");
  fields.number("weight_decay", options.weight_decay, core::between(0.0, 100.0),
                "decoupled: an update takes lr * weight_decay of every weight; 0: off");
  fields.number("max_grad_norm", options.max_grad_norm, core::between(0.0, 1e9),
                "gradients are scaled down to this global L2 norm; 0: no clip");
  fields.choice("schedule", options.schedule, kLrNames, "the learning rate's course after the warm-up");
  fields.integer("warmup_updates", options.warmup_updates, core::at_least(int64_t{0}),
                 "updates over which the learning rate rises linearly");
  fields.number("min_lr_share", options.min_lr_share, core::between(0.0, 1.0),
                "where linear and cosine end, as a share of lr");
}

void validate(const OptimOptions& options) {
  core::check_ranges(options, "optim");
  if (options.schedule == LrKind::Constant && options.min_lr_share != 0)
    throw core::user_error(
        fmt::format("optim.min_lr_share is {}, but has no effect with optim.schedule = constant", options.min_lr_share),
        "Leave it at 0, or set optim.schedule to linear or cosine.");
}

double learning_rate(const OptimOptions& options, int64_t update, int64_t num_updates) {
  TT_CHECK(update >= 0 && update < num_updates, "update {} of {}", update, num_updates);
  const int64_t warmup = options.warmup_updates;
  if (update < warmup) return options.lr * static_cast<double>(update + 1) / static_cast<double>(warmup + 1);
  const double progress = static_cast<double>(update - warmup) / static_cast<double>(num_updates - warmup);
  const double floor = options.min_lr_share;
  switch (options.schedule) {
    case LrKind::Constant:
      return options.lr;
    case LrKind::Linear:
      return options.lr * (1 - (1 - floor) * progress);
    case LrKind::Cosine:
      return options.lr * (floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
  }
  throw core::internal_error("a learning rate schedule without a formula");
}

}  // namespace thinktune::optim
