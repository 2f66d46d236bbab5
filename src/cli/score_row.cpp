#include "cli/score_row.h"

#include <unordered_set>
#include <utility>

#include "thinktune/core/error.h"

namespace thinktune::cli {
namespace {

using nlohmann::json;

struct Fields {
  std::optional<json> id;
  std::optional<std::string> gold, prediction, output;
  std::optional<bool> label;
};

// Reads one row without building what is not asked for: other fields cost no memory, however they are nested.
class RowReader final : public nlohmann::json_sax<json> {
 public:
  RowReader(const std::string& label, std::string where) : label_(label), where_(std::move(where)) {}
  Fields take() { return std::move(fields_); }

  bool null() override { return begin_value(); }
  bool boolean(bool value) override {
    if (depth_ == 1 && key_ == label_) fields_.label = value;
    return depth_ == 1 && is_text_field() ? wrong_type("a boolean") : begin_value();
  }
  bool number_integer(number_integer_t value) override { return number(std::to_string(value), value); }
  bool number_unsigned(number_unsigned_t value) override { return number(std::to_string(value), value); }
  bool number_float(number_float_t value, const string_t& text) override { return number(text, value); }
  bool string(string_t& value) override {
    if (depth_ == 1 && key_ == "id") fields_.id = value;
    if (depth_ == 1) put(value);
    return begin_value();
  }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(std::size_t) override { return open("an object"); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open("a list"); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    key_ = std::move(name);
    if (!is_text_field()) return true;
    if (seen_.contains(key_))
      throw core::data_error(fmt::format("{}: \"{}\" is there twice", where_, key_), "keep one of them");
    seen_.insert(key_);
    return true;
  }
  // False stops the parser.
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    problem_ = dynamic_cast<const json::out_of_range*>(&error) != nullptr
                   ? core::data_error(fmt::format("{}: a number is too large for JSON", where_),
                                      "write it as a text, in quotes")
                   : core::data_error(fmt::format("{}: not valid JSON at byte {} of the line", where_, position),
                                      "each line must be one whole JSON object");
    return false;
  }
  const std::optional<core::Error>& problem() const { return problem_; }

 private:
  bool is_text_field() const { return key_ == "id" || key_ == "gold" || key_ == "prediction" || key_ == "output"; }
  bool wrong_type(const char* type) {
    throw core::data_error(fmt::format("{}: \"{}\" must be a text, it is {}", where_, key_, type));
  }
  bool begin_value() {
    if (depth_ == 0) throw core::data_error(fmt::format("{}: a JSON object is expected", where_));
    return true;
  }
  void put(std::string value) {
    if (key_ == "gold") fields_.gold = std::move(value);
    if (key_ == "prediction") fields_.prediction = std::move(value);
    if (key_ == "output") fields_.output = std::move(value);
  }
  template <class Number>
  bool number(std::string text, Number value) {
    if (depth_ == 1 && key_ == "id") fields_.id = value;
    if (depth_ == 1) put(std::move(text));
    return begin_value();
  }
  bool open(const char* type) {
    if (depth_ == 0 && type[1] == ' ') begin_value();  // "a list"
    if (depth_ == 1 && is_text_field()) wrong_type(type);
    ++depth_;
    return true;
  }
  bool close() {
    --depth_;
    return true;
  }

  const std::string& label_;
  std::string where_;
  size_t depth_ = 0;
  std::string key_;  // of the row, at depth 1
  std::unordered_set<std::string> seen_;
  Fields fields_;
  std::optional<core::Error> problem_;
};

// The line with U+FFFD for bytes that are no UTF-8.
std::string mended(std::string_view line) {
  return json::parse(json(line).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
}

void check(const Fields& row, const std::string& where) {
  const auto lacks = [&](const char* field) {
    return core::data_error(fmt::format("{}: the row has no \"{}\"", where, field),
                            "a row is {\"id\", \"gold\", \"prediction\" or \"output\"}");
  };
  if (!row.id) throw lacks("id");
  if (!row.gold) throw lacks("gold");
  if (!row.prediction && !row.output) throw lacks("prediction\" or \"output");
  if (row.prediction && row.output)
    throw core::data_error(fmt::format("{}: the row has both \"prediction\" and \"output\"", where),
                           "keep \"output\" for a whole text, \"prediction\" for a bare answer");
}

}  // namespace

ScoreRow read_score_row(std::string_view line, const std::string& label, const std::string& where) {
  RowReader reader(label, where);
  Fields fields;
  const bool is_whole = json::sax_parse(line, &reader);
  if (is_whole) {
    fields = reader.take();
  } else {
    const std::string text = mended(line);
    if (text == line) throw *reader.problem();
    RowReader again(label, where);
    if (!json::sax_parse(text, &again)) throw *again.problem();
    fields = again.take();
  }
  check(fields, where);
  return {.id = *std::move(fields.id),
          .gold = *std::move(fields.gold),
          .prediction = std::move(fields.prediction),
          .output = std::move(fields.output),
          .label = fields.label,
          .mended = !is_whole};
}

}  // namespace thinktune::cli
