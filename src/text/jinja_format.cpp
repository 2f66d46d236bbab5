// Python's two ways to format: "%s of %d" % (a, b) and "{} of {name}".format(a, name=b).
#include <algorithm>
#include <cmath>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

constexpr int64_t kMaxWidth = 100'000;
constexpr int64_t kMaxPrecision = 400;

struct Spec {
  MarkedText fill{" ", Mark::Template};
  char align = 0;  // < > ^ =
  char sign = 0;   // + or space
  bool alternate = false;
  int64_t width = 0;
  char grouping = 0;
  int64_t precision = -1;
  char type = 0;
};

int64_t read_count(const std::string& text, size_t& at, int64_t limit, const char* what) {
  int64_t value = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    value = value * 10 + (text[at] - '0');
    if (value > limit) fail("a format's {} is larger than {}", what, limit);
  }
  return value;
}

MarkedText padded(const MarkedText& text, const Spec& spec, char otherwise) {
  const auto have = static_cast<int64_t>(num_characters(text.bytes()));
  const int64_t missing = spec.width - have;
  if (missing <= 0) return text;
  const char align = spec.align != 0 ? spec.align : otherwise;
  const size_t sign =
      align == '=' && !text.empty() && std::string_view("+- ").find(text.bytes()[0]) != std::string_view::npos;
  const int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  MarkedText out = text.slice(0, sign);
  for (int64_t i = 0; i < left; ++i) out.append(spec.fill);
  out.append(text, sign, text.size());
  for (int64_t i = left; i < missing; ++i) out.append(spec.fill);
  return out;
}

