// Jinja's filters of text and numbers, and tojson as transformers has it. Lists are in jinja_list_filters.cpp.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

// A text filter takes any value, as its text.
Value as_text(Runtime& runtime, const Value& self) {
  return self.is_text() ? self : runtime.text(to_text(runtime, self));
}

template <size_t kSize>
Value call_method(Runtime& runtime, const char (&name)[kSize], const Value& self, const Arguments& arguments) {
  return find_text_method(name)->function(runtime, as_text(runtime, self), arguments);
}

Value trim(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return call_method(runtime, "strip", self, arguments);
}
Value upper(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return call_method(runtime, "upper", self, arguments);
}
Value lower(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return call_method(runtime, "lower", self, arguments);
}
Value capitalize(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return call_method(runtime, "capitalize", self, arguments);
}

// Unlike str.title, words begin behind white space and -({[< alone.
Value title(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("title", arguments, {});
  const Value text = as_text(runtime, self);
  return runtime.text(map_characters(text.as_text(), [begins = true](std::string& to, char32_t c) mutable {
    begins ? append_upper(to, c) : append_lower(to, c);
    begins = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  }));
}

Value replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  Arguments given;
  given.positional = {as_text(runtime, p[0]), as_text(runtime, p[1]), p.value_or(2, Value::none())};
  return call_method(runtime, "replace", self, given);
}

Value string(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("string", arguments, {});
  return as_text(runtime, self);
}

Value center(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("center", arguments, {"width"});
  Arguments given;
  given.positional = {Value::integer(p.integer_or(0, 80))};
  return call_method(runtime, "center", self, given);
}

Value indent(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("indent", arguments, {"width", "first", "blank"});
  MarkedText margin;
  if (p.has(0) && p[0].is_text()) {
    margin = p.text(0);
  } else {
    const int64_t width = std::max<int64_t>(p.integer_or(0, 4), 0);
    runtime.check_text(static_cast<size_t>(width));
    margin = MarkedText(std::string(static_cast<size_t>(width), ' '), Mark::Template);
  }
  const Value value = as_text(runtime, self);
  const MarkedText& text = value.as_text();
  MarkedText out;
  if (p.boolean_or(1, false)) out.append(margin);
  for (size_t begin = 0; begin < text.size();) {
    const size_t newline = text.bytes().find('\n', begin);
    const size_t end = newline == std::string::npos ? text.size() : newline + 1;
    const bool is_blank = end - begin == (newline == std::string::npos ? 0u : 1u);
    if (begin > 0 && (!is_blank || p.boolean_or(2, false))) out.append(margin);
    out.append(text, begin, end);
    runtime.charge(1 + margin.size() / 32);
    runtime.check_text(out.size());
    begin = end;
  }
  if (text.bytes().ends_with('\n') && p.boolean_or(2, false)) out.append(margin);
  return runtime.text(std::move(out));
}

Value truncate(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const Value value = as_text(runtime, self);
  const MarkedText& text = value.as_text();
  const MarkedText end = p.has(2) ? p.text(2) : MarkedText("...", Mark::Template);
  const int64_t length = p.integer_or(0, 255), leeway = p.integer_or(3, 5);
  const auto starts = character_starts(text.bytes());
  const auto size = static_cast<int64_t>(starts.size()) - 1;
  const auto end_size = static_cast<int64_t>(num_characters(end.bytes()));
  if (length < end_size) fail("'truncate' to {} characters leaves no room for its end", length);
  if (leeway < 0) fail("'truncate' needs a leeway of at least 0");
  if (size <= length || size - length <= leeway) return value;
  size_t cut = starts[static_cast<size_t>(length - end_size)];
  if (!p.boolean_or(1, false)) {
    const size_t space = text.bytes().substr(0, cut).rfind(' ');
    if (space != std::string::npos) cut = space;
  }
  MarkedText out = text.slice(0, cut);
  out.append(end);
  return runtime.text(std::move(out));
}

Value wordcount(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("wordcount", arguments, {});
  const Value value = as_text(runtime, self);
  const std::string& bytes = value.bytes();
  runtime.charge(bytes.size() / 32);
  int64_t words = 0;
  bool in_word = false;
  for (size_t i = 0; i < bytes.size();) {
    const Character c = character_at(bytes, i);
    const bool is_word = c.code == '_' || is_letter(c.code) || is_decimal(c.code);
    words += is_word && !in_word;
    in_word = is_word;
    i += c.length;
  }
  return Value::integer(words);
}

