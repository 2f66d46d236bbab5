// A model's config from and to a GGUF's metadata: the keys that all architectures of llama.cpp share.
#pragma once

#include <string>
#include <vector>

#include "thinktune/model/config.h"
#include "thinktune/model/family.h"
#include "thinktune/weights/gguf.h"
#include "thinktune/weights/gguf_writer.h"

namespace thinktune::model {

// Sizes, rope, special ids. Scores are scaled by 1/√H, every layer sees everything.
ModelConfig common_config(const weights::Gguf& gguf, const Family& family);

// architecture.key, or the fallback where the file does not have it.
int64_t optional_int(const weights::Gguf& gguf, const Family& family, const char* key, int64_t fallback);
double optional_number(const weights::Gguf& gguf, const Family& family, const char* key, double fallback);

// 1/√H, but for the two sizes of Gemma whose scores llama.cpp knows to be scaled by the width (27B): a GGUF does not
// say.
double gguf_attention_scale(const ModelConfig& config);

// Throws Error{Data} if there is a window: the file does not say for which layers.
void refuse_window(const weights::Gguf& gguf, const Family& family);

// Tensors of a GGUF that hold rope factors and are read with the config.
bool is_rope_factor_tensor(std::string_view name);

// A config as a GGUF says it.
struct GgufForm {
  struct Factors {
    std::string name;
    std::vector<float> values;
  };
  std::vector<weights::GgufEntry> metadata;
  std::vector<Factors> rope_factors;  // tensors of their own
  std::vector<std::string> warnings;  // what llama.cpp computes differently
};

// Throws Error{Data} for what no key of llama.cpp's says.
GgufForm gguf_form(const ModelConfig& config, const Family& family);

}  // namespace thinktune::model
