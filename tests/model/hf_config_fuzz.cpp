// Any bytes as a config.json, read with what differs between the families: refused with Error{Data}, or sizes that can
// be computed with, which a written config repeats.
#include <cmath>
#include <cstdlib>

#include "src/model/hf_config.h"
#include "thinktune/core/error.h"

namespace {

using namespace thinktune;

void check(const nlohmann::json& json, const model::HfDefaults& defaults) {
  try {
    model::ModelConfig config = model::common_config(json, "llama", defaults, "config.json");
    const int64_t window = model::optional_int(json, "sliding_window", 0, "config.json");
    const auto by_type = model::windows_by_type(json, config.num_layers, window, "config.json");
    config.windows = by_type ? *by_type : model::qwen_windows(json, config.num_layers, "config.json");
    config.logit_softcap = model::cap_or_null(json, "final_logit_softcapping", 30, "config.json");
    config.attention_scale = 1.0 / std::sqrt(model::optional_number(json, "query_pre_attn_scalar", 256, "config.json"));
    model::validate(config, "config.json");
    model::rotary_frequencies(config, config.rope);
    model::pre_attention_scalar_json(config);
    const nlohmann::json written = model::common_json(config, "LlamaForCausalLM");
    const model::ModelConfig again = model::common_config(written, "llama", defaults, "written");
    if (again.vocab_size != config.vocab_size || again.rotary_dim > again.head_dim) std::abort();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const nlohmann::json json =
        model::parse_config(std::string(reinterpret_cast<const char*>(data), size), "config.json");
    check(json, {});
    check(json, {.max_position = 131072, .head_dim = 256, .tie_word_embeddings = true});
    model::require_activation(json, "hidden_act", {"silu"}, "config.json");
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  return 0;
}
