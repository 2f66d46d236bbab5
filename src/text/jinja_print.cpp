// Values as text: Python's str and repr, and json.dumps.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {

std::string format_double(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer, static_cast<size_t>(end - buffer));
  const size_t e = shortest.find('e');
  int exponent = 0;
  const char* digits_of_exponent = buffer + e + 1;
  if (*digits_of_exponent == '+') ++digits_of_exponent;
  std::from_chars(digits_of_exponent, end, exponent);
  if (exponent >= -4 && exponent < 16) {
    const size_t num_digits = e - (value < 0 ? 1 : 0) - (shortest.find('.') < e ? 1 : 0);
    const int decimals = std::max(static_cast<int>(num_digits) - 1 - exponent, 1);
    return fmt::format("{:.{}f}", value, decimals);
  }
  return std::string(shortest);
}

namespace {

class Printer {
 public:
  explicit Printer(Runtime& runtime) : runtime_(runtime) {}

  void value(const Value& value) {
    runtime_.charge(1);
    runtime_.check_text(out.size());
    switch (value.kind()) {
      case Kind::Undefined:
        return put("Undefined");
      case Kind::None:
        return put("None");
      case Kind::Bool:
        return put(value.as_integer() != 0 ? "True" : "False");
      case Kind::Int:
        return put(std::to_string(value.as_integer()));
      case Kind::Float:
        return put(format_double(value.as_double()));
      case Kind::Text:
        return text(value.as_text());
      case Kind::List:
        return list(value.as_list());
      case Kind::Dict:
        put("{");
        entries(value.as_dict());
        return put("}");
      default:
        fail("a {} cannot be printed", type_name(value));
    }
  }

  MarkedText out;

 private:
  void put(std::string_view bytes) { out.append(bytes, Mark::Template); }

  void list(const List& list) {
    using Flavor = List::Flavor;
    if (list.flavor == Flavor::Range) fail("a range cannot be printed: make it a list");
    const bool is_view = !list.is_sequence();
    if (is_view)
      put(list.flavor == Flavor::Keys ? "dict_keys(" : list.flavor == Flavor::Values ? "dict_values(" : "dict_items(");
    put(list.is_tuple() ? "(" : "[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) put(", ");
      value(list.items[i]);
    }
    if (list.is_tuple() && list.items.size() == 1) put(",");
    put(list.is_tuple() ? ")" : "]");
    if (is_view) put(")");
  }

  void entries(const Dict& dict) {
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) put(", ");
      value(dict.entries[i].first);
      put(": ");
      value(dict.entries[i].second);
    }
  }

  void text(const MarkedText& text) {
    runtime_.charge(text.size() / 32);
    const std::string& bytes = text.bytes();
    const char quote = bytes.find('\'') != std::string::npos && bytes.find('"') == std::string::npos ? '"' : '\'';
    put(std::string_view(&quote, 1));
    out.append(map_characters(text, [&](std::string& to, char32_t c) {
      if (c == static_cast<char32_t>(quote) || c == '\\') {
        to += '\\';
        append_utf8(to, c);
      } else if (c == '\n' || c == '\r' || c == '\t') {
        to += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
      } else if (is_printable(c)) {
        append_utf8(to, c);
      } else {
        const auto code = static_cast<uint32_t>(c);
        to += code < 0x100     ? fmt::format("\\x{:02x}", code)
              : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                               : fmt::format("\\U{:08x}", code);
      }
    }));
    put(std::string_view(&quote, 1));
  }

  Runtime& runtime_;
};

class JsonPrinter {
 public:
  JsonPrinter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void value(const Value& value, int level) {
    runtime_.charge(1);
    runtime_.check_text(out.size());
    switch (value.kind()) {
      case Kind::None:
        return put("null");
      case Kind::Bool:
        return put(value.as_integer() != 0 ? "true" : "false");
      case Kind::Int:
        return put(std::to_string(value.as_integer()));
      case Kind::Float:
        return number(value.as_double());
      case Kind::Text:
        return text(value.as_text());
      case Kind::List:
        if (value.as_list().flavor == List::Flavor::List || value.as_list().is_tuple())
          return list(value.as_list(), level);
        break;
      case Kind::Dict:
        return dict(value.as_dict(), level);
      case Kind::Undefined:
        fail("{}: it cannot be written as JSON", explain(value.as_undefined()));
      default:
        break;
    }
    fail("a {} cannot be written as JSON", type_name(value));
  }

  MarkedText out;

 private:
  void put(std::string_view bytes) { out.append(bytes, Mark::Template); }

  void number(double value) {
    if (std::isnan(value)) return put("NaN");
    if (std::isinf(value)) return put(value < 0 ? "-Infinity" : "Infinity");
    put(format_double(value));
  }

  void new_line(int level) {
    if (!style_.indent) return;
    put("\n");
    for (int i = 0; i < level; ++i) put(*style_.indent);
    runtime_.charge(1 + static_cast<size_t>(level) * style_.indent->size() / 32);
  }

  void list(const List& list, int level) {
    if (list.items.empty()) return put("[]");
    put("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) put(style_.item_separator);
      new_line(level + 1);
      value(list.items[i], level + 1);
    }
    new_line(level);
    put("]");
  }

  void dict(const Dict& dict, int level) {
    if (dict.entries.empty()) return put("{}");
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys)
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const auto* a, const auto* b) { return compare(runtime_, a->first, b->first) < 0; });
    put("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) put(style_.item_separator);
      new_line(level + 1);
      key(entries[i]->first);
      put(style_.key_separator);
      value(entries[i]->second, level + 1);
    }
    new_line(level);
    put("}");
  }

  void key(const Value& name) {
    if (name.is_text()) return text(name.as_text());
    if (!name.is_number() && !name.is_none()) fail("a {} cannot be a key in JSON", type_name(name));
    put("\"");
    value(name, 0);
    put("\"");
  }

  void text(const MarkedText& text) {
    runtime_.charge(text.size() / 32);
    put("\"");
    out.append(map_characters(text, [&](std::string& to, char32_t c) { character(to, c); }));
    put("\"");
  }

  void character(std::string& to, char32_t c) const {
    static constexpr std::string_view kShort = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
    const auto code = static_cast<uint32_t>(c);
    if (const size_t at = c < 0x80 ? kShort.find(static_cast<char>(c)) : std::string_view::npos;
        at != std::string_view::npos) {
      to += '\\';
      to += kLetters[at];
    } else if (c < 0x20 || (style_.ensure_ascii && c >= 0x7F && c < 0x10000)) {
      if (c == 0x7F) return to.push_back('\x7F');
      to += fmt::format("\\u{:04x}", code);
    } else if (style_.ensure_ascii && c >= 0x10000) {
      to += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF));
    } else {
      append_utf8(to, c);
    }
  }

  Runtime& runtime_;
  const JsonStyle& style_;
};

}  // namespace

MarkedText repr(Runtime& runtime, const Value& value) {
  Printer printer(runtime);
  printer.value(value);
  return std::move(printer.out);
}

MarkedText to_text(Runtime& runtime, const Value& value) {
  if (value.is_text()) return value.as_text();
  if (value.is_undefined()) return {};
  return repr(runtime, value);
}

MarkedText to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonPrinter printer(runtime, style);
  printer.value(value, 0);
  return std::move(printer.out);
}

}  // namespace thinktune::text::jinja
