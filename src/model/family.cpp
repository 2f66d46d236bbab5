#include "thinktune/model/family.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "families.h"
#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

#define TT_ADDRESS(family) &family,
const Family* const kFamilies[] = {TT_FAMILIES(TT_ADDRESS)};
#undef TT_ADDRESS

core::Error unknown(std::string_view name, const std::string& where, std::vector<std::string_view> known) {
  std::string hint = fmt::format("known: {}", fmt::join(known, ", "));
  if (name == "gemma3" || name == "mistral3")
    hint += "; this one also sees images: take the text model alone, or a GGUF, which holds it";
  return core::data_error(fmt::format("{}: the architecture '{}' is not known", where, name), hint);
}

at::Tensor rows_of(const ModelConfig& c, const at::Tensor& tensor, Part part) {
  const int64_t q_rows = c.num_heads * c.head_dim, kv_rows = c.num_kv_heads * c.head_dim, F = c.intermediate_size;
  switch (part) {
    case Part::Whole:
    case Part::Norm:
      return tensor;
    case Part::Query:
      return tensor.narrow(0, 0, q_rows);
    case Part::Key:
      return tensor.narrow(0, q_rows, kv_rows);
    case Part::Value:
      return tensor.narrow(0, q_rows + kv_rows, kv_rows);
    case Part::Gate:
      return tensor.narrow(0, 0, F);
    case Part::Up:
      return tensor.narrow(0, F, F);
  }
  throw core::internal_error("a part that is not in the list");
}

}  // namespace

const Family& find_family(std::string_view name, const std::string& where) {
  for (const Family* family : kFamilies)
    if (family->name == name) return *family;
  throw unknown(name, where, family_names());
}

const Family& find_gguf_family(std::string_view architecture, const std::string& where) {
  std::vector<std::string_view> known;
  for (const Family* family : kFamilies) {
    if (family->gguf_architecture == architecture) return *family;
    if (known.empty() || known.back() != family->gguf_architecture) known.push_back(family->gguf_architecture);
  }
  throw unknown(architecture, where, known);
}

std::vector<std::string_view> family_names() {
  std::vector<std::string_view> names;
  for (const Family* family : kFamilies) names.push_back(family->name);
  return names;
}

std::vector<TensorName> tensor_names(const ModelConfig& c, const Weights& weights) {
  const Family& family = find_family(c.family, "model");
  std::vector<TensorName> names = {{"model.embed_tokens.weight", "token_embd.weight", weights.embedding}};
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    const LayerWeights& w = weights.layers[static_cast<size_t>(layer)];
    for (const LayerTensor& row : family.layer_tensors) {
      const at::Tensor& tensor = w.*row.tensor;
      if (!tensor.defined()) continue;
      TensorName& name = names.emplace_back();
      name.hf = fmt::format("model.layers.{}.{}", layer, row.hf);
      name.gguf = fmt::format("blk.{}.{}", layer, row.gguf);
      name.view = rows_of(c, tensor, row.part);
      name.part = row.part;
      if (family.gguf_interleaves_heads && row.part == Part::Query) name.gguf_interleaved_heads = c.num_heads;
      if (family.gguf_interleaves_heads && row.part == Part::Key) name.gguf_interleaved_heads = c.num_kv_heads;
      name.gguf_plus_one = row.part == Part::Norm && c.norm_weight_plus_one;
    }
  }
  names.push_back({"model.norm.weight", "output_norm.weight", weights.final_norm, Part::Norm});
  names.back().gguf_plus_one = c.norm_weight_plus_one;
  if (!c.tie_word_embeddings) names.push_back({"lm_head.weight", "output.weight", weights.head});
  return names;
}

std::string first_not_finite(const ModelConfig& config, const Weights& weights) {
  for (const TensorName& name : tensor_names(config, weights))
    if (!at::isfinite(name.view).all().item<bool>()) return name.hf;
  return "";
}

}  // namespace thinktune::model
