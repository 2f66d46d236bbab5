#include "text/jinja_from_json.h"

#include <limits>

namespace thinktune::text::jinja {
namespace {

Value converted(Runtime& runtime, const nlohmann::ordered_json& json, int depth) {
  using Type = nlohmann::ordered_json::value_t;
  if (depth > kMaxValueDepth) fail("the conversation's JSON is nested more than {} deep", kMaxValueDepth);
  switch (json.type()) {
    case Type::null:
      return Value::none();
    case Type::boolean:
      return Value::boolean(json.get<bool>());
    case Type::number_integer:
      return Value::integer(json.get<int64_t>());
    case Type::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        fail("the number {} in the conversation does not fit into a 64-bit integer", json.get<uint64_t>());
      return Value::integer(json.get<int64_t>());
    case Type::number_float:
      return Value::number(json.get<double>());
    case Type::string:
      return runtime.text(json.get_ref<const std::string&>(), Mark::User);
    case Type::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(converted(runtime, item, depth + 1));
      return runtime.list(std::move(items));
    }
    case Type::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (const auto& [name, value] : json.items())
        entries.emplace_back(runtime.text(name, Mark::User), converted(runtime, value, depth + 1));
      return runtime.dict(std::move(entries));
    }
    default:
      fail("the conversation's JSON holds binary data");
  }
}

}  // namespace

Value from_json(Runtime& runtime, const nlohmann::ordered_json& json) { return converted(runtime, json, 1); }

}  // namespace thinktune::text::jinja
