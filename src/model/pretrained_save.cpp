#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/weights/safetensors.h"

namespace thinktune::model {
namespace fs = std::filesystem;

void save_pretrained(const fs::path& folder, const ModelConfig& config, const Weights& weights,
                     const Vocabulary& vocabulary) {
  const at::ScalarType dtype = weights.embedding.scalar_type();
  TT_CHECK(dtype == at::kFloat || dtype == at::kBFloat16, "weights are saved as f32 or bf16, not {}",
           at::toString(dtype));
  const Family& family = find_family(config.family, folder.string());
  const char* dtype_name = dtype == at::kFloat ? "float32" : "bfloat16";

  std::vector<at::Tensor> held;
  std::vector<weights::TensorToWrite> tensors;
  for (const TensorName& name : tensor_names(config, weights)) {
    held.push_back(name.view.detach().cpu().contiguous());
    tensors.push_back({name.hf, dtype == at::kFloat ? weights::DType::F32 : weights::DType::BF16,
                       name.view.sizes().vec(), held.back().const_data_ptr()});
  }
  weights::write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});

  nlohmann::ordered_json hf_config = family.config_to_hf(config);
  hf_config["torch_dtype"] = hf_config["dtype"] = dtype_name;  // transformers 4, transformers 5
  core::write_file_atomically(folder / "config.json", hf_config.dump(2) + "\n");
  nlohmann::ordered_json generation = {{"do_sample", false}};
  if (config.bos_id >= 0) generation["bos_token_id"] = config.bos_id;
  if (!config.end_of_turn_ids.empty()) generation["eos_token_id"] = config.end_of_turn_ids;
  if (config.pad_id >= 0) generation["pad_token_id"] = config.pad_id;
  core::write_file_atomically(folder / "generation_config.json", generation.dump(2) + "\n");
  if (vocabulary.tokenizer != nullptr) {
    core::write_file_atomically(folder / "tokenizer.json", vocabulary.tokenizer_json);
    core::write_file_atomically(folder / "tokenizer_config.json", vocabulary.tokenizer_config_json);
    if (vocabulary.chat != nullptr)
      core::write_file_atomically(folder / "chat_template.jinja", vocabulary.chat->source());
  }
}

}  // namespace thinktune::model
