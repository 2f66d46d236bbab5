#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "cli/config_names.h"
#include "thinktune/cli/config.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::cli {
namespace {

using nlohmann::json;

// Tells how far the parser has read: nlohmann's SAX events carry no positions.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, size_t* num_read) : at_(at), num_read_(num_read) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*num_read_;
    return *this;
  }
  CountingIterator operator++(int) {
    const CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  size_t* num_read_;
};

// Where a comma stands directly before the closing bracket that ends text[0, end); npos if there is none. Skips texts
// and comments.
size_t trailing_comma(std::string_view text, size_t end) {
  size_t last = std::string_view::npos, before_last = std::string_view::npos;  // the last two characters that count
  end = std::min(end, text.size());
  for (size_t i = 0; i < end; ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') continue;
    if (c == '/' && i + 1 < end && (text[i + 1] == '/' || text[i + 1] == '*')) {
      const bool block = text[i + 1] == '*';
      const size_t stop = text.find(block ? "*/" : "\n", i + 2);
      if (stop == std::string_view::npos) return stop;
      i = stop + (block ? 1 : 0);
      continue;
    }
    before_last = last;
    last = i;
    if (c != '"') continue;
    for (++i; i < end && text[i] != '"'; ++i) i += text[i] == '\\';
  }
  const bool closes = last != std::string_view::npos && (text[last] == '}' || text[last] == ']');
  return closes && before_last != std::string_view::npos && text[before_last] == ',' ? before_last
                                                                                     : std::string_view::npos;
}

