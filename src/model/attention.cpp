#include "thinktune/model/attention.h"

#include <algorithm>

namespace thinktune::model {

WindowKinds::WindowKinds(const ModelConfig& config) {
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const int64_t window = window_of(config, layer);
    const auto found = std::find(windows_.begin(), windows_.end(), window);
    kind_of_layer_.push_back(static_cast<size_t>(found - windows_.begin()));
    if (found == windows_.end()) windows_.push_back(window);
  }
}

}  // namespace thinktune::model
