// The share of rollouts that the teacher guides.
//
//   T = max(1, steps / decay_divisor), integer division
//   constant     init
//   linear       init − (init − min)·min(t,T)/T
//   cosine       min + ½(init − min)(1 + cos(π·min(t,T)/T))
//   exponential  g = (max(ε, min)/init)^(1/T):  max(min, init·g^t) for t < T, then min
//   off          from the first t with value(t) ≤ ε + .01 on, also where the schedule would rise above it again
//   guided       0 without an eligible rollout, else max(1, ⌊eligible·share⌋)
#include "thinktune/algo/teaching_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace thinktune::algo {
namespace {

// The public code's margin over ε. The sum is taken in double there too: 0.05 + 0.01 is a little more than 0.06, and
// cases sit on it.
constexpr double kOffMargin = 0.01;

}  // namespace

void describe(core::Fields& fields, ScheduleOptions& options) {
  const core::NumberRange share = core::between(0.0, 1.0);
  fields.choice("kind", options.kind, kScheduleNames, "how the share of guided rollouts falls over the run");
  fields.number("init", options.init, {.min = 0, .max = 1, .min_excluded = true},
                "share of guided rollouts at the first step");
  fields.number("min", options.min, share, "share at the end of the decay");
  fields.number("epsilon", options.epsilon, share,
                "the teacher leaves for good at the first step whose share is not above epsilon + 0.01");
  fields.integer("decay_divisor", options.decay_divisor, core::at_least(int64_t{1}),
                 "the decay takes (number of steps) / decay_divisor steps, rounded down, at least 1");
}

void validate(const ScheduleOptions& options) {
  core::check_ranges(options, "guidance.schedule");
  if (options.min > options.init)
    throw core::user_error(fmt::format("guidance.schedule.min is {}, more than guidance.schedule.init, which is {}",
                                       options.min, options.init),
                           "The share of guided rollouts falls from init to min: set min to at most init.");
  if (options.kind == ScheduleKind::Exponential && std::max(options.epsilon, options.min) == 0)
    throw core::user_error(
        "guidance.schedule.epsilon and guidance.schedule.min are both 0, but an exponential decay never reaches 0",
        "Set guidance.schedule.min or guidance.schedule.epsilon above 0, or choose another guidance.schedule.kind.");
}

TeachingSchedule::TeachingSchedule(const ScheduleOptions& options, int64_t num_steps) : options_(options) {
  validate(options);
  TT_CHECK(num_steps >= 0, "num_steps is {}", num_steps);
  decay_steps_ = std::max<int64_t>(1, num_steps / options.decay_divisor);
  turned_off_at_ = num_steps;
  for (int64_t step = 0; step < num_steps; ++step) {
    if (value(step) > options.epsilon + kOffMargin) continue;
    turned_off_at_ = step;
    break;
  }
}

double TeachingSchedule::value(int64_t step) const {
  TT_CHECK(step >= 0, "step is {}", step);
  const double init = options_.init, min = options_.min;
  const auto t = static_cast<double>(std::min(step, decay_steps_)), T = static_cast<double>(decay_steps_);
  switch (options_.kind) {
    case ScheduleKind::Constant:
      return init;
    case ScheduleKind::Linear:
      return init - (init - min) * (t / T);
    case ScheduleKind::Cosine:
      return min + 0.5 * (init - min) * (1 + std::cos(std::numbers::pi * (t / T)));
    case ScheduleKind::Exponential: {
      if (step >= decay_steps_) return min;
      const double rate = std::pow(std::max(options_.epsilon, min) / init, 1 / T);
      return std::max(min, init * std::pow(rate, t));
    }
  }
  throw core::internal_error("a schedule without a formula");
}

bool TeachingSchedule::teacher_on(int64_t step) const { return step < turned_off_at_; }

int64_t guided_count(int64_t num_eligible, double share) {
  TT_CHECK(num_eligible >= 0 && share >= 0 && share <= 1, "eligible {}, share {}", num_eligible, share);
  if (num_eligible == 0) return 0;
  const auto count = static_cast<int64_t>(static_cast<double>(num_eligible) * share);
  return std::clamp<int64_t>(count, 1, num_eligible);
}

}  // namespace thinktune::algo