Value format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Value text = as_text(runtime, self);
  if (!arguments.positional.empty() && !arguments.named.empty())
    fail("'format' takes either named arguments or others");
  if (arguments.named.empty())
    return runtime.text(
        format_percent(runtime, text.as_text(), runtime.list(arguments.positional, List::Flavor::Tuple)));
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : arguments.named) entries.emplace_back(runtime.text(name, Mark::Template), value);
  return runtime.text(format_percent(runtime, text.as_text(), runtime.dict(std::move(entries))));
}

Value safe(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("safe", arguments, {});
  MarkedText text = to_text(runtime, self);
  text.is_markup = true;
  return runtime.text(std::move(text));
}

Value escape(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("escape", arguments, {});
  if (self.is_text() && self.as_text().is_markup) return self;
  return runtime.text(escape_html(to_text(runtime, self)));
}

Value tojson(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = p.boolean_or(0, false);
  style.sort_keys = p.boolean_or(3, false);
  if (p.has(1) && !p[1].is_none()) {
    if (p[1].is_text()) {
      style.indent = p.text(1).bytes();
    } else {
      runtime.check_text(static_cast<size_t>(std::max<int64_t>(p.integer(1), 0)));
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(p.integer(1), 0)), ' ');
    }
  }
  style.item_separator = style.indent ? "," : ", ";
  if (p.has(2) && !p[2].is_none()) {
    const auto separators = items_of(runtime, p[2]);
    if (separators->items.size() != 2) fail("'tojson' needs two separators");
    style.item_separator = require_text("tojson", separators->items[0]).bytes();
    style.key_separator = require_text("tojson", separators->items[1]).bytes();
  }
  return runtime.text(to_json(runtime, self, style));
}

// A number as Python reads it: white space around, underscores between digits.
std::optional<std::string> digits_of(std::string_view text) {
  const Range range = strip_range(text, true, true, is_space);
  std::string digits;
  for (size_t i = range.begin; i < range.end; ++i) {
    const bool is_between = i > range.begin && i + 1 < range.end &&
                            std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                            std::isalnum(static_cast<unsigned char>(text[i + 1]));
    if (text[i] != '_') digits += text[i];
    if (text[i] == '_' && !is_between) return std::nullopt;
  }
  if (digits.starts_with('+') && digits.size() > 1 && digits[1] != '-') digits.erase(0, 1);
  if (digits.empty()) return std::nullopt;
  return digits;
}

std::optional<double> read_double(std::string_view text) {
  const auto digits = digits_of(text);
  if (!digits) return std::nullopt;
  double value = 0;
  const char* const last = digits->data() + digits->size();
  const auto [end, error] = std::from_chars(digits->data(), last, value);
  if (error == std::errc::result_out_of_range && end == last) return std::strtod(digits->c_str(), nullptr);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

std::optional<int64_t> whole(double value) {
  if (!(value > -9.3e18 && value < 9.3e18)) return std::nullopt;
  if (value >= 9223372036854775808.0 || value < -9223372036854775808.0) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::optional<int64_t> read_integer(std::string_view text, int64_t base) {
  auto digits = digits_of(text);
  if (!digits) return std::nullopt;
  const bool is_negative = digits->starts_with('-');
  std::string_view rest(*digits);
  rest.remove_prefix(is_negative);
  const char prefix = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
  if (prefix != 0 && rest.size() > 2 && rest[0] == '0' && (rest[1] | 0x20) == prefix) rest.remove_prefix(2);
  const std::string number = (is_negative ? "-" : "") + std::string(rest);
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), value, static_cast<int>(base));
  if (error == std::errc::result_out_of_range) fail("the integer {} does not fit into 64 bits", number);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  return value;
}

