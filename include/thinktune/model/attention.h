// Which windows of attention a model's layers have.
#pragma once

#include <cstdint>
#include <vector>

#include "thinktune/model/config.h"

namespace thinktune::model {

// The windows that occur among the layers, each once: layers of one window share their masks.
class WindowKinds {
 public:
  explicit WindowKinds(const ModelConfig& config);

  const std::vector<int64_t>& windows() const { return windows_; }  // at least one entry; 0: none
  size_t kind_of(int64_t layer) const { return kind_of_layer_[static_cast<size_t>(layer)]; }

 private:
  std::vector<int64_t> windows_;
  std::vector<size_t> kind_of_layer_;
};

}  // namespace thinktune::model
