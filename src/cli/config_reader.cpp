#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/config_names.h"
#include "thinktune/cli/config.h"
#include "thinktune/core/error.h"

namespace thinktune::cli {
namespace {

using nlohmann::json;

constexpr size_t kMostProblems = 10;

// A whole number, also where it is written 1e3 or 1.0. Beyond 2^53 a number with a point or an exponent may have been
// rounded already.
bool as_integer(const json& value, int64_t& result) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    result = static_cast<int64_t>(number);
    return number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  }
  if (value.is_number_integer()) {
    result = value.get<int64_t>();
    return true;
  }
  const double number = value.get<double>();
  if (std::abs(number) > 0x1.0p53 || number != std::floor(number)) return false;
  result = static_cast<int64_t>(number);
  return true;
}

// A number or a boolean that was put in quotes.
bool is_quoted(const json& value) {
  if (!value.is_string()) return false;
  const json inner = json::parse(value.get_ref<const std::string&>(), nullptr, false);
  return inner.is_number() || inner.is_boolean();
}

}  // namespace

ConfigReader::ConfigReader(const ConfigDocument& document, const std::vector<Field>& fields)
    : document_(document), sections_{&document.value()} {
  find_unknown_keys(document.value(), "", fields);
}

void ConfigReader::find_unknown_keys(const json& section, const std::string& prefix, const std::vector<Field>& fields) {
  for (const auto& [name, value] : section.items()) {
    const std::string key = joined(prefix, name);
    const auto field = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.key == key; });
    const bool has_dot = name.find('.') != std::string::npos;
    if (field == fields.end())
      // The distances take time, and what is not shown needs no advice.
      add_problem(key,
                  "is not a known key" + (problems_.size() < kMostProblems ? advice_for_unknown(key, fields) : ""));
    else if (has_dot)
      add_problem(key, fmt::format("must stand inside its section: \"{}\": {{ … }}", section_of(key)));
    else if (field->kind == FieldKind::Section && value.is_object())
      find_unknown_keys(value, key, fields);
  }
}

std::string ConfigReader::key_of(std::string_view name) const {
  std::string key;
  for (const std::string& section : names_) key = joined(key, section);
  return joined(key, name);
}

const json* ConfigReader::find(std::string_view name) const {
  const json* section = sections_.back();
  if (section == nullptr) return nullptr;
  const auto value = section->find(std::string(name));
  return value == section->end() ? nullptr : &*value;
}

void ConfigReader::add_problem(const std::string& key, const std::string& what) {
  problems_.push_back(fmt::format("{}: {} {}", document_.place(key), key.empty() ? "\"\"" : printable(key), what));
}

void ConfigReader::add_wrong_type(std::string_view name, const json& value, std::string_view expected) {
  std::string text = fmt::format("is {}, but must be {}", shown(value), expected);
  if (value.is_null()) text += "; leave the key out for its default";
  if (is_quoted(value) && document_.raw_text(key_of(name)) == nullptr) text += "; write it without quotes";
  add_problem(key_of(name), text);
}

void ConfigReader::boolean(std::string_view name, bool& value, std::string_view) {
  const json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_boolean()) return add_wrong_type(name, *found, "true or false");
  value = found->get<bool>();
}

void ConfigReader::integer(std::string_view name, int64_t& value, core::IntRange range, std::string_view) {
  const json* found = find(name);
  if (found == nullptr) return;
  int64_t read = 0;
  if (!found->is_number() || !as_integer(*found, read))
    return add_wrong_type(name, *found, fmt::format("a whole number ({})", core::to_string(range)));
  if (!core::contains(range, read))
    return add_problem(key_of(name), fmt::format("is {}, allowed is {}", read, core::to_string(range)));
  value = read;
}

void ConfigReader::number(std::string_view name, double& value, core::NumberRange range, std::string_view) {
  const json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_number()) return add_wrong_type(name, *found, fmt::format("a number ({})", core::to_string(range)));
  const auto read = found->get<double>();
  if (!std::isfinite(read) || !core::contains(range, read))
    return add_problem(key_of(name), fmt::format("is {}, allowed is {}", found->dump(), core::to_string(range)));
  value = read;
}

void ConfigReader::text(std::string_view name, std::string& value, std::string_view) {
  const json* found = find(name);
  if (found == nullptr) return;
  if (found->is_string()) {
    value = found->get<std::string>();
  } else if (const std::string* raw = document_.raw_text(key_of(name)); raw != nullptr) {
    value = *raw;  // --set name=007 means the text 007
  } else {
    add_wrong_type(name, *found, "a text, in double quotes");
  }
}

void ConfigReader::texts(std::string_view name, std::vector<std::string>& value, std::string_view) {
  const json* found = find(name);
  if (found == nullptr) return;
  const bool all_texts = found->is_array() &&
                         std::all_of(found->begin(), found->end(), [](const json& entry) { return entry.is_string(); });
  if (!all_texts) {
    const bool is_list = found->is_array();
    const auto odd =
        is_list ? std::find_if_not(found->begin(), found->end(), [](const json& entry) { return entry.is_string(); })
                : found->end();
    if (is_list)
      return add_problem(key_of(name),
                         fmt::format("holds {}, but must be a list of texts: [\"…\", \"…\"]", shown(*odd)));
    return add_wrong_type(name, *found, "a list of texts: [\"…\", \"…\"]");
  }
  value = found->get<std::vector<std::string>>();
}

void ConfigReader::choice_index(std::string_view name, size_t& index, const std::vector<std::string_view>& names,
                                std::string_view) {
  const json* found = find(name);
  if (found == nullptr) return;
  const std::vector<std::string> choices(names.begin(), names.end());
  const std::string* raw = document_.raw_text(key_of(name));
  const std::string chosen = found->is_string() ? found->get<std::string>() : raw != nullptr ? *raw : "";
  if (!found->is_string() && raw == nullptr)
    return add_wrong_type(name, *found, fmt::format("one of {}", fmt::join(choices, ", ")));
  const auto at = std::find(choices.begin(), choices.end(), chosen);
  if (at != choices.end()) {
    index = static_cast<size_t>(at - choices.begin());
    return;
  }
  std::string text = fmt::format("is \"{}\", allowed is {}", printable(chosen), fmt::join(choices, ", "));
  if (const auto nearest = nearest_names(chosen, choices); !nearest.empty())
    text += fmt::format("; did you mean {}?", either(nearest));
  add_problem(key_of(name), text);
}

bool ConfigReader::begin_group(std::string_view name, std::string_view) {
  const json* found = find(name);
  if (found != nullptr && !found->is_object()) {
    add_problem(key_of(name), fmt::format("is {}, but is a section: \"{}\": {{ … }}", shown(*found), name));
    return false;
  }
  sections_.push_back(found);
  names_.emplace_back(name);
  return true;
}

void ConfigReader::end_group() {
  sections_.pop_back();
  names_.pop_back();
}

void ConfigReader::throw_problems() const {
  if (problems_.empty()) return;
  std::string text;
  for (size_t i = 0; i < std::min(problems_.size(), kMostProblems); ++i) text += (i == 0 ? "" : "\n") + problems_[i];
  if (problems_.size() > kMostProblems) text += fmt::format("\n… and {} more", problems_.size() - kMostProblems);
  throw core::user_error(text);
}

}  // namespace thinktune::cli
