// The methods of Python's str. Positions and sizes are in characters; marks travel with their bytes.
#include <algorithm>
#include <limits>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

const MarkedText& self_text(Runtime& runtime, const Value& self) {
  runtime.charge(self.as_text().size() / 32);
  return self.as_text();
}

Value cut(Runtime& runtime, const MarkedText& text, Range range) {
  MarkedText part = text.slice(range.begin, range.end);
  part.is_markup = text.is_markup;
  return runtime.text(std::move(part));
}

template <bool kLeft, bool kRight>
Value strip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("strip", arguments, {"chars"});
  const MarkedText& text = self_text(runtime, self);
  if (!p.has(0) || p[0].is_none()) return cut(runtime, text, strip_range(text.bytes(), kLeft, kRight, is_space));
  const std::string& set = p.text(0).bytes();
  runtime.charge(text.size() * (1 + set.size() / 8) / 8);
  return cut(runtime, text, strip_range(text.bytes(), kLeft, kRight, [&](char32_t c) {
               for (size_t i = 0; i < set.size();) {
                 const Character one = character_at(set, i);
                 if (one.code == c) return true;
                 i += one.length;
               }
               return false;
             }));
}

// At most `limit` pieces are cut off; from the right if so said.
std::vector<Range> split_at_spaces(std::string_view text, int64_t limit, bool from_right) {
  std::vector<Range> pieces;
  Range left{0, text.size()};
  while (true) {
    left = [&] {
      const Range inside =
          strip_range(text.substr(left.begin, left.end - left.begin), !from_right, from_right, is_space);
      return Range{left.begin + inside.begin, left.begin + inside.end};
    }();
    if (left.begin == left.end) break;
    if (limit == 0) {
      pieces.push_back(left);  // with the space at its far end
      break;
    }
    const Range word = strip_range(text.substr(left.begin, left.end - left.begin), !from_right, from_right,
                                   [](char32_t c) { return !is_space(c); });
    pieces.push_back(from_right ? Range{left.begin + word.end, left.end} : Range{left.begin, left.begin + word.begin});
    (from_right ? left.end : left.begin) = left.begin + (from_right ? word.end : word.begin);
    --limit;
  }
  if (from_right) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<Range> split_at(std::string_view text, std::string_view separator, int64_t limit, bool from_right) {
  std::vector<Range> pieces;
  if (!from_right) {
    size_t begin = 0;
    for (; limit != 0; --limit) {
      const size_t at = locate(text, separator, begin);
      if (at == kNone) break;
      pieces.push_back({begin, at});
      begin = at + separator.size();
    }
    pieces.push_back({begin, text.size()});
    return pieces;
  }
  const std::string mirrored(text.rbegin(), text.rend());
  const std::string mirrored_separator(separator.rbegin(), separator.rend());
  for (const Range& r : split_at(mirrored, mirrored_separator, limit, false))
    pieces.push_back({text.size() - r.end, text.size() - r.begin});
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Value pieces_of(Runtime& runtime, const MarkedText& text, const std::vector<Range>& ranges,
                List::Flavor flavor = List::Flavor::List) {
  runtime.check_items(ranges.size());
  std::vector<Value> pieces;
  pieces.reserve(ranges.size());
  for (const Range& range : ranges) pieces.push_back(runtime.text(text.slice(range.begin, range.end)));
  return runtime.list(std::move(pieces), flavor);
}

template <bool kFromRight>
Value split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("split", arguments, {"sep", "maxsplit"});
  const MarkedText& text = self_text(runtime, self);
  const int64_t limit = p.integer_or(1, -1);
  if (!p.has(0) || p[0].is_none()) return pieces_of(runtime, text, split_at_spaces(text.bytes(), limit, kFromRight));
  const std::string& separator = p.text(0).bytes();
  if (separator.empty()) fail("'split' needs a separator that is not empty");
  return pieces_of(runtime, text, split_at(text.bytes(), separator, limit, kFromRight));
}

Value splitlines(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("splitlines", arguments, {"keepends"});
  const MarkedText& text = self_text(runtime, self);
  const std::string& bytes = text.bytes();
  std::vector<Range> lines;
  size_t begin = 0;
  for (size_t i = 0; i < bytes.size();) {
    const Character c = character_at(bytes, i);
    const bool ends = (c.code >= 10 && c.code <= 13) || (c.code >= 0x1C && c.code <= 0x1E) || c.code == 0x85 ||
                      c.code == 0x2028 || c.code == 0x2029;
    const size_t at = i;
    i += c.length;
    if (!ends) continue;
    if (c.code == '\r' && i < bytes.size() && bytes[i] == '\n') ++i;
    lines.push_back({begin, p.boolean_or(0, false) ? i : at});
    begin = i;
  }
  if (begin < bytes.size()) lines.push_back({begin, bytes.size()});
  return pieces_of(runtime, text, lines);
}

template <bool kFromRight>
Value partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("partition", arguments, {"sep"}, 1);
  const MarkedText& text = self_text(runtime, self);
  const std::string& separator = p.text(0).bytes();
  if (separator.empty()) fail("'partition' needs a separator that is not empty");
  const size_t at = kFromRight ? locate_last(text.bytes(), separator) : locate(text.bytes(), separator);
  const size_t all = text.size();
  std::vector<Range> parts = {{0, at}, {at, at + separator.size()}, {at + separator.size(), all}};
  if (at == kNone)
    parts = kFromRight ? std::vector<Range>{{0, 0}, {0, 0}, {0, all}} : std::vector<Range>{{0, all}, {0, 0}, {0, 0}};
  return pieces_of(runtime, text, parts, List::Flavor::Tuple);
}