std::string grouped(const std::string& digits, char separator) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < end; ++i) {
    if (i > 0 && (end - i) % 3 == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(end);
}

// A number's text without padding.
std::string number(const Value& value, const Spec& spec) {
  std::string digits;
  bool is_negative = false;
  const char type = spec.type;
  if (std::string_view("dioxXbcu").find(type) != std::string_view::npos && type != 0) {
    if (!value.is_number()) fail("the format '{}' needs a number, not {}", type, type_name(value));
    const double d = value.as_double();
    if (!value.is_integral() && !(std::fabs(d) < 9.2e18)) fail("the format '{}' needs a smaller number", type);
    const int64_t integer = value.is_integral() ? value.as_integer() : static_cast<int64_t>(d);
    is_negative = integer < 0;
    const uint64_t size = is_negative ? 0 - static_cast<uint64_t>(integer) : static_cast<uint64_t>(integer);
    digits = type == 'x'   ? fmt::format("{:x}", size)
             : type == 'X' ? fmt::format("{:X}", size)
             : type == 'o' ? fmt::format("{:o}", size)
             : type == 'b' ? fmt::format("{:b}", size)
                           : std::to_string(size);
    if (spec.precision > 0 && static_cast<int64_t>(digits.size()) < spec.precision)
      digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
    if (spec.alternate && (type == 'x' || type == 'X' || type == 'o' || type == 'b'))
      digits = std::string("0") + type + digits;
  } else {
    if (!value.is_number()) fail("the format '{}' needs a number, not {}", type == 0 ? 'f' : type, type_name(value));
    const double d = value.as_double();
    is_negative = std::signbit(d) && !std::isnan(d);
    const auto precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
    const double size = std::fabs(type == '%' ? d * 100 : d);
    const char kind = type == '%' ? 'f' : type;
    digits = kind == 'f' || kind == 'F' ? fmt::format("{:.{}f}", size, precision)
             : kind == 'e'              ? fmt::format("{:.{}e}", size, precision)
             : kind == 'E'              ? fmt::format("{:.{}E}", size, precision)
             : kind == 'G'              ? fmt::format("{:.{}G}", size, std::max(precision, 1))
                                        : fmt::format("{:.{}g}", size, std::max(precision, 1));
    if (type == '%') digits += '%';
  }
  if (spec.grouping != 0) digits = grouped(digits, spec.grouping);
  if (is_negative) return "-" + digits;
  return spec.sign != 0 ? std::string(1, spec.sign) + digits : digits;
}

// --- "%…" ---

class PercentFormat {
 public:
  PercentFormat(Runtime& runtime, const MarkedText& format, const Value& values)
      : runtime_(runtime), format_(format), bytes_(format.bytes()), values_(values) {}

  MarkedText run() {
    while (at_ < bytes_.size()) {
      const size_t percent = std::min(bytes_.find('%', at_), bytes_.size());
      out_.append(format_, at_, percent);
      at_ = percent;
      if (at_ < bytes_.size()) conversion();
      runtime_.charge(1);
      runtime_.check_text(out_.size());
    }
    const bool is_tuple = values_.is(Kind::List) && values_.as_list().is_tuple();
    if (!values_.is(Kind::Dict) && (is_tuple ? next_ < values_.as_list().items.size() : next_ == 0))
      fail("'%' is given more values than its format takes");
    return std::move(out_);
  }

 private:
  Value next_value() {
    if (values_.is(Kind::List) && values_.as_list().is_tuple()) {
      if (next_ >= values_.as_list().items.size()) fail("'%' is given fewer values than its format takes");
      return values_.as_list().items[next_++];
    }
    if (next_++ > 0) fail("'%' is given fewer values than its format takes");
    return values_;
  }

  int64_t count(int64_t limit, const char* what) {
    if (at_ >= bytes_.size() || bytes_[at_] != '*') return read_count(bytes_, at_, limit, what);
    ++at_;
    const int64_t value = require_integer("%*", next_value());
    if (value < 0 || value > limit) fail("a format's {} is not from 0 to {}", what, limit);
    return value;
  }

  void conversion() {
    const size_t begin = at_++;
    std::optional<Value> named;
    if (at_ < bytes_.size() && bytes_[at_] == '(') {
      const size_t close = bytes_.find(')', at_);
      if (close == std::string::npos) fail("'%(' does not end: no ')' follows");
      const Value key = runtime_.text(bytes_.substr(at_ + 1, close - at_ - 1), Mark::Template);
      if (!values_.is(Kind::Dict)) fail("'%({})' needs a dict of values", key.bytes());
      const Value* found = values_.as_dict().find(key);
      if (found == nullptr) fail("'%({})': there is no such value", key.bytes());
      named = *found;
      at_ = close + 1;
    }
    Spec spec;
    for (; at_ < bytes_.size() && std::string_view("-+ 0#").find(bytes_[at_]) != std::string_view::npos; ++at_)
      flag(spec);
    spec.width = count(kMaxWidth, "width");
    if (at_ < bytes_.size() && bytes_[at_] == '.') {
      ++at_;
      spec.precision = count(kMaxPrecision, "precision");
    }
    if (at_ >= bytes_.size()) fail("the format ends in the middle of '%'");
    spec.type = bytes_[at_++];
    if (spec.type == '%') return out_.append(format_, begin, begin + 1);
    if (std::string_view("diouxXeEfFgGcrs").find(spec.type) == std::string_view::npos)
      fail("'%{}' is no format", bytes_.substr(at_ - 1, character_at(bytes_, at_ - 1).length));
    convert(named ? *named : next_value(), spec);
  }

  void flag(Spec& spec) const {
    switch (bytes_[at_]) {
      case '-':
        spec.align = '<';
        break;
      case '0':
        if (spec.align == 0) {
          spec.align = '=';
          spec.fill = MarkedText("0", Mark::Template);
        }
        break;
      case '#':
        spec.alternate = true;
        break;
      default:
        if (spec.sign != '+') spec.sign = bytes_[at_];
    }
  }

  void convert(const Value& value, Spec& spec) {
    if (spec.type == 's' || spec.type == 'r' || (spec.type == 'c' && value.is_text())) {
      if (value.is_undefined() && spec.type != 's') fail("{}", explain(value.as_undefined()));
      MarkedText text = spec.type == 'r' ? repr(runtime_, value) : to_text(runtime_, value);
      if (spec.precision >= 0) {
        const auto starts = character_starts(text.bytes());
        text = text.slice(0, starts[std::min(static_cast<size_t>(spec.precision), starts.size() - 1)]);
      }
      if (spec.align == '=') spec.align = 0, spec.fill = MarkedText(" ", Mark::Template);
      return out_.append(padded(text, spec, '>'));
    }
    if (value.is_undefined()) fail("{}", explain(value.as_undefined()));
    if (spec.type == 'c') {
      const int64_t code = require_integer("%c", value);
      if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail("'%c' needs a character's number");
      std::string text;
      append_utf8(text, static_cast<char32_t>(code));
      return out_.append(padded(MarkedText(text, Mark::User), spec, '>'));
    }
    out_.append(padded(MarkedText(number(value, spec), Mark::Template), spec, '>'));
  }

  Runtime& runtime_;
  const MarkedText& format_;
  const std::string& bytes_;
  const Value& values_;
  size_t at_ = 0;
  size_t next_ = 0;
  MarkedText out_;
};

// --- "{…}" ---

Spec parse_spec(const MarkedText& text) {
  Spec spec;
  const std::string& bytes = text.bytes();
  size_t at = 0;
  const auto is_align = [&](size_t i) {
    return i < bytes.size() && std::string_view("<>^=").find(bytes[i]) != std::string_view::npos;
  };
  const auto skip = [&](std::string_view any) {
    return at < bytes.size() && any.find(bytes[at]) != std::string_view::npos ? bytes[at++] : '\0';
  };
  if (const size_t length = bytes.empty() ? 0 : character_at(bytes, 0).length; length > 0 && is_align(length)) {
    spec.fill = text.slice(0, length);
    at = length;
  }
  if (is_align(at)) spec.align = bytes[at++];
  if (const char sign = skip("+- "); sign != '-') spec.sign = sign;
  spec.alternate = skip("#") != 0;
  if (skip("0") != 0 && spec.align == 0) {
    spec.align = '=';
    spec.fill = MarkedText("0", Mark::Template);
  }
  spec.width = read_count(bytes, at, kMaxWidth, "width");
  spec.grouping = skip(",_");
  if (skip(".") != 0) spec.precision = read_count(bytes, at, kMaxPrecision, "precision");
  spec.type = skip("sdxXobeEfFgG%");
  if (at != bytes.size()) fail("'{}' is no format known here", bytes);
  return spec;
}

MarkedText apply(Runtime& runtime, const Value& value, const Spec& spec) {
  if (value.is_undefined()) fail("{}", explain(value.as_undefined()));
  const bool is_number = value.is_number() && !(value.is(Kind::Bool) && spec.type == 0);
  if (is_number && spec.type != 's') {
    Spec of_number = spec;
    if (value.is_integral() && spec.type == 0) of_number.type = 'd';
    if (value.is(Kind::Float) && spec.type == 0 && spec.precision < 0) {
      std::string digits = format_double(value.as_double());
      if (spec.grouping != 0) digits = grouped(digits, spec.grouping);
      if (spec.sign != 0 && digits[0] != '-') digits = spec.sign + digits;
      return padded(MarkedText(digits, Mark::Template), spec, '>');
    }
    if (value.is(Kind::Float) && of_number.type != 0 &&
        std::string_view("dxXob").find(of_number.type) != std::string_view::npos)
      fail("the format '{}' needs an integer", of_number.type);
    return padded(MarkedText(number(value, of_number), Mark::Template), spec, '>');
  }
  if (spec.type != 0 && spec.type != 's') fail("the format '{}' needs a number, not {}", spec.type, type_name(value));
  if (spec.align == '=' || spec.grouping != 0 || spec.sign != 0)
    fail("this format is for numbers, not for {}", type_name(value));
  MarkedText text = to_text(runtime, value);
  if (spec.precision >= 0) {
    const auto starts = character_starts(text.bytes());
    text = text.slice(0, starts[std::min(static_cast<size_t>(spec.precision), starts.size() - 1)]);
  }
  return padded(text, spec, '<');
}

}  // namespace

