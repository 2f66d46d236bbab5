// Text that knows, byte by byte, who wrote it. Every string of a template's run is of this kind, and every operation on
// strings keeps the marks: that is how "<|im_end|>" in a user's message is told from the template's own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::text::jinja {

enum class Mark : uint8_t {
  Template,      // the template's source, special tokens, and what the language itself prints (numbers, brackets)
  User,          // messages, tools, documents, further variables
  Continuation,  // the tag behind the final message that is to be continued (chat_template.cpp)
};

class MarkedText {
 public:
  MarkedText() = default;
  MarkedText(std::string bytes, Mark mark) : bytes_(std::move(bytes)), mark_(mark) {}

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  Mark mark(size_t i) const { return marks_.empty() ? mark_ : static_cast<Mark>(marks_[i]); }
  // The first byte behind `i` with another mark than byte i, or size().
  size_t end_of_run(size_t i) const;

  MarkedText slice(size_t begin, size_t end) const;  // bytes [begin, end)
  void append(const MarkedText& other) { append(other, 0, other.size()); }
  void append(const MarkedText& other, size_t begin, size_t end);
  void append(std::string_view bytes, Mark mark);

  // markupsafe's Markup: what `escape` and `safe` give. Added to other text, it escapes that text.
  bool is_markup = false;

  size_t memory_bytes() const { return sizeof(MarkedText) + bytes_.capacity() + marks_.capacity(); }

 private:
  std::string bytes_;
  std::string marks_;           // one a byte, or empty: then mark_ is every byte's
  Mark mark_ = Mark::Template;  // meaningless while bytes_ is empty
};

// Characters are Unicode's code points, as in Python; a byte that is no UTF-8 is a character of its own.
struct Character {
  char32_t code;  // U+DC80 … U+DCFF for a stray byte (Python's surrogateescape)
  size_t length;  // in bytes
};
Character character_at(std::string_view text, size_t position);
void append_utf8(std::string& text, char32_t code);
size_t num_characters(std::string_view text);

// Where each character begins, and the size of the text last.
std::vector<size_t> character_starts(std::string_view text);

bool is_space(char32_t code);      // Python's str.isspace
bool is_printable(char32_t code);  // Python's str.isprintable
bool is_letter(char32_t code);
bool is_decimal(char32_t code);
bool is_upper(char32_t code);
bool is_lower(char32_t code);

// Simple case mapping, and ß → SS; `first` of a title-cased word.
void append_upper(std::string& text, char32_t code);
void append_lower(std::string& text, char32_t code);
void append_title(std::string& text, char32_t code);

// Each character replaced by what `append` writes for it, with that character's mark.
MarkedText map_characters(const MarkedText& text, const std::function<void(std::string&, char32_t)>& append);

// Byte range without the characters at the ends for which `drop` holds.
struct Range {
  size_t begin = 0;
  size_t end = 0;
};
Range strip_range(std::string_view text, bool left, bool right, const std::function<bool(char32_t)>& drop);

// First occurrence at or behind `from`, npos if none; time linear in the text's size whatever the pattern.
size_t locate(std::string_view text, std::string_view pattern, size_t from = 0);
size_t locate_last(std::string_view text, std::string_view pattern);

}  // namespace thinktune::text::jinja