// The part of the text that start and end of find, count and their like name.
Range window(const Parameters& p, const std::vector<size_t>& starts) {
  const auto count = static_cast<int64_t>(starts.size()) - 1;
  const auto bound = [&](size_t i, int64_t otherwise) {
    if (!p.has(i) || p[i].is_none()) return otherwise;
    const int64_t at = p.integer(i);
    return at < 0 ? std::max<int64_t>(at + count, 0) : at;
  };
  const int64_t begin = bound(1, 0), end = std::min(bound(2, count), count);
  if (begin > end) return {1, 0};  // nothing is found there, not even ""
  return {starts[static_cast<size_t>(begin)], starts[static_cast<size_t>(end)]};
}

template <bool kFromRight, bool kMustBeThere>
Value find_text(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p(kMustBeThere ? "index" : "find", arguments, {"sub", "start", "end"}, 1);
  const MarkedText& text = self_text(runtime, self);
  const auto starts = character_starts(text.bytes());
  const Range range = window(p, starts);
  size_t at = kNone;
  if (range.begin <= range.end) {
    const auto part = std::string_view(text.bytes()).substr(range.begin, range.end - range.begin);
    at = kFromRight ? locate_last(part, p.text(0).bytes()) : locate(part, p.text(0).bytes());
  }
  if (at == kNone) {
    if (kMustBeThere) fail("'index': the text is not there");
    return Value::integer(-1);
  }
  return Value::integer(std::lower_bound(starts.begin(), starts.end(), range.begin + at) - starts.begin());
}

Value count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("count", arguments, {"sub", "start", "end"}, 1);
  const MarkedText& text = self_text(runtime, self);
  const auto starts = character_starts(text.bytes());
  const Range range = window(p, starts);
  if (range.begin > range.end) return Value::integer(0);
  const auto part = std::string_view(text.bytes()).substr(range.begin, range.end - range.begin);
  const std::string& pattern = p.text(0).bytes();
  if (pattern.empty()) return Value::integer(static_cast<int64_t>(num_characters(part)) + 1);
  int64_t times = 0;
  for (size_t at = locate(part, pattern); at != kNone; at = locate(part, pattern, at + pattern.size())) ++times;
  return Value::integer(times);
}

