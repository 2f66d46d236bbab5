#include "thinktune/train/stop_points.h"

#include <algorithm>

#include "thinktune/core/signals.h"

namespace thinktune::train {

// The largest of all ranks.
int StopPoints::agree(int own, const char* what) {
  if (comm_.size() == 1) return own;
  int largest = 0;
  for (const std::string& bytes : comm_.all_gather_bytes(std::string(1, static_cast<char>(own)), what))
    largest = std::max(largest, static_cast<int>(bytes.at(0)));
  return largest;
}

void StopPoints::begin_step(int64_t step) {
  step_ = step;
  comm_.set_step(step);
}

void StopPoints::begin(const char* phase, bool can_be_given_up) {
  phase_ = phase;
  can_be_given_up_ = can_be_given_up;
  if (observer) observer(step_, phase_);
  if (!can_be_given_up) return;
  signal_ = agree(core::stop_signal(), "whether the run stops");
  if (signal_ != 0) throw core::Stopped();
}

void StopPoints::poll() {
  if (observer) observer(step_, phase_);
  if (!can_be_given_up_ || comm_.size() > 1) return;
  signal_ = core::stop_signal();
  if (signal_ != 0) throw core::Stopped();
}

StopPoints::Asked StopPoints::asked() {
  signal_ = agree(core::stop_signal(), "whether the run stops");
  return {.stop = signal_ != 0, .save = agree(core::take_save_request() ? 1 : 0, "whether the run is saved") != 0};
}

}  // namespace thinktune::train
