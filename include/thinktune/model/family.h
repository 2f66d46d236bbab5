// The families of decoders that are known: how each writes its config, and one table of its tensor names for loading
// and saving, Hugging Face and GGUF alike. A new family is one file and its name in src/model/families.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/model/config.h"
#include "thinktune/model/decoder.h"
#include "thinktune/weights/gguf.h"

namespace thinktune::model {

// Which rows of a fused tensor a file's tensor is, or what else is to be known of it.
enum class Part : uint8_t { Whole, Norm, Query, Key, Value, Gate, Up };

// A row of a family's table: one tensor of each layer, and its names behind "model.layers.N." and "blk.N.".
struct LayerTensor {
  at::Tensor LayerWeights::*tensor;
  Part part;
  std::string_view hf;
  std::string_view gguf;
};

struct Family {
  std::string_view name;               // a config.json's model_type
  std::string_view hf_architecture;    // "LlamaForCausalLM"
  std::string_view gguf_architecture;  // a GGUF's general.architecture, whose other keys begin with it
  std::span<const LayerTensor> layer_tensors;
  // llama.cpp stores the rows of query and key projections of some families in another order: the two halves of a head
  // interleaved.
  bool gguf_interleaves_heads = false;
  // llama.cpp gives a window to all layers but every n-th; 0: to none, whatever the file says.
  int64_t gguf_window_pattern = 0;
  // What differs from the common fields (src/model/hf_config.h, gguf_config.h).
  ModelConfig (*config_from_hf)(const nlohmann::json& config, const std::string& where);
  ModelConfig (*config_from_gguf)(const weights::Gguf& gguf);
  nlohmann::ordered_json (*config_to_hf)(const ModelConfig& config);
};

// Throws Error{Data} with the list of known names. `where` names the file.
const Family& find_family(std::string_view name, const std::string& where);
const Family& find_gguf_family(std::string_view architecture, const std::string& where);

std::vector<std::string_view> family_names();

// One tensor as files have it: a view into the (fused) weights, and its names.
struct TensorName {
  std::string hf;
  std::string gguf;
  at::Tensor view;
  Part part = Part::Whole;
  // What a GGUF holds is not what we hold: the number of heads whose rows are interleaved there (0: none), and whether
  // 1 was added (norms that multiply by 1 + weight).
  int64_t gguf_interleaved_heads = 0;
  bool gguf_plus_one = false;
};

// All tensors of the weights, in the order in which files are written.
std::vector<TensorName> tensor_names(const ModelConfig& config, const Weights& weights);

// The Hugging Face name of the first tensor that holds NaN or infinity; "" if all are finite. `weights` may be anything
// in the weights' shapes: gradients, moments.
std::string first_not_finite(const ModelConfig& config, const Weights& weights);

}  // namespace thinktune::model
