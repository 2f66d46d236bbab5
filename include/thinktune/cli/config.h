// From a config file and the command line's --set to the options that the rooms own, and back.
//
// A config is JSON; // and /* */ comments are allowed. It works for any T with `describe(core::Fields&, T&)`
// (core/options.h): keys, types, ranges and documentation come from there and nowhere else. Nothing is accepted and
// ignored: an unknown key, a key that is there twice, a value of another type or outside its range is an error that
// names place, key, value, what is allowed, and what was probably meant:
//
//   config.json:7: guidance.shedule is not a known key; did you mean guidance.schedule?
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thinktune/core/options.h"

namespace thinktune::cli {

// A config as it was written, before anything is known of the options.
class ConfigDocument {
 public:
  // No file: the defaults, changed by set() alone.
  ConfigDocument() = default;

  // Throws Error{Data} if the file cannot be read, else as from_text does.
  static ConfigDocument from_file(const std::filesystem::path& file);

  // `name` stands in messages. Throws Error{User} with the line for what is no JSON object, for a key that is there
  // twice, and for more than 32 levels.
  static ConfigDocument from_text(std::string_view text, std::string name);

  static ConfigDocument from_json(nlohmann::json value, std::string name);

  // "guidance.schedule.init=0.2", as --set has it; wins over what was there. The value is read as JSON and, where it is
  // none, as text; for a field that is a text it may also be any text that happens to be JSON. An object is merged into
  // its section. Throws Error{User} if there is no "=", a part of the key is empty, or a part is a value and no
  // section.
  void set(std::string_view assignment);

  const nlohmann::json& value() const { return value_; }
  std::string place(const std::string& key) const;  // "config.json:7", "--set optim.lr=fast", or the document's name
  const std::string* raw_text(
      const std::string& key) const;  // what --set had behind "="; null if the value is not from there

 private:
  void note_places(const std::string& key, const nlohmann::json& value, const std::string& place);

  std::string name_ = "config";
  nlohmann::json value_ = nlohmann::json::object();
  std::map<std::string, std::string> places_;     // by dotted key
  std::map<std::string, std::string> raw_texts_;  // by dotted key
};

enum class FieldKind { Section, Boolean, Integer, Number, Text, Texts, Choice };

// What a description says of one key.
struct Field {
  std::string key;  // dotted
  FieldKind kind = FieldKind::Section;
  nlohmann::ordered_json value;      // as it stands in the options; null for a section
  std::string allowed;               // for people: "more than 0", "paper, reference"
  std::vector<std::string> choices;  // of a Choice
  std::string doc;
};

// Collects the fields in the order of the description; a section stands before its fields. Throws Error{Internal} if a
// key is described twice, or if a number is not finite: JSON could not hold it.
class FieldCollector final : public core::Fields {
 public:
  void boolean(std::string_view name, bool& value, std::string_view doc) override;
  void integer(std::string_view name, int64_t& value, core::IntRange range, std::string_view doc) override;
  void number(std::string_view name, double& value, core::NumberRange range, std::string_view doc) override;
  void text(std::string_view name, std::string& value, std::string_view doc) override;
  void texts(std::string_view name, std::vector<std::string>& value, std::string_view doc) override;
  std::vector<Field> take() { return std::move(fields_); }

 protected:
  void choice_index(std::string_view name, size_t& index, const std::vector<std::string_view>& names,
                    std::string_view doc) override;
  bool begin_group(std::string_view name, std::string_view doc) override;
  void end_group() override;

 private:
  void add(std::string_view name, FieldKind kind, nlohmann::ordered_json value, std::string allowed,
           std::string_view doc);

  std::string section_;
  std::vector<Field> fields_;
};

// Reads a document into the fields. Problems are gathered, so that a user sees all of them at once.
class ConfigReader final : public core::Fields {
 public:
  // Finds all unknown keys. The document must outlive the reader.
  ConfigReader(const ConfigDocument& document, const std::vector<Field>& fields);

  void boolean(std::string_view name, bool& value, std::string_view doc) override;
  void integer(std::string_view name, int64_t& value, core::IntRange range, std::string_view doc) override;
  void number(std::string_view name, double& value, core::NumberRange range, std::string_view doc) override;
  void text(std::string_view name, std::string& value, std::string_view doc) override;
  void texts(std::string_view name, std::vector<std::string>& value, std::string_view doc) override;

  // Throws one Error{User} with all problems, a line each.
  void throw_problems() const;

 protected:
  void choice_index(std::string_view name, size_t& index, const std::vector<std::string_view>& names,
                    std::string_view doc) override;
  bool begin_group(std::string_view name, std::string_view doc) override;
  void end_group() override;

 private:
  void find_unknown_keys(const nlohmann::json& section, const std::string& prefix, const std::vector<Field>& fields);
  const nlohmann::json* find(std::string_view name) const;  // null: not in the document, the default stays
  std::string key_of(std::string_view name) const;
  void add_problem(const std::string& key, const std::string& what);
  void add_wrong_type(std::string_view name, const nlohmann::json& value, std::string_view expected);

  const ConfigDocument& document_;
  std::vector<const nlohmann::json*> sections_;  // innermost last; null: the document does not have it
  std::vector<std::string> names_;
  std::vector<std::string> problems_;
};

template <class T>
std::vector<Field> list_fields(T options) {
  FieldCollector collector;
  describe(collector, options);
  return collector.take();
}

// Changes the options only if the whole document is right. Throws Error{User}.
template <class T>
void read_options(const ConfigDocument& document, T& options) {
  T result = options;
  ConfigReader reader(document, list_fields(options));
  describe(reader, result);
  reader.throw_problems();
  options = std::move(result);
}

template <class T>
void read_options(const nlohmann::json& value, T& options, std::string name = "config") {
  read_options(ConfigDocument::from_json(value, std::move(name)), options);
}

// The resolved config: every field, in the order of the description. read_options reads it back to equal options.
std::string to_json_text(const std::vector<Field>& fields);
template <class T>
std::string to_json_text(const T& options) {
  return to_json_text(list_fields(options));
}

// A table of keys for each section, with default, what is allowed, and meaning.
std::string to_markdown(const std::vector<Field>& fields);
template <class T>
std::string to_markdown(const T& options) {
  return to_markdown(list_fields(options));
}

// Of some names those that a misspelt word was probably meant to be: with the smallest edit distance (case, and "-" for
// "_", do not count), if that is small for the word's length; at most three.
std::vector<std::string> nearest_names(std::string_view word, const std::vector<std::string>& names);

}  // namespace thinktune::cli
