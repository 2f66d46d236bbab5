// One entry a family's file.
#pragma once

#include "thinktune/model/family.h"

namespace thinktune::model {

extern const Family kLlama;
extern const Family kMistral;
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kGemma2;
extern const Family kGemma3;
extern const Family kPhi3;
extern const Family kOlmo2;

// The table of Llama, which others share or extend.
extern const std::span<const LayerTensor> kLlamaLayerTensors;

}  // namespace thinktune::model