// Builds the value, and notes the line of every key. Without recursion, and not deeper than kMaxConfigLevels.
class Builder final : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, const std::string& name, const size_t* num_read)
      : text_(text), name_(name), num_read_(num_read) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(std::size_t) override { return open(json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    json& object = *open_.back();
    const std::string dotted = in_array_ > 0 ? "" : joined(path_.empty() ? "" : path_.back(), name);
    if (object.contains(name)) {
      const auto first = lines_.find(dotted);
      const std::string where = first == lines_.end() ? "" : fmt::format(" (first in line {})", first->second);
      throw core::user_error(fmt::format("{}:{}: {} is there twice{}", name_, line_at(*num_read_),
                                         printable(dotted.empty() ? name : dotted), where),
                             "keep one of them");
    }
    if (in_array_ == 0) lines_[dotted] = line_at(*num_read_);
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t, const std::string& last_token, const nlohmann::detail::exception& error) override {
    if (const size_t comma = trailing_comma(text_, *num_read_); comma != std::string_view::npos)
      throw core::user_error(fmt::format("{}:{}: a comma stands behind the last entry", name_, line_at(comma)),
                             "remove it");
    std::string reason = error.what();
    if (const size_t column = reason.find(", column "); column != std::string::npos)
      reason = reason.substr(std::min(reason.find(": ", column), reason.size() - 2) + 2);
    else if (const size_t bracket = reason.find("] "); bracket != std::string::npos)
      reason = reason.substr(bracket + 2);
    std::string hint;
    if (reason.find("unexpected string literal; expected") != std::string::npos)
      hint = "is a comma missing at the end of the line before?";
    else if (last_token.find('\'') != std::string::npos)
      hint = "texts and keys stand in double quotes";
    else
      hint = "a config is JSON, with // comments if wanted: { \"section\": { \"key\": value } }";
    // The reason repeats what was read of the offending token, which may be long.
    throw core::user_error(
        fmt::format("{}:{}: {}", name_, line_at(*num_read_ > 0 ? *num_read_ - 1 : 0), cut(reason, 200)), hint);
  }

  json take_value() { return std::move(root_); }
  const std::map<std::string, size_t>& lines() const { return lines_; }

 private:
  size_t line_at(size_t offset) {
    if (offset < counted_to_) counted_to_ = 0, line_ = 1;
    const auto begin = text_.begin() + static_cast<std::ptrdiff_t>(counted_to_);
    const auto end = text_.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text_.size()));
    line_ += static_cast<size_t>(std::count(begin, end, '\n'));
    counted_to_ = std::min(offset, text_.size());
    return line_;
  }

  json* place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    json& child = parent[key_];
    child = std::move(value);
    return &child;
  }

  bool put(json value) {
    place(std::move(value));
    return true;
  }

  bool open(json value) {
    if (open_.size() == kMaxConfigLevels)
      throw core::user_error(
          fmt::format("{}:{}: nested deeper than {} levels", name_, line_at(*num_read_), kMaxConfigLevels));
    if (value.is_object() && in_array_ == 0)
      path_.push_back(open_.empty() ? "" : joined(path_.empty() ? "" : path_.back(), key_));
    else
      ++in_array_;
    open_.push_back(place(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    if (in_array_ > 0)
      --in_array_;
    else
      path_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& name_;
  const size_t* num_read_;
  size_t counted_to_ = 0, line_ = 1;
  json root_;
  std::vector<json*> open_;        // a parent does not move while a child is open
  std::vector<std::string> path_;  // dotted keys of the open objects outside arrays
  int in_array_ = 0;               // open levels from the outermost array on: keys in there are no config keys
  std::string key_;
  std::map<std::string, size_t> lines_;
};

}  // namespace

ConfigDocument ConfigDocument::from_file(const std::filesystem::path& file) {
  return from_text(core::read_file(file, "config", {.max_bytes = core::kMaxSideFileBytes, .pipes = true}),
                   file.filename().string());
}

ConfigDocument ConfigDocument::from_text(std::string_view text, std::string name) {
  size_t num_read = 0;
  Builder builder(text, name, &num_read);
  json::sax_parse(CountingIterator(text.data(), &num_read), CountingIterator(text.data() + text.size(), &num_read),
                  &builder, nlohmann::detail::input_format_t::json, /*strict=*/true, /*ignore_comments=*/true);
  ConfigDocument document = from_json(builder.take_value(), std::move(name));
  for (const auto& [key, line] : builder.lines()) document.places_[key] = fmt::format("{}:{}", document.name_, line);
  return document;
}

ConfigDocument ConfigDocument::from_json(json value, std::string name) {
  if (!value.is_object())
    throw core::user_error(fmt::format(
        "{}: it holds {}, but a config is an object: {{ \"section\": {{ \"key\": value }} }}", name, shown(value)));
  ConfigDocument document;
  document.value_ = std::move(value);
  document.name_ = std::move(name);
  return document;
}

void ConfigDocument::set(std::string_view assignment) {
  const std::string place = fmt::format("--set {}", printable(assignment));
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos)
    throw core::user_error(fmt::format("{}: there is no \"=\"", place), "write --set section.key=value");
  const std::string key(assignment.substr(0, equals)), raw(assignment.substr(equals + 1));
  const auto levels = static_cast<size_t>(std::count(key.begin(), key.end(), '.')) + 1;
  if (key.empty() || key.front() == '.' || key.back() == '.' || key.find("..") != std::string::npos ||
      levels > kMaxConfigLevels)
    throw core::user_error(fmt::format("{}: \"{}\" is no key", place, printable(key)), "write --set section.key=value");

  json value = json(raw);
  try {
    [[maybe_unused]] const std::string utf8 = value.dump();
    [[maybe_unused]] const std::string utf8_key = json(key).dump();
  } catch (const json::exception&) {
    throw core::user_error(fmt::format("{}: it is not UTF-8", place));
  }
  if (json::accept(raw))
    value = from_text("{\"value\":" + raw + "}", place).value_["value"];  // with the checks of a file

  json* section = &value_;
  for (size_t begin = 0, dot = key.find('.'); dot != std::string::npos; begin = dot + 1, dot = key.find('.', begin)) {
    const std::string upper = key.substr(0, dot), name = key.substr(begin, dot - begin);
    if (!section->contains(name)) {
      (*section)[name] = json::object();
      places_[upper] = place;
    }
    section = &(*section)[name];
    if (!section->is_object())
      throw core::user_error(fmt::format("{}: {} is {} ({}), not a section", place, printable(upper), shown(*section),
                                         this->place(upper)));
  }
  std::erase_if(raw_texts_, [&](const auto& entry) { return entry.first.starts_with(key + "."); });
  raw_texts_[key] = raw;
  note_places(key, value, place);
  json& target = (*section)[key.substr(key.rfind('.') + 1)];
  if (target.is_object() && value.is_object())
    target.update(value, /*merge_objects=*/true);
  else
    target = std::move(value);
}

void ConfigDocument::note_places(const std::string& key, const json& value, const std::string& place) {
  places_[key] = place;
  if (!value.is_object()) return;
  for (const auto& [name, inner] : value.items()) note_places(joined(key, name), inner, place);
}

std::string ConfigDocument::place(const std::string& key) const {
  const auto known = places_.find(key);
  return known == places_.end() ? name_ : known->second;
}

const std::string* ConfigDocument::raw_text(const std::string& key) const {
  const auto known = raw_texts_.find(key);
  return known == raw_texts_.end() ? nullptr : &known->second;
}

}  // namespace thinktune::cli
