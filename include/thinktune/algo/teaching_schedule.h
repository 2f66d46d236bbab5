// The share of rollouts that the teacher guides, step by step, and when it leaves (ThinkTuning "Schedules of γ").
//
//   T = max(1, steps · decay_share), whole steps (steps // 3 by default)
//   linear       init − (init − min)·min(t,T)/T
//   cosine       min + ½(init − min)(1 + cos(π·min(t,T)/T))
//   exponential  g = (max(ε, min)/init)^(1/T):  max(min, init·g^t) for t < T, then min
#pragma once

#include <cstdint>
#include <vector>

#include "thinktune/core/options.h"

namespace thinktune::algo {

enum class ScheduleKind { Constant, Linear, Cosine, Exponential };
inline const core::Choices<ScheduleKind> kScheduleNames = {{"constant", ScheduleKind::Constant},
                                                           {"linear", ScheduleKind::Linear},
                                                           {"cosine", ScheduleKind::Cosine},
                                                           {"exponential", ScheduleKind::Exponential}};

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::Linear;
  double init = 0.1;
  double min = 0.01;
  double epsilon = 0.05;      // the teacher leaves for good at the first step whose share is not above epsilon + .01
  int64_t decay_divisor = 3;  // T = max(1, steps / decay_divisor), integer division
};
void describe(core::Fields& fields, ScheduleOptions& options);
void validate(const ScheduleOptions& options);

// A function of the options and the number of steps: nothing to save, nothing to restore.
class TeachingSchedule {
 public:
  TeachingSchedule(const ScheduleOptions& options, int64_t num_steps);  // validates the options

  double value(int64_t step) const;     // raw schedule, step = 0 … num_steps − 1
  bool teacher_on(int64_t step) const;  // false from the first step on at which value(step) ≤ epsilon + .01
  int64_t turned_off_at() const { return turned_off_at_; }  // first step without a teacher; num_steps if it stays
  int64_t decay_steps() const { return decay_steps_; }      // T

 private:
  ScheduleOptions options_;
  int64_t decay_steps_;
  int64_t turned_off_at_;
};

// Guided rollouts of a group: 0 without an eligible one, else max(1, ⌊eligible · share⌋), at most all.
int64_t guided_count(int64_t num_eligible, double share);

}  // namespace thinktune::algo
