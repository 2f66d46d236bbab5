#include "thinktune/model/pretrained.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "gguf_config.h"
#include "hf_config.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"
#include "thinktune/weights/convert.h"
#include "thinktune/weights/gguf.h"
#include "thinktune/weights/safetensors.h"

namespace thinktune::model {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr const char* kHintForMismatch =
    "config, weights and tokenizer must be those of one model: fetch them again together";

json read_config(const fs::path& file, const char* what) {
  return parse_config(core::read_file(file, what), file.string());
}

void add_missing(std::vector<core::TokenId>& ids, const std::vector<core::TokenId>& more) {
  for (const core::TokenId id : more)
    if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

// llama.cpp's row order within a head is (0, H/2, 1, H/2+1, …); ours, and Hugging Face's, is (0, 1, …, H-1).
void undo_interleaving(std::vector<float>& rows, int64_t num_heads, int64_t num_rows) {
  const int64_t row_size = std::ssize(rows) / num_rows, head_rows = num_rows / num_heads;
  std::vector<float> head(static_cast<size_t>(head_rows * row_size));
  for (int64_t h = 0; h < num_heads; ++h) {
    float* first = rows.data() + h * head_rows * row_size;
    std::copy_n(first, head.size(), head.data());
    for (int64_t i = 0; i < head_rows; ++i)
      std::copy_n(head.data() + i * row_size, row_size, first + (i % 2 * (head_rows / 2) + i / 2) * row_size);
  }
}

weights::DType file_dtype(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return weights::DType::F32;
    case at::kBFloat16:
      return weights::DType::BF16;
    case at::kHalf:
      return weights::DType::F16;
    default:
      throw core::internal_error(fmt::format("weights are loaded as f32, bf16 or f16, not {}", at::toString(dtype)));
  }
}

}  // namespace

Pretrained::Pretrained(const fs::path& path) : path_(path) {
  constexpr const char* kWhatIsAModel = "give a Hugging Face folder or a .gguf file";
  if (path.empty()) throw core::user_error("the path of the model is empty", kWhatIsAModel);
  if (!fs::exists(path)) throw core::user_error(fmt::format("there is no model at {}", path.string()), kWhatIsAModel);
  if (path.extension() == ".safetensors" || path.extension() == ".json")
    throw core::user_error(fmt::format("{} is one file of a model", path.string()),
                           "give the folder that it stands in");
  if (!fs::is_directory(path)) {
    auto gguf = std::make_unique<weights::Gguf>(path);
    family_ = &find_gguf_family(gguf->text("general.architecture"), path.string());
    config_ = family_->config_from_gguf(*gguf);
    family_ = &find_family(config_.family, path.string());  // one architecture of llama.cpp's may be several families
    source_ = std::move(gguf);
    is_gguf_ = true;
    drop_ids_without_a_row();
    return;
  }
  const fs::path file = core::inner_file(path, "config.json", core::kMaxSideFileBytes);
  if (!fs::exists(file))
    throw core::data_error(fmt::format("the model folder {} has no config.json", path.string()),
                           "fetch the missing file from where the model came from");
  const json config = read_config(file, "model config");
  if (!config.contains("model_type") || !config["model_type"].is_string())
    throw core::data_error(fmt::format("{}: model_type is missing", file.string()));
  if (config.contains("quantization_config") && !config["quantization_config"].is_null())
    throw core::data_error(fmt::format("{}: the weights are quantised: quantization_config is {}", file.string(),
                                       config["quantization_config"].dump().substr(0, 80)),
                           "use the model's version in BF16 or F16, or a GGUF");
  family_ = &find_family(config["model_type"].get<std::string>(), file.string());
  config_ = family_->config_from_hf(config, file.string());
  if (const fs::path generation = core::inner_file(path, "generation_config.json", core::kMaxSideFileBytes);
      fs::exists(generation))
    add_missing(config_.end_of_turn_ids,
                token_ids(read_config(generation, "generation config"), "eos_token_id", generation.string()));
  source_ = weights::open_safetensors_folder(path);
  drop_ids_without_a_row();
}

void Pretrained::drop_ids_without_a_row() {
  const auto keep = [&](const char* name, core::TokenId id) {
    if (id < config_.vocab_size) return true;
    dropped_ids_.push_back(fmt::format("{} {}", name, id));
    return false;
  };
  std::erase_if(config_.end_of_turn_ids, [&](core::TokenId id) { return !keep("eos_token_id", id); });
  if (!keep("bos_token_id", config_.bos_id)) config_.bos_id = -1;
  if (!keep("pad_token_id", config_.pad_id)) config_.pad_id = -1;
}

void Pretrained::check_tensors() const {
  std::set<std::string_view> used;
  for (const TensorName& name : tensor_names(config_, empty_weights(config_, at::kFloat, at::kMeta))) {
    const std::string& file_name = is_gguf_ ? name.gguf : name.hf;
    const weights::TensorInfo* info = source_->find(file_name);
    if (info == nullptr)
      throw core::data_error(fmt::format("{}: the tensor {} is missing", source_->where(), file_name),
                             kHintForMismatch);
    used.insert(info->name);
    if (at::IntArrayRef(info->shape) != name.view.sizes())
      throw core::data_error(fmt::format("{}: {} has shape [{}], the config says [{}]", source_->where(), file_name,
                                         fmt::join(info->shape, ", "), fmt::join(name.view.sizes(), ", ")),
                             kHintForMismatch);
  }
  for (const weights::TensorInfo& info : source_->tensors()) {
    const bool ignored = info.name.ends_with("rotary_emb.inv_freq") || (is_gguf_ && is_rope_factor_tensor(info.name)) ||
                         (config_.tie_word_embeddings && info.name == "lm_head.weight");
    if (!ignored && !used.contains(info.name))
      throw core::data_error(
          fmt::format("{}: the tensor {} is not part of a {} model", source_->where(), info.name, config_.family),
          kHintForMismatch);
  }
}

void Pretrained::read(const TensorName& name, weights::DType dtype, std::byte* out) const {
  const weights::TensorInfo* info = source_->find(is_gguf_ ? name.gguf : name.hf);
  TT_CHECK(info != nullptr, "{} is read before the tensors were checked", name.hf);
  if (!is_gguf_ || (name.gguf_interleaved_heads == 0 && !name.gguf_plus_one)) {
    weights::read_into(*info, dtype, out);
  } else {
    std::vector<float> values(info->num_elements());
    weights::to_float(*info, values.data());
    if (name.gguf_interleaved_heads > 0) undo_interleaving(values, name.gguf_interleaved_heads, info->shape[0]);
    if (name.gguf_plus_one)
      for (float& value : values) value -= 1;
    weights::from_float(dtype, values.data(), values.size(), out);
  }
  source_->release(*info);
}

Weights Pretrained::load_weights(at::ScalarType dtype, at::Device device) const {
  check_tensors();
  const weights::DType in_file = file_dtype(dtype);
  const Weights weights = empty_weights(config_, dtype, device);
  for (const TensorName& name : tensor_names(config_, weights)) {
    TT_CHECK(name.view.is_contiguous(), "{} is not a run of whole rows", name.hf);
    const at::Tensor on_host = device.is_cpu() ? name.view : at::empty(name.view.sizes(), dtype);
    read(name, in_file, static_cast<std::byte*>(on_host.data_ptr()));
    if (!device.is_cpu()) name.view.copy_(on_host);
  }
  return weights;
}

}  // namespace thinktune::model
