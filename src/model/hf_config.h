// Reading and writing a config.json: the fields that all families share, with errors that name file and field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/core/types.h"
#include "thinktune/model/config.h"

namespace thinktune::model {

// A JSON object from a file of a model folder; nesting and size are bounded. Throws Error{Data}.
nlohmann::json parse_config(const std::string& text, const std::string& where);

int64_t required_int(const nlohmann::json& config, const char* field, const std::string& where);
int64_t optional_int(const nlohmann::json& config, const char* field, int64_t fallback, const std::string& where);
double optional_number(const nlohmann::json& config, const char* field, double fallback, const std::string& where);
bool optional_bool(const nlohmann::json& config, const char* field, bool fallback, const std::string& where);
std::string optional_text(const nlohmann::json& config, const char* field, const std::string& fallback,
                          const std::string& where);

// One id, a list of ids, or nothing.
std::vector<core::TokenId> token_ids(const nlohmann::json& config, const char* field, const std::string& where);

// What the family's config class assumes where a config.json is silent.
struct HfDefaults {
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  int64_t max_position = 2048;
  int64_t head_dim = 0;  // 0: hidden_size / num_heads
  bool tie_word_embeddings = false;
  bool rope_by_layer_type = false;  // the family reads its ropes itself
};

// Sizes, rope, special ids; scores are scaled by 1/√H, all of a head is rotary, every layer sees everything. Rope is
// read in both styles: rope_theta and rope_scaling (transformers 4), rope_parameters (transformers 5).
ModelConfig common_config(const nlohmann::json& config, std::string_view family, const HfDefaults& defaults,
                          const std::string& where);

// One set of rope parameters: rope_type (default, linear, llama3, longrope), rope_theta and what the type needs.
Rope read_rope(const nlohmann::json& parameters, const nlohmann::json& config, double default_theta,
               const std::string& where);

// Throws Error{Data} if the field is true.
void refuse_true(const nlohmann::json& config, const char* field, const std::string& where);
// Throws Error{Data} if there is an activation and it is not one of `known`.
void require_activation(const nlohmann::json& config, const char* field, std::initializer_list<const char*> known,
                        const std::string& where);

// Per layer the window, or 0, by "layer_types"; nothing if there is no such list.
std::optional<std::vector<int64_t>> windows_by_type(const nlohmann::json& config, int64_t num_layers, int64_t window,
                                                    const std::string& where);

std::vector<int64_t> uniform_windows(int64_t num_layers, int64_t window);
// Every pattern-th layer sees everything.
std::vector<int64_t> windows_by_pattern(int64_t num_layers, int64_t window, int64_t pattern);
// Qwen: with use_sliding_window the layers from max_window_layers on.
std::vector<int64_t> qwen_windows(const nlohmann::json& config, int64_t num_layers, const std::string& where);

// A soft cap; null: none (0); absent: `silent`.
double cap_or_null(const nlohmann::json& config, const char* field, double silent, const std::string& where);

// The inverse: what all families have. transformers 4 and 5 both read it.
nlohmann::ordered_json common_json(const ModelConfig& config, std::string_view architecture);
nlohmann::ordered_json rope_json(const Rope& rope);
nlohmann::ordered_json layer_types_json(const ModelConfig& config);
// The window of the layers that have one; null if none has.
nlohmann::ordered_json window_json(const ModelConfig& config);
nlohmann::ordered_json with_qwen_windows(nlohmann::ordered_json json, const ModelConfig& config);
nlohmann::ordered_json cap_json(double cap);                                  // null for none
nlohmann::ordered_json pre_attention_scalar_json(const ModelConfig& config);  // Gemma's 1 / attention_scale²

}  // namespace thinktune::model