MarkedText format_percent(Runtime& runtime, const MarkedText& format, const Value& values) {
  return PercentFormat(runtime, format, values).run();
}

MarkedText format_braces(Runtime& runtime, const MarkedText& format, const Arguments& arguments) {
  const std::string& bytes = format.bytes();
  MarkedText out;
  size_t next = 0;
  for (size_t i = 0; i < bytes.size();) {
    runtime.check_text(out.size());
    const char c = bytes[i];
    if ((c == '{' || c == '}') && i + 1 < bytes.size() && bytes[i + 1] == c) {
      out.append(format, i, i + 1);
      i += 2;
      continue;
    }
    if (c == '}') fail("a format has a '}}' that closes nothing");
    if (c != '{') {
      const size_t end = std::min(bytes.find_first_of("{}", i), bytes.size());
      out.append(format, i, end);
      i = end;
      continue;
    }
    runtime.charge(1);
    const size_t close = bytes.find_first_of("{}", i + 1);
    if (close == std::string::npos || bytes[close] == '{') fail("a format's '{{' does not end, or holds another");
    const size_t colon = std::min(bytes.find(':', i), close);
    std::string name = bytes.substr(i + 1, colon - i - 1);
    bool as_repr = false;
    if (const size_t bang = name.find('!'); bang != std::string::npos) {
      as_repr = name.substr(bang) == "!r";
      if (!as_repr && name.substr(bang) != "!s") fail("a format knows !r and !s, not '{}'", name.substr(bang));
      name.resize(bang);
    }
    if (name.find_first_of(".[") != std::string::npos)
      fail("a format's field '{}' is too much: pass the value itself", name);
    const Value* value = nullptr;
    if (name.find_first_not_of("0123456789") == std::string::npos) {
      size_t digits = 0;
      const size_t index = name.empty() ? next++ : static_cast<size_t>(read_count(name, digits, kMaxWidth, "index"));
      if (index < arguments.positional.size()) value = &arguments.positional[index];
    }
    for (const auto& [known, given] : arguments.named)
      if (known == name) value = &given;
    if (value == nullptr) fail("a format's field '{}' has no value", name);
    const Spec spec = parse_spec(colon < close ? format.slice(colon + 1, close) : MarkedText());
    out.append(as_repr ? apply(runtime, runtime.text(repr(runtime, *value)), spec) : apply(runtime, *value, spec));
    i = close + 1;
  }
  return out;
}

}  // namespace thinktune::text::jinja
