// The methods of Python's str that say of what kind its characters are.
#include <algorithm>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

const std::string& bytes_of(Runtime& runtime, const Value& self) {
  runtime.charge(self.as_text().size() / 32);
  return self.bytes();
}

// Whether the text is not empty and all its characters are of a kind.
template <bool (*kIs)(char32_t)>
Value all_are(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("this method", arguments, {});
  const std::string& bytes = bytes_of(runtime, self);
  for (size_t i = 0; i < bytes.size();) {
    const Character c = character_at(bytes, i);
    if (!kIs(c.code)) return Value::boolean(false);
    i += c.length;
  }
  return Value::boolean(!bytes.empty() || kIs == is_printable);
}

bool is_letter_or_digit(char32_t c) { return is_letter(c) || is_decimal(c); }

// Whether there are letters with case, and none of the other case.
template <bool kUpper>
Value has_case(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p(kUpper ? "isupper" : "islower", arguments, {});
  const std::string& bytes = bytes_of(runtime, self);
  bool is_some = false;
  for (size_t i = 0; i < bytes.size();) {
    const Character c = character_at(bytes, i);
    if (kUpper ? is_lower(c.code) : is_upper(c.code)) return Value::boolean(false);
    is_some = is_some || (kUpper ? is_upper(c.code) : is_lower(c.code));
    i += c.length;
  }
  return Value::boolean(is_some);
}

Value istitle(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("istitle", arguments, {});
  const std::string& bytes = bytes_of(runtime, self);
  bool in_word = false, is_some = false;
  for (size_t i = 0; i < bytes.size();) {
    const Character c = character_at(bytes, i);
    const bool has_case = is_upper(c.code) || is_lower(c.code);
    if (has_case && is_upper(c.code) == in_word) return Value::boolean(false);
    is_some = is_some || has_case;
    in_word = has_case;
    i += c.length;
  }
  return Value::boolean(is_some);
}

Value isascii(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("isascii", arguments, {});
  const std::string& bytes = bytes_of(runtime, self);
  return Value::boolean(std::none_of(bytes.begin(), bytes.end(), [](char c) { return (c & 0x80) != 0; }));
}

constexpr NamedFunction kQueries[] = {
    {"isalnum", all_are<is_letter_or_digit>},
    {"isalpha", all_are<is_letter>},
    {"isascii", isascii},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_decimal>},
    {"islower", has_case<false>},
    {"isprintable", all_are<is_printable>},
    {"isspace", all_are<is_space>},
    {"istitle", istitle},
    {"isupper", has_case<true>},
};

}  // namespace

const NamedFunction* find_text_query(std::string_view name) {
  const auto* const at =
      std::find_if(std::begin(kQueries), std::end(kQueries), [&](const auto& q) { return q.name == name; });
  return at == std::end(kQueries) ? nullptr : at;
}

}  // namespace thinktune::text::jinja
