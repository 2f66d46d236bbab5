#include "data/jsonl.h"

#include <cmath>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::data {
namespace {

using nlohmann::json;

constexpr size_t kMaxLineBytes = 16u << 20;

json parse_line(std::string_view line, const std::string& where) {
  if (line.size() > kMaxLineBytes)
    throw core::data_error(
        fmt::format("{}: the line is {} bytes long, allowed are {}", where, line.size(), kMaxLineBytes),
        "a JSONL file has one problem a line");
  core::check_json_depth(line, where);
  try {
    json object = json::parse(line);
    if (!object.is_object())
      throw core::data_error(fmt::format("{}: a JSON object is expected, this is {}", where, object.type_name()),
                             "a JSONL file has one object a line; a JSON array of problems must be split into lines");
    return object;
  } catch (const json::parse_error& e) {
    throw core::data_error(fmt::format("{}: not valid JSON at byte {} of the line", where, e.byte),
                           "each line must be one whole JSON object in UTF-8");
  } catch (const json::exception& e) {  // a number out of range
    throw core::data_error(fmt::format("{}: {}", where, e.what()));
  }
}

}  // namespace

void for_each_line(const std::filesystem::path& file,
                   const std::function<void(const json&, const std::string&, size_t)>& line) {
  const std::string content = core::read_file(file, "data file");
  std::string_view rest = content;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  for (size_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    std::string_view text = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", file.string(), number);
    line(parse_line(text, where), where, number);
  }
}

std::optional<std::string> text_field(const json& object, const char* name, const std::string& where) {
  const auto field = object.find(name);
  if (field == object.end() || field->is_null()) return std::nullopt;
  if (!field->is_string())
    throw core::data_error(fmt::format("{}: \"{}\" must be a text, it is {}", where, name, field->type_name()));
  return field->get<std::string>();
}

std::optional<std::string> text_or_number_field(const json& object, const char* name, const std::string& where) {
  const auto field = object.find(name);
  if (field == object.end() || !field->is_number()) {
    if (field != object.end() && !field->is_null() && !field->is_string())
      throw core::data_error(
          fmt::format("{}: \"{}\" must be a text or a number, it is {}", where, name, field->type_name()));
    return text_field(object, name, where);
  }
  // JSON integers beyond 64 bits arrive as doubles, whose last digits are lost.
  if (field->is_number_float() && std::abs(field->get<double>()) >= 0x1p53)
    throw core::data_error(fmt::format("{}: \"{}\" is a number too large to be read exactly", where, name),
                           "write it as a text, in quotes");
  return field->dump();
}

}  // namespace thinktune::data
