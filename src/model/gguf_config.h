// Reading a model's config from a GGUF's metadata: the keys that all architectures of llama.cpp share.
#pragma once

#include <string>
#include <vector>

#include "thinktune/model/config.h"
#include "thinktune/model/family.h"
#include "thinktune/weights/gguf.h"

namespace thinktune::model {

// Sizes, rope, special ids. Scores are scaled by 1/√H, every layer sees everything.
ModelConfig common_config(const weights::Gguf& gguf, const Family& family);

// architecture.key, or the fallback where the file does not have it.
int64_t optional_int(const weights::Gguf& gguf, const Family& family, const char* key, int64_t fallback);
double optional_number(const weights::Gguf& gguf, const Family& family, const char* key, double fallback);

// Tensors of a GGUF that hold rope factors and are read with the config.
bool is_rope_factor_tensor(std::string_view name);

}  // namespace thinktune::model
