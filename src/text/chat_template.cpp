#include "thinktune/text/chat_template.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "text/jinja_items.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

constexpr std::string_view kStart = "<|im_start|>";
constexpr std::string_view kEnd = "<|im_end|>";
constexpr std::string_view kSystemHead = "<|im_start|>system\n";
constexpr std::string_view kSystemTail = "<|im_end|>\n";
constexpr std::string_view kAnySystem = "<|im_start|>system\n?<|im_end|>\n";  // stands for every default system turn

struct Form {
  std::string_view source;
  bool has_default_system;
  bool leaves_last_turn_open;
};

// The templates that are known, each in one of its spellings.
constexpr Form kForms[] = {
    // SmolLM2, Qwen 1.5: a system turn is put first where the conversation has none.
    {"{% for message in messages %}"
     "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n?<|im_end|>\n' }}{% endif %}"
     "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
     true, false},
    // OpenHermes, Yi: the turns as they are.
    {"{% for message in messages %}"
     "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
     false, false},
    // vLLM's template_chatml: without a generation prompt the last turn stays open; after an assistant turn no prompt
    // follows.
    {"{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
     "{% if (loop.last and add_generation_prompt) or not loop.last %}{{ '<|im_end|>' + '\n' }}{% endif %}{% endfor %}"
     "{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}{{ '<|im_start|>assistant\n' }}{% endif %}",
     false, true},
};

// A first line that many templates have. It says nothing here: add_generation_prompt is always given.
constexpr std::string_view kPrelude =
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}";

bool is_system_turn(const JinjaItem& item) {
  if (item.kind != JinjaItem::Kind::Text || item.text.size() < kSystemHead.size() + kSystemTail.size()) return false;
  if (!item.text.starts_with(kSystemHead) || !item.text.ends_with(kSystemTail)) return false;
  const auto text = std::string_view(item.text).substr(kSystemHead.size(),
                                                       item.text.size() - kSystemHead.size() - kSystemTail.size());
  return text.find(kStart) == std::string_view::npos && text.find(kEnd) == std::string_view::npos;
}

bool matches(const JinjaItem& item, const JinjaItem& known) {
  return item == known || (known.text == kAnySystem && known.kind == JinjaItem::Kind::Text && is_system_turn(item));
}

// How many items from the start are those of the form.
size_t num_matching(const std::vector<JinjaItem>& items, const std::vector<JinjaItem>& known) {
  const size_t shorter = std::min(items.size(), known.size());
  size_t i = 0;
  while (i < shorter && matches(items[i], known[i])) ++i;
  return i;
}

core::Error unknown_template(const std::vector<JinjaItem>& items, size_t differs_at) {
  const std::string where =
      differs_at < items.size() ? fmt::format("\"{}\"", items[differs_at].text.substr(0, 80)) : std::string("its end");
  return core::data_error(
      fmt::format("the model's chat template is not known: it departs from the known ones at {}", where),
      "known is ChatML (<|im_start|>role … <|im_end|>): with a default system turn (SmolLM2, Qwen 1.5), without one "
      "(OpenHermes), "
      "and with the last turn left open (vLLM's template_chatml)");
}

}  // namespace

ChatTemplate::ChatTemplate(std::string source) : source_(std::move(source)), end_of_turn_(kEnd) {
  std::vector<JinjaItem> items = jinja_items(source_);
  const auto prelude = jinja_items(std::string(kPrelude));
  if (num_matching(items, prelude) == prelude.size())
    items.erase(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(prelude.size()));

  size_t furthest = 0;
  for (const Form& form : kForms) {
    const auto known = jinja_items(std::string(form.source));
    const size_t same = num_matching(items, known);
    furthest = std::max(furthest, same);
    if (same != items.size() || same != known.size()) continue;
    has_default_system_ = form.has_default_system;
    leaves_last_turn_open_ = form.leaves_last_turn_open;
    for (size_t i = 0; i < known.size(); ++i)
      if (known[i].text == kAnySystem) default_system_turn_ = items[i].text;
    return;
  }
  throw unknown_template(items, furthest);
}

std::vector<Segment> ChatTemplate::render(const std::vector<core::ChatMessage>& messages,
                                          bool add_generation_prompt) const {
  std::vector<Segment> segments;
  const auto add = [&](std::string_view text, Special special) {
    if (text.empty()) return;
    if (segments.empty() || segments.back().special != special) segments.push_back({"", special});
    segments.back().text += text;
  };
  if (has_default_system_ && !messages.empty() && messages.front().role != "system")
    add(default_system_turn_, Special::Parse);
  for (size_t i = 0; i < messages.size(); ++i) {
    add(kStart, Special::Parse);
    add(messages[i].role, Special::AsText);
    add("\n", Special::Parse);
    add(messages[i].content, Special::AsText);
    const bool is_last = i + 1 == messages.size();
    if (!leaves_last_turn_open_ || !is_last || add_generation_prompt) add("<|im_end|>\n", Special::Parse);
  }
  if (!add_generation_prompt) return segments;
  // The template asks for the last message here: Jinja refuses an empty conversation.
  TT_CHECK(!leaves_last_turn_open_ || !messages.empty(), "a conversation without messages");
  if (!leaves_last_turn_open_ || messages.back().role != "assistant") add("<|im_start|>assistant\n", Special::Parse);
  return segments;
}

std::string ChatTemplate::render_text(const std::vector<core::ChatMessage>& messages,
                                      bool add_generation_prompt) const {
  std::string text;
  for (const Segment& segment : render(messages, add_generation_prompt)) text += segment.text;
  return text;
}

}  // namespace thinktune::text
