#include "thinktune/model/save.h"

#include <ATen/ATen.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "hf_config.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/weights/safetensors.h"

namespace thinktune::model {
namespace fs = std::filesystem;
namespace {

using nlohmann::ordered_json;

const char* torch_name(weights::DType dtype) {
  switch (dtype) {
    case weights::DType::F32:
      return "float32";
    case weights::DType::F16:
      return "float16";
    case weights::DType::BF16:
      return "bfloat16";
    default:
      throw core::user_error(fmt::format("a Hugging Face folder holds F32, F16 or BF16, not {}", name_of(dtype)),
                             "give --dtype f32, f16 or bf16, or write a .gguf file");
  }
}

// The model's own config where it came with one, else the family's.
ordered_json config_json(const ModelConfig& config, const Vocabulary& vocabulary, weights::DType dtype) {
  const auto own = vocabulary.files.find("config.json");
  ordered_json json = own != vocabulary.files.end() ? ordered_json::parse(own->second)
                                                    : find_family(config.family, "model").config_to_hf(config);
  json.erase("torch_dtype");
  json.erase("dtype");
  json["torch_dtype"] = json["dtype"] = torch_name(dtype);  // transformers 4, transformers 5
  return json;
}

ordered_json generation_json(const ModelConfig& config, const Vocabulary& vocabulary) {
  const auto own = vocabulary.files.find("generation_config.json");
  ordered_json json = own != vocabulary.files.end() ? ordered_json::parse(own->second) : ordered_json::object();
  if (config.bos_id >= 0) json["bos_token_id"] = config.bos_id;
  if (!config.end_of_turn_ids.empty()) json["eos_token_id"] = config.end_of_turn_ids;  // all that end a turn here
  if (config.pad_id >= 0) json["pad_token_id"] = config.pad_id;
  return json;
}

std::vector<core::WrittenFile> write_folder(const fs::path& folder, const ModelConfig& config, weights::DType dtype,
                                            const Vocabulary& vocabulary,
                                            const std::vector<weights::TensorToWrite>& tensors,
                                            uint64_t max_shard_bytes) {
  const std::string config_text = config_json(config, vocabulary, dtype).dump(2) + "\n";
  std::vector<core::WrittenFile> written =
      weights::write_safetensors_folder(folder, tensors, {{"format", "pt"}}, max_shard_bytes);
  const auto write = [&](const std::string& name, const std::string& content) {
    written.push_back(core::write_file_atomically(folder / name, content));
  };
  write("config.json", config_text);
  write("generation_config.json", generation_json(config, vocabulary).dump(2) + "\n");
  for (const auto& [name, content] : vocabulary.files)
    if (name != "config.json" && name != "generation_config.json") write(name, content);
  return written;
}

}  // namespace

std::vector<core::WrittenFile> save_pretrained(const fs::path& folder, const ModelConfig& config,
                                               const Weights& weights, const Vocabulary& vocabulary,
                                               uint64_t max_shard_bytes) {
  const at::ScalarType dtype = weights.embedding.scalar_type();
  TT_CHECK(dtype == at::kFloat || dtype == at::kBFloat16, "weights are saved as f32 or bf16, not {}",
           at::toString(dtype));
  const weights::DType in_file = dtype == at::kFloat ? weights::DType::F32 : weights::DType::BF16;
  std::vector<at::Tensor> held;
  std::vector<weights::TensorToWrite> tensors;
  for (const TensorName& name : tensor_names(config, weights)) {
    const at::Tensor view = name.view.detach();
    weights::TensorToWrite& tensor = tensors.emplace_back(name.hf, in_file, view.sizes().vec());
    if (view.is_cpu()) {
      held.push_back(view.contiguous());
      tensor.data = held.back().const_data_ptr();
    } else {  // the host holds one of them at a time
      tensor.produce = [view](std::byte* out) {
        const at::Tensor on_host = view.cpu().contiguous();
        std::memcpy(out, on_host.const_data_ptr(), on_host.nbytes());
      };
    }
  }
  return write_folder(folder, config, in_file, vocabulary, tensors, max_shard_bytes);
}

void convert_to_folder(const Pretrained& model, const Vocabulary& vocabulary, weights::DType dtype,
                       const fs::path& folder, uint64_t max_shard_bytes) {
  torch_name(dtype);  // throws for what a folder cannot hold
  model.check_tensors();
  std::vector<weights::TensorToWrite> tensors;
  for (const TensorName& name : tensor_names(model.config(), empty_weights(model.config(), at::kFloat, at::kMeta)))
    tensors.push_back({.name = name.hf,
                       .dtype = dtype,
                       .shape = name.view.sizes().vec(),
                       .produce = [&model, name, dtype](std::byte* out) { model.read(name, dtype, out); }});
  ModelConfig config = model.config();
  if (vocabulary.tokenizer != nullptr && vocabulary.chat != nullptr) add_end_of_turn(config, vocabulary);

  // The folder takes its name when all of it is there. What a killed conversion left is removed by the next one.
  fs::path unfinished = folder.lexically_normal();
  if (!unfinished.has_filename()) unfinished = unfinished.parent_path();
  unfinished += ".thinktune-unfinished";  // a name of our own: what stands there is removed
  std::error_code error;
  fs::remove_all(unfinished, error);
  if (!error) fs::create_directories(unfinished, error);
  if (error)
    throw core::user_error(fmt::format("cannot create the folder {}: {}", unfinished.string(), error.message()));
  try {
    write_folder(unfinished, config, dtype, vocabulary, tensors, max_shard_bytes);
  } catch (...) {
    fs::remove_all(unfinished, error);
    throw;
  }
  fs::remove(folder, error);  // an empty one may be there
  fs::rename(unfinished, folder, error);
  if (error)
    throw core::user_error(fmt::format("cannot name the finished folder {} {}: {}", unfinished.string(),
                                       folder.string(), error.message()));
}

}  // namespace thinktune::model
