#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "cli/config_names.h"
#include "thinktune/cli/config.h"
#include "thinktune/core/error.h"

namespace thinktune::cli {
namespace {

using nlohmann::ordered_json;

// Text for a cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '|') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

// A code span; its fence is longer than any run of backticks inside.
std::string code(const std::string& text) {
  size_t longest = 0, run = 0;
  for (const char c : text) longest = std::max(longest, run = c == '`' ? run + 1 : 0);
  const std::string fence(longest + 1, '`');
  const std::string padding = longest > 0 ? " " : "";
  return cell(fence + padding + text + padding + fence);
}

// Descriptions are phrases; between two tables one stands as a sentence.
std::string sentence(std::string text) {
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text.ends_with('.') ? text : text + ".";
}

std::string table_row(const Field& field) {
  std::string allowed = cell(field.allowed);
  if (field.kind == FieldKind::Choice) {
    allowed.clear();
    for (const std::string& choice : field.choices) allowed += (allowed.empty() ? "" : ", ") + code(choice);
  }
  return fmt::format("| {} | {} | {} | {} |\n", code(field.key), code(field.value.dump()), allowed, cell(field.doc));
}

std::string section_table(const std::string& section, const std::vector<Field>& fields) {
  std::string rows;
  for (const Field& field : fields)
    if (field.kind != FieldKind::Section && section_of(field.key) == section) rows += table_row(field);
  return rows.empty() ? "" : "\n| key | default | allowed | meaning |\n|---|---|---|---|\n" + rows;
}

}  // namespace

void FieldCollector::add(std::string_view name, FieldKind kind, ordered_json value, std::string allowed,
                         std::string_view doc) {
  Field field{.key = joined(section_, name),
              .kind = kind,
              .value = std::move(value),
              .allowed = std::move(allowed),
              .doc = std::string(doc)};
  TT_CHECK(!name.empty() && name.find('.') == std::string_view::npos, "\"{}\" cannot be a key", field.key);
  for (const Field& other : fields_) TT_CHECK(other.key != field.key, "the key {} is described twice", field.key);
  fields_.push_back(std::move(field));
}

void FieldCollector::boolean(std::string_view name, bool& value, std::string_view doc) {
  add(name, FieldKind::Boolean, value, "true or false", doc);
}

void FieldCollector::integer(std::string_view name, int64_t& value, core::IntRange range, std::string_view doc) {
  add(name, FieldKind::Integer, value, core::to_string(range), doc);
}

void FieldCollector::number(std::string_view name, double& value, core::NumberRange range, std::string_view doc) {
  TT_CHECK(std::isfinite(value), "{} is {}, which JSON cannot hold", joined(section_, name), value);
  add(name, FieldKind::Number, value, core::to_string(range), doc);
}

void FieldCollector::text(std::string_view name, std::string& value, std::string_view doc) {
  add(name, FieldKind::Text, value, "a text", doc);
}

void FieldCollector::texts(std::string_view name, std::vector<std::string>& value, std::string_view doc) {
  add(name, FieldKind::Texts, value, "a list of texts", doc);
}

void FieldCollector::choice_index(std::string_view name, size_t& index, const std::vector<std::string_view>& names,
                                  std::string_view doc) {
  add(name, FieldKind::Choice, std::string(names.at(index)), fmt::format("{}", fmt::join(names, ", ")), doc);
  fields_.back().choices.assign(names.begin(), names.end());
}

bool FieldCollector::begin_group(std::string_view name, std::string_view doc) {
  add(name, FieldKind::Section, nullptr, "a section", doc);
  section_ = fields_.back().key;
  return true;
}

void FieldCollector::end_group() { section_ = section_of(section_); }

std::string to_json_text(const std::vector<Field>& fields) {
  ordered_json root = ordered_json::object();
  for (const Field& field : fields) {
    ordered_json* at = &root;
    size_t begin = 0;
    for (size_t dot = field.key.find('.'); dot != std::string::npos; begin = dot + 1, dot = field.key.find('.', begin))
      at = &(*at)[field.key.substr(begin, dot - begin)];
    (*at)[field.key.substr(begin)] = field.kind == FieldKind::Section ? ordered_json::object() : field.value;
  }
  return root.dump(2) + "\n";
}

std::string to_markdown(const std::vector<Field>& fields) {
  std::string text = section_table("", fields);
  if (!text.empty()) text.erase(0, 1);
  for (const Field& field : fields) {
    if (field.kind != FieldKind::Section) continue;
    const auto level = static_cast<size_t>(std::count(field.key.begin(), field.key.end(), '.')) + 2;
    text += fmt::format("{}{} {}\n", text.empty() ? "" : "\n", std::string(std::min<size_t>(level, 6), '#'), field.key);
    if (!field.doc.empty()) text += fmt::format("\n{}\n", sentence(field.doc));
    text += section_table(field.key, fields);
  }
  return text;
}

}  // namespace thinktune::cli
