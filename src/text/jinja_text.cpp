#include "text/jinja_text.h"

#include <string.h>
#include <utf8proc.h>

#include <algorithm>

#include "text/utf8.h"

namespace thinktune::text::jinja {

size_t MarkedText::end_of_run(size_t i) const {
  if (marks_.empty()) return bytes_.size();
  const size_t end = marks_.find_first_not_of(marks_[i], i);
  return end == std::string::npos ? bytes_.size() : end;
}

MarkedText MarkedText::slice(size_t begin, size_t end) const {
  MarkedText part;
  part.append(*this, begin, end);
  return part;
}

void MarkedText::append(const MarkedText& other, size_t begin, size_t end) {
  if (begin >= end) return;
  if (other.marks_.empty()) return append(std::string_view(other.bytes_).substr(begin, end - begin), other.mark_);
  const size_t run_end = other.end_of_run(begin);
  if (run_end >= end)
    return append(std::string_view(other.bytes_).substr(begin, end - begin), static_cast<Mark>(other.marks_[begin]));
  if (marks_.empty()) marks_.assign(bytes_.size(), static_cast<char>(mark_));
  bytes_.append(other.bytes_, begin, end - begin);
  marks_.append(other.marks_, begin, end - begin);
}

void MarkedText::append(std::string_view bytes, Mark mark) {
  if (bytes.empty()) return;
  if (bytes_.empty()) mark_ = mark;
  if (marks_.empty() && mark != mark_) marks_.assign(bytes_.size(), static_cast<char>(mark_));
  bytes_.append(bytes);
  if (!marks_.empty()) marks_.append(bytes.size(), static_cast<char>(mark));
}

Character character_at(std::string_view text, size_t position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = utf8_character_length(text.substr(position));
  if (length == 0) return {0xDC00 + lead, 1};
  char32_t code = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3F);
  return {code, length};
}

void append_utf8(std::string& text, char32_t code) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code >= 0xDC80 && code <= 0xDCFF) {
    put(code - 0xDC00);  // a stray byte, see Character
  } else if (code < 0x800) {
    put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  }
}

size_t num_characters(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); i += character_at(text, i).length) ++count;
  return count;
}

std::vector<size_t> character_starts(std::string_view text) {
  std::vector<size_t> starts;
  starts.reserve(text.size() + 1);
  for (size_t i = 0; i < text.size(); i += character_at(text, i).length) starts.push_back(i);
  starts.push_back(text.size());
  return starts;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

namespace {
utf8proc_category_t category(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }
char32_t upper(char32_t code) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code))); }
char32_t lower(char32_t code) { return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))); }
}  // namespace

bool is_printable(char32_t code) {
  if (code < 0x7F) return code >= 0x20;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_letter(char32_t code) {
  const auto c = category(code);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(char32_t code) { return category(code) == UTF8PROC_CATEGORY_ND; }
bool is_upper(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LL; }

void append_upper(std::string& text, char32_t code) {
  if (code == 0xDF) {
    text += "SS";
  } else {
    append_utf8(text, upper(code));
  }
}
void append_lower(std::string& text, char32_t code) { append_utf8(text, lower(code)); }
void append_title(std::string& text, char32_t code) {
  if (code == 0xDF) {
    text += "Ss";
  } else {
    append_utf8(text, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(code))));
  }
}

MarkedText map_characters(const MarkedText& text, const std::function<void(std::string&, char32_t)>& append) {
  MarkedText mapped;
  std::string one;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text.bytes(), i);
    one.clear();
    append(one, c.code);
    mapped.append(one, text.mark(i));
    i += c.length;
  }
  mapped.is_markup = text.is_markup;
  return mapped;
}

Range strip_range(std::string_view text, bool left, bool right, const std::function<bool(char32_t)>& drop) {
  Range range{0, text.size()};
  while (left && range.begin < range.end) {
    const Character c = character_at(text, range.begin);
    if (!drop(c.code)) break;
    range.begin += c.length;
  }
  while (right && range.begin < range.end) {
    size_t start = range.end - 1;  // where the last character begins: at most three bytes further back
    for (size_t back = 1; back <= 4 && back <= range.end - range.begin; ++back)
      if (character_at(text.substr(0, range.end), range.end - back).length == back) start = range.end - back;
    if (!drop(character_at(text.substr(0, range.end), start).code)) break;
    range.end = start;
  }
  return range;
}

size_t locate(std::string_view text, std::string_view pattern, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (pattern.empty()) return from;
  // memmem is linear (two-way search); std::string_view::find is quadratic on a text like "aaaa…".
  const void* at = memmem(text.data() + from, text.size() - from, pattern.data(), pattern.size());
  return at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

size_t locate_last(std::string_view text, std::string_view pattern) {
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_pattern(pattern.rbegin(), pattern.rend());
  const size_t at = locate(reversed_text, reversed_pattern);
  return at == std::string_view::npos ? at : text.size() - at - pattern.size();
}

}  // namespace thinktune::text::jinja
