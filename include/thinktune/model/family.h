// The families of decoders that are known: how each writes its config, and one table of its tensor names for loading
// and saving, Hugging Face and GGUF alike. A new family is one file and one line in src/model/family.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/model/config.h"
#include "thinktune/model/decoder.h"
#include "thinktune/weights/gguf.h"

namespace thinktune::model {

// One tensor as files have it: a view into the (fused) weights, and its names.
struct TensorName {
  std::string hf;
  std::string gguf;
  at::Tensor view;
  // llama.cpp stores the rows of query and key projections in another order (pairs of a head side by side): the number
  // of heads whose rows are to be put back; 0: as Hugging Face has them.
  int64_t gguf_interleaved_heads = 0;
};

struct Family {
  std::string_view name;             // "llama"; a GGUF's general.architecture and a config.json's model_type
  std::string_view hf_architecture;  // "LlamaForCausalLM"
  ModelConfig (*config_from_hf)(const nlohmann::json& config, const std::string& where);
  ModelConfig (*config_from_gguf)(const weights::Gguf& gguf);
  nlohmann::ordered_json (*config_to_hf)(const ModelConfig& config, std::string_view dtype);
  std::vector<TensorName> (*tensor_names)(const ModelConfig& config, const Weights& weights);
};

// Throws Error{Data} with the list of known names. `where` names the file.
const Family& find_family(std::string_view name, const std::string& where);

}  // namespace thinktune::model