Value to_int(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("int", arguments, {"default", "base"});
  const Value otherwise = p.value_or(0, Value::integer(0));
  if (self.is_undefined()) fail("{}", explain(self.as_undefined()));
  if (self.is_integral()) return Value::integer(self.as_integer());
  if (self.is(Kind::Float)) {
    const auto value = whole(self.as_double());
    return value ? Value::integer(*value) : otherwise;
  }
  if (!self.is_text()) return otherwise;
  const int64_t base = p.integer_or(1, 10);
  if (base < 2 || base > 36) fail("'int' needs a base from 2 to 36");
  if (const auto value = read_integer(self.bytes(), base)) return Value::integer(*value);
  const auto broken = read_double(self.bytes());
  const auto value = broken ? whole(*broken) : std::nullopt;
  return value ? Value::integer(*value) : otherwise;
}

Value to_float(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("float", arguments, {"default"});
  if (self.is_undefined()) fail("{}", explain(self.as_undefined()));
  if (self.is_number()) return Value::number(self.as_double());
  const auto value = self.is_text() ? read_double(self.bytes()) : std::nullopt;
  return value ? Value::number(*value) : p.value_or(0, Value::number(0));
}

Value absolute(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("abs", arguments, {});
  if (self.is(Kind::Float)) return Value::number(std::fabs(self.as_double()));
  const int64_t value = require_integer("abs", self);
  return value < 0 ? negated(self) : Value::integer(value);
}

Value round(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("round", arguments, {"precision", "method"});
  const int64_t precision = p.integer_or(0, 0);
  const std::string method = p.has(1) ? p.text(1).bytes() : "common";
  if (!self.is_number()) require_integer("round", self);
  if (method != "common" && method != "ceil" && method != "floor") fail("'round' knows common, ceil and floor");
  if (precision < -300 || precision > 300) fail("'round' to {} digits is beyond what a number has", precision);
  const double value = self.as_double();
  if (method != "common") {
    const double scale = std::pow(10.0, static_cast<double>(precision));
    return Value::number((method == "ceil" ? std::ceil(value * scale) : std::floor(value * scale)) / scale);
  }
  if (self.is_integral() && precision >= 0) return Value::integer(self.as_integer());
  if (!std::isfinite(value)) return self;
  // As Python: the decimal nearest to the number as it is, not to a product of it.
  if (precision >= 0) return Value::number(std::strtod(fmt::format("{:.{}f}", value, precision).c_str(), nullptr));
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  const double rounded = std::nearbyint(value / scale) * scale;
  if (!self.is_integral()) return Value::number(rounded);
  const auto integer = whole(rounded);
  return Value::integer(integer ? *integer : 0);
}

Value or_default(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("default", arguments, {"default_value", "boolean"});
  const bool is_missing = self.is_undefined() || (p.boolean_or(1, false) && !is_true(self));
  if (!is_missing) return self;
  if (p.has(0)) return p[0];
  return Value::object(std::shared_ptr<const Text>(std::make_shared<Text>(MarkedText())));
}

Value attr(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("attr", arguments, {"name"}, 1);
  // Unlike a dot it does not look into a dict.
  if (self.is(Kind::Dict) && find_method(self, p.text(0).bytes()) == nullptr) return Value::undefined(nullptr, "dict");
  return item(runtime, self, p[0]);
}

constexpr NamedFunction kFilters[] = {
    {"abs", absolute},       {"attr", attr},     {"capitalize", capitalize}, {"center", center},   {"d", or_default},
    {"default", or_default}, {"e", escape},      {"escape", escape},         {"float", to_float},  {"format", format},
    {"indent", indent},      {"int", to_int},    {"lower", lower},           {"replace", replace}, {"round", round},
    {"safe", safe},          {"string", string}, {"title", title},           {"tojson", tojson},   {"trim", trim},
    {"truncate", truncate},  {"upper", upper},   {"wordcount", wordcount},
};

}  // namespace

Function find_filter(std::string_view name) {
  for (const auto& filter : kFilters)
    if (filter.name == name) return filter.function;
  const Function found = find_list_filter(name);
  return found != nullptr ? found : find_select_filter(name);
}

MarkedText escape_html(const MarkedText& text) {
  MarkedText escaped = map_characters(text, [](std::string& to, char32_t c) {
    switch (c) {
      case '&':
        to += "&amp;";
        break;
      case '<':
        to += "&lt;";
        break;
      case '>':
        to += "&gt;";
        break;
      case '\'':
        to += "&#39;";
        break;
      case '"':
        to += "&#34;";
        break;
      default:
        append_utf8(to, c);
    }
  });
  escaped.is_markup = true;
  return escaped;
}

}  // namespace thinktune::text::jinja
