// \boxed{…}, \fbox{…}, \boxed 5.
#include "reward/extract.h"

namespace thinktune::reward {
namespace {

// The argument of "\boxed 5", "\boxed -5", "\boxed\frac12" or "\boxed C". Empty for anything else, such as a sentence
// that speaks of \boxed.
std::string_view bare_argument(std::string_view text) {
  if (const size_t length = fraction_length(text, 0)) return text.substr(0, length);
  const size_t sign = char_at(text, 0) == '-' || char_at(text, 0) == '+' ? 1 : 0;
  if (const size_t length = literal_length(text, sign)) return text.substr(0, sign + length);
  const bool single_letter = sign == 0 && is_letter(char_at(text, 0)) && !is_letter(char_at(text, 1));
  return text.substr(0, single_letter ? 1 : 0);
}

enum class Box { None, Open, Closed };

// The box whose backslash stands at `at`.
Box box_at(std::string_view text, size_t at, std::string_view& content) {
  for (const std::string_view command : {"\\boxed", "\\fbox"}) {
    if (!text.substr(at).starts_with(command)) continue;
    size_t argument = at + command.size();
    if (is_letter(char_at(text, argument))) return Box::None;
    argument = skip_spaces(text, argument);
    if (char_at(text, argument) == '{') {
      const size_t close = closing_brace(text, argument);
      if (close == std::string_view::npos) return Box::Open;
      content = trimmed(text.substr(argument + 1, close - argument - 1));
      return Box::Closed;
    }
    content = bare_argument(from(text, argument));
    return content.empty() ? Box::None : Box::Closed;
  }
  return Box::None;
}

}  // namespace

size_t closing_brace(std::string_view text, size_t open) {
  size_t depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;  // \{ and \} are text, and so is the backslash of "\\"
    else if (text[i] == '{')
      ++depth;
    else if (text[i] == '}' && --depth == 0)
      return i;
  }
  return std::string_view::npos;
}

// From the back. An empty box ends at once, and an open one ends the search, so no text is read twice.
BoxSearch last_box(std::string_view text, std::string_view& content) {
  bool found_empty = false;
  for (size_t end = text.size(); end > 0;) {
    const size_t at = text.rfind('\\', end - 1);
    if (at == std::string_view::npos) break;
    end = at;
    std::string_view here;
    const Box box = box_at(text, at, here);
    if (box == Box::Open) return found_empty ? BoxSearch::Found : BoxSearch::NeverClosed;
    if (box == Box::None || (here.empty() && found_empty)) continue;
    content = here;
    if (!here.empty()) return BoxSearch::Found;
    found_empty = true;
  }
  return found_empty ? BoxSearch::Found : BoxSearch::NoBox;
}

bool ends_in_empty_box(std::string_view text) {
  text = trimmed(text.substr(text.rfind('=') + 1));  // npos + 1 is 0
  std::string_view content;
  return box_at(text, 0, content) == Box::Closed && content.empty() && closing_brace(text, 0) == text.size() - 1;
}

Place last_empty_box(std::string_view text) {
  for (size_t close = text.rfind('}'); close != std::string_view::npos && close > 0;
       close = text.rfind('}', close - 1)) {
    const std::string_view before = trimmed_end(text.substr(0, close));
    if (!before.ends_with('{')) continue;
    const std::string_view command = trimmed_end(before.substr(0, before.size() - 1));
    for (const std::string_view box : {"\\boxed", "\\fbox"})
      if (command.ends_with(box))
        return text.substr(command.size() - box.size(), close + 1 - command.size() + box.size());
  }
  return std::nullopt;
}

size_t end_of_first_box(std::string_view text) {
  for (size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at + 1)) {
    std::string_view content;
    const Box box = box_at(text, at, content);
    if (box == Box::Open) break;  // nor does any box inside it matter
    if (box == Box::Closed && !content.empty())
      return static_cast<size_t>(content.data() - text.data()) + content.size();
  }
  return std::string_view::npos;
}

}  // namespace thinktune::reward