template <bool kAtEnd>
Value begins_or_ends(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p(kAtEnd ? "endswith" : "startswith", arguments, {"prefix", "start", "end"}, 1);
  const MarkedText& text = self_text(runtime, self);
  Range range{0, text.size()};
  if (p.has(1)) range = window(p, character_starts(text.bytes()));
  if (range.begin > range.end) return Value::boolean(false);
  const auto part = std::string_view(text.bytes()).substr(range.begin, range.end - range.begin);
  const auto fits = [&](const Value& affix) {
    const std::string& bytes = require_text(kAtEnd ? "endswith" : "startswith", affix).bytes();
    return kAtEnd ? part.ends_with(bytes) : part.starts_with(bytes);
  };
  if (!p[0].is(Kind::List) || !p[0].as_list().is_tuple()) return Value::boolean(fits(p[0]));
  const auto& all = p[0].as_list().items;
  return Value::boolean(std::any_of(all.begin(), all.end(), fits));
}

Value replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  const MarkedText &text = self_text(runtime, self), &old = p.text(0), &replacement = p.text(1);
  int64_t limit = p.has(2) && !p[2].is_none() ? p.integer(2) : -1;
  if (limit < 0) limit = std::numeric_limits<int64_t>::max();
  MarkedText out;
  size_t from = 0;
  for (size_t at = locate(text.bytes(), old.bytes()); at != kNone && limit > 0; --limit) {
    runtime.charge(1);
    out.append(text, from, at);
    out.append(replacement);
    runtime.check_text(out.size());
    from = at + old.size();
    // "" is found in front of every character and at the end.
    const size_t next = old.empty() ? (at < text.size() ? at + character_at(text.bytes(), at).length : kNone) : from;
    at = next == kNone ? kNone : locate(text.bytes(), old.bytes(), next);
  }
  out.append(text, from, text.size());
  return runtime.text(std::move(out));
}

template <bool kAtEnd>
Value remove_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p(kAtEnd ? "removesuffix" : "removeprefix", arguments, {"affix"}, 1);
  const MarkedText& text = self_text(runtime, self);
  const std::string& affix = p.text(0).bytes();
  const size_t size = text.size();
  if (kAtEnd && text.bytes().ends_with(affix)) return cut(runtime, text, {0, size - affix.size()});
  if (!kAtEnd && text.bytes().starts_with(affix)) return cut(runtime, text, {affix.size(), size});
  return self;
}

Value upper(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("upper", arguments, {});
  return runtime.text(map_characters(self_text(runtime, self), append_upper));
}
Value lower(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("lower", arguments, {});
  return runtime.text(map_characters(self_text(runtime, self), append_lower));
}
Value swapcase(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("swapcase", arguments, {});
  return runtime.text(map_characters(self_text(runtime, self), [](std::string& to, char32_t c) {
    is_upper(c) ? append_lower(to, c) : append_upper(to, c);
  }));
}
Value capitalize(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("capitalize", arguments, {});
  return runtime.text(map_characters(self_text(runtime, self), [is_first = true](std::string& to, char32_t c) mutable {
    is_first ? append_title(to, c) : append_lower(to, c);
    is_first = false;
  }));
}
Value title(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("title", arguments, {});
  return runtime.text(map_characters(self_text(runtime, self), [in_word = false](std::string& to, char32_t c) mutable {
    in_word ? append_lower(to, c) : append_title(to, c);
    in_word = is_letter(c);
  }));
}

Value join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("join", arguments, {"iterable"}, 1);
  MarkedText all;
  bool is_first = true;
  const auto list = items_of(runtime, p[0]);
  for (const Value& piece : list->items) {
    if (!is_first) all.append(self.as_text());
    is_first = false;
    all.append(require_text("join", piece));
    runtime.charge(1);
    runtime.check_text(all.size());
  }
  return runtime.text(std::move(all));
}

