// Whether a response has the form that was asked for.
#include "reward/extract.h"
#include "reward/parts.h"

namespace thinktune::reward {
namespace {

size_t count(std::string_view text, std::string_view piece) {
  size_t number = 0;
  for (size_t at = text.find(piece); at != std::string_view::npos; at = text.find(piece, at + piece.size())) ++number;
  return number;
}

bool has_words(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("\\end{")) {  // \end{align*} closes what the box stands in
      while (i < text.size() && text[i] != '}') ++i;
    } else if (is_letter(text[i]) || is_digit(text[i]) || static_cast<unsigned char>(text[i]) >= 0x80) {
      return true;
    }
  }
  return false;
}

bool ends_with_one_box(std::string_view text) {
  std::string_view content;
  if (count(text, "\\boxed") + count(text, "\\fbox") != 1) return false;
  if (last_box(text, content) != BoxSearch::Found || content.empty()) return false;
  return !has_words(text.substr(static_cast<size_t>(content.data() - text.data()) + content.size()));
}

// Takes `piece` from the front; false if the text begins otherwise.
bool take(std::string_view& text, std::string_view piece) {
  if (!text.starts_with(piece)) return false;
  text.remove_prefix(piece.size());
  return true;
}

bool has_tags(std::string_view text, bool opened) {
  for (const std::string_view tag : {"</think>", "<answer>", "</answer>"})
    if (count(text, tag) != 1) return false;
  if (count(text, "<think>") > 1) return false;
  std::string_view rest = trimmed(text);
  if (!take(rest, "<think>") && !opened) return false;
  if (rest.find("<think>") != std::string_view::npos) return false;
  rest.remove_prefix(rest.find("</think>") + 8);  // there, and once
  rest = trimmed(rest);
  return take(rest, "<answer>") && rest.ends_with("</answer>");
}

}  // namespace

bool has_form(Form form, std::string_view text) {
  return form == Form::Box ? ends_with_one_box(text) : has_tags(text, form == Form::OpenedTags);
}

}  // namespace thinktune::reward
