#include "hf_config.h"

#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

[[noreturn]] void wrong_type(const char* field, const char* expected, const json& value, const std::string& where) {
  throw core::data_error(
      fmt::format("{}: {} should be {}, but is {}", where, field, expected, value.dump().substr(0, 60)));
}

const json* present(const json& config, const char* field) {
  const auto found = config.find(field);
  return found == config.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

json parse_config(const std::string& text, const std::string& where) {
  constexpr int kDeepest = 32;
  json config;
  try {
    config = json::parse(text, [&](int depth, json::parse_event_t, json&) {
      if (depth > kDeepest) throw core::data_error(fmt::format("{}: JSON nested more than {} deep", where, kDeepest));
      return true;
    });
  } catch (const json::parse_error& e) {
    throw core::data_error(fmt::format("{}: not valid JSON at byte {}", where, e.byte), "fetch the file again");
  } catch (const json::out_of_range&) {
    throw core::data_error(fmt::format("{}: not valid JSON: a number is too large", where), "fetch the file again");
  }
  if (!config.is_object()) throw core::data_error(fmt::format("{}: a JSON object is expected", where));
  return config;
}

int64_t required_int(const json& config, const char* field, const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) throw core::data_error(fmt::format("{}: {} is missing", where, field));
  if (!value->is_number_integer()) wrong_type(field, "an integer", *value, where);
  return value->get<int64_t>();
}

int64_t optional_int(const json& config, const char* field, int64_t fallback, const std::string& where) {
  return present(config, field) == nullptr ? fallback : required_int(config, field, where);
}

double optional_number(const json& config, const char* field, double fallback, const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) return fallback;
  if (!value->is_number()) wrong_type(field, "a number", *value, where);
  return value->get<double>();
}

bool optional_bool(const json& config, const char* field, bool fallback, const std::string& where) {
  const json* value = present(config, field);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong_type(field, "true or false", *value, where);
  return value->get<bool>();
}

std::vector<core::TokenId> token_ids(const json& config, const char* field, const std::string& where) {
  const json* value = present(config, field);
  std::vector<core::TokenId> ids;
  if (value == nullptr) return ids;
  const json list = value->is_array() ? *value : json::array({*value});
  for (const json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX)
      wrong_type(field, "a token id or a list of them", *value, where);
    ids.push_back(id.get<core::TokenId>());
  }
  return ids;
}

}  // namespace thinktune::model