enum class Side { Left, Right, Both };

template <Side kText>
Value justify(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("ljust, rjust and center", arguments, {"width", "fillchar"}, 1);
  const MarkedText& text = self_text(runtime, self);
  const MarkedText fill = p.has(1) ? p.text(1) : MarkedText(" ", Mark::Template);
  if (num_characters(fill.bytes()) != 1) fail("the fill character must be one character");
  const auto have = static_cast<int64_t>(num_characters(text.bytes()));
  if (p.integer(0) <= have) return self;
  const int64_t missing = p.integer(0) - have;
  runtime.check_text(text.size() + static_cast<size_t>(missing));
  runtime.check_text(text.size() + static_cast<size_t>(missing) * fill.size());
  // Python's center puts the odd one to the left where width is odd.
  const int64_t left = kText == Side::Left    ? 0
                       : kText == Side::Right ? missing
                                              : missing / 2 + (missing & p.integer(0) & 1);
  MarkedText out;
  for (int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(text);
  for (int64_t i = left; i < missing; ++i) out.append(fill);
  return runtime.text(std::move(out));
}

Value zfill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("zfill", arguments, {"width"}, 1);
  const MarkedText& text = self_text(runtime, self);
  const auto have = static_cast<int64_t>(num_characters(text.bytes()));
  if (p.integer(0) <= have) return self;
  const auto missing = static_cast<size_t>(p.integer(0) - have);
  runtime.check_text(missing);
  const size_t sign = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+') ? 1 : 0;
  MarkedText out = text.slice(0, sign);
  out.append(std::string(missing, '0'), Mark::Template);
  out.append(text, sign, text.size());
  return runtime.text(std::move(out));
}

Value format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return runtime.text(format_braces(runtime, self_text(runtime, self), arguments));
}

Value expandtabs(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("expandtabs", arguments, {"tabsize"});
  const MarkedText& text = self_text(runtime, self);
  const int64_t size = std::max<int64_t>(p.integer_or(0, 8), 0);
  runtime.check_text(static_cast<size_t>(size));
  int64_t column = 0;
  MarkedText out;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text.bytes(), i);
    if (c.code == '\t') {
      const int64_t spaces = size == 0 ? 0 : size - column % size;
      out.append(std::string(static_cast<size_t>(spaces), ' '), text.mark(i));
      runtime.charge(1 + static_cast<size_t>(spaces) / 32);
      runtime.check_text(out.size());
      column += spaces;
    } else {
      out.append(text, i, i + c.length);
      column = c.code == '\n' || c.code == '\r' ? 0 : column + 1;
    }
    i += c.length;
  }
  return runtime.text(std::move(out));
}

constexpr NamedFunction kMethods[] = {
    {"capitalize", capitalize},
    {"center", justify<Side::Both>},
    {"count", count},
    {"endswith", begins_or_ends<true>},
    {"expandtabs", expandtabs},
    {"find", find_text<false, false>},
    {"format", format},
    {"index", find_text<false, true>},
    {"join", join},
    {"ljust", justify<Side::Left>},
    {"lower", lower},
    {"lstrip", strip<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find_text<true, false>},
    {"rindex", find_text<true, true>},
    {"rjust", justify<Side::Right>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", begins_or_ends<false>},
    {"strip", strip<true, true>},
    {"swapcase", swapcase},
    {"title", title},
    {"upper", upper},
    {"zfill", zfill},
};

}  // namespace

const NamedFunction* find_text_method(std::string_view name) {
  const auto* const at =
      std::find_if(std::begin(kMethods), std::end(kMethods), [&](const auto& m) { return m.name == name; });
  return at == std::end(kMethods) ? find_text_query(name) : at;
}

}  // namespace thinktune::text::jinja
