// The families' files: each defines one Family.
#pragma once

#include "thinktune/model/family.h"

namespace thinktune::model {

// The registry. Of families with one GGUF architecture the first is what a GGUF is read as.
#define TT_FAMILIES(F) F(kLlama) F(kMistral) F(kQwen2) F(kQwen3) F(kGemma2) F(kGemma3) F(kPhi3) F(kOlmo2)

#define TT_DECLARE(family) extern const Family family;
TT_FAMILIES(TT_DECLARE)
#undef TT_DECLARE

// The table of Llama, which others share or extend.
extern const std::span<const LayerTensor> kLlamaLayerTensors;

}  // namespace thinktune::model
