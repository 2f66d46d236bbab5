#include "thinktune/text/chat_template.h"

#include <algorithm>
#include <ctime>
#include <string_view>
#include <utility>

#include "text/chat_template_probe.h"
#include "text/jinja_from_json.h"
#include "text/jinja_interpreter.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using jinja::Mark;
using jinja::MarkedText;
using jinja::Runtime;
using jinja::Value;
using Entries = std::vector<std::pair<Value, Value>>;

// Behind the final message that is to be continued. transformers appends the same, so that a template which trims its
// messages, or asks how long they are, does the same here.
constexpr std::string_view kContinuationTag = "CONTINUE_FINAL_MESSAGE_TAG ";

std::tm broken_down(const RenderOptions& options) {
  std::tm time{};
  if (!options.now) {
    const std::time_t clock = std::time(nullptr);
    localtime_r(&clock, &time);
    return time;
  }
  // A local time has no zone: its seconds are those of a calendar that knows none.
  const std::time_t seconds = options.now->time_since_epoch().count();
  gmtime_r(&seconds, &time);
  return time;
}

// Templates build special tokens of the role ("<|" + role + "|>"), so the common roles are the template's words.
bool is_common_role(std::string_view role) {
  static constexpr std::string_view kRoles[] = {
      "system",    "user",       "assistant",     "tool",         "developer",   "function",           "ipython",
      "model",     "human",      "gpt",           "observation",  "context",     "document",           "documents",
      "tool_call", "tool_calls", "tool_response", "tool_results", "tool_result", "assistant_tool_call"};
  return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

Value role_text(Runtime& runtime, const std::string& role) {
  return runtime.text(role, is_common_role(role) ? Mark::Template : Mark::User);
}

Value messages_of(Runtime& runtime, const std::vector<core::ChatMessage>& messages) {
  const Value role = runtime.text("role", Mark::User), content = runtime.text("content", Mark::User);
  std::vector<Value> all;
  all.reserve(messages.size());
  for (const core::ChatMessage& message : messages)
    all.push_back(
        runtime.dict({{role, role_text(runtime, message.role)}, {content, runtime.text(message.content, Mark::User)}}));
  return runtime.list(std::move(all));
}

// A message as transformers hands it on: its reasoning under both names that templates read.
Entries entries_of(Runtime& runtime, const nlohmann::ordered_json& message) {
  Entries entries;
  const nlohmann::ordered_json* reasoning = nullptr;
  for (const char* name : {"reasoning", "thinking", "reasoning_content"})
    if (const auto at = message.find(name); at != message.end() && !at->is_null()) reasoning = &*at;
  if (reasoning != nullptr && !message.contains("thinking"))
    entries.emplace_back(runtime.text("thinking", Mark::User), from_json(runtime, *reasoning));
  for (const auto& [name, value] : message.items())
    entries.emplace_back(runtime.text(name, Mark::User), name == "role" && value.is_string()
                                                             ? role_text(runtime, value.get<std::string>())
                                                             : from_json(runtime, value));
  if (reasoning != nullptr)
    entries.emplace_back(runtime.text("reasoning_content", Mark::User), from_json(runtime, *reasoning));
  return entries;
}

MarkedText tagged(const std::string& text) {
  MarkedText both(text, Mark::User);
  both.append(kContinuationTag, Mark::Continuation);
  return both;
}

// The final message with the tag behind its text: its content, or the last of its parts that has text. `text` becomes
// the text without it.
nlohmann::ordered_json final_content(const nlohmann::ordered_json& message, std::string& text, size_t& part) {
  const auto content = message.find("content");
  if (content != message.end() && content->is_string()) {
    text = content->get<std::string>();
    return *content;
  }
  if (content != message.end() && content->is_array())
    for (size_t i = content->size(); i-- > 0;)
      if ((*content)[i].is_object() && (*content)[i].contains("text") && (*content)[i]["text"].is_string()) {
        text = (*content)[i]["text"].get<std::string>();
        part = i;
        return *content;
      }
  throw core::data_error("the final message has no text that could be continued");
}

Value continued_content(Runtime& runtime, const nlohmann::ordered_json& message, std::string& text) {
  size_t part = 0;
  const auto content = final_content(message, text, part);
  if (content.is_string()) return runtime.text(tagged(text));
  std::vector<Value> parts;
  for (size_t i = 0; i < content.size(); ++i) {
    if (i != part) {
      parts.push_back(from_json(runtime, content[i]));
      continue;
    }
    Entries entries;
    for (const auto& [name, value] : content[i].items())
      entries.emplace_back(runtime.text(name, Mark::User),
                           name == "text" ? runtime.text(tagged(text)) : from_json(runtime, value));
    parts.push_back(runtime.dict(std::move(entries)));
  }
  return runtime.list(std::move(parts));
}

// `final_text`: where the final message is to be continued, its text.
Value messages_of(Runtime& runtime, const nlohmann::ordered_json& messages, std::string* final_text) {
  std::vector<Value> all;
  for (size_t i = 0; i < messages.size(); ++i) {
    Entries entries = entries_of(runtime, messages[i]);
    if (final_text != nullptr && i + 1 == messages.size())
      entries.emplace_back(runtime.text("content", Mark::User), continued_content(runtime, messages[i], *final_text));
    all.push_back(runtime.dict(std::move(entries)));  // a later entry of a name stands for an earlier one
  }
  return runtime.list(std::move(all));
}

// Everything from the tag on goes; where the template has trimmed the tag's own space, so does white space before it.
MarkedText cut_at_tag(const MarkedText& rendered, const std::string& final_text) {
  const jinja::Range trimmed = jinja::strip_range(final_text, true, true, jinja::is_space);
  const std::string_view message = std::string_view(final_text).substr(trimmed.begin, trimmed.end - trimmed.begin);
  size_t begin = 0, end = 0;  // of the last run of the tag's bytes
  for (size_t i = 0; i < rendered.size(); i = rendered.end_of_run(i))
    if (rendered.mark(i) == Mark::Continuation) begin = i, end = rendered.end_of_run(i);
  if (begin == end || jinja::locate(rendered.bytes(), message) == std::string::npos)
    throw core::data_error("the chat template drops or changes the final message, so that it cannot be continued");
  if (end - begin < kContinuationTag.size())
    begin = jinja::strip_range(std::string_view(rendered.bytes()).substr(0, begin), false, true, jinja::is_space).end;
  return rendered.slice(0, begin);
}

std::vector<Segment> segments_of(const MarkedText& text) {
  std::vector<Segment> segments;
  for (size_t i = 0, end = 0; i < text.size(); i = end) {
    end = text.end_of_run(i);
    const Special special = text.mark(i) == Mark::Template ? Special::Parse : Special::AsText;
    if (segments.empty() || segments.back().special != special) segments.push_back({"", special});
    segments.back().text.append(text.bytes(), i, end - i);
  }
  return segments;
}

void check_json(const nlohmann::ordered_json& messages, const RenderOptions& options) {
  if (options.continue_final_message && options.add_generation_prompt)
    throw core::user_error("a conversation is either continued in its final message or answered with a new one",
                           "set one of continue_final_message and add_generation_prompt");
  if (!messages.is_array()) throw core::data_error("a conversation is a JSON array of messages");
  for (const auto& message : messages)
    if (!message.is_object()) throw core::data_error("a message of a conversation is a JSON object");
  if (options.continue_final_message && messages.empty())
    throw core::data_error("a conversation without messages has no final one to continue");
  if (!options.tools.is_null() && !options.tools.is_array()) throw core::data_error("tools are a JSON array");
  if (!options.documents.is_null() && !options.documents.is_array())
    throw core::data_error("documents are a JSON array");
  if (!options.kwargs.is_null() && !options.kwargs.is_object())
    throw core::data_error("a template's further variables are a JSON object");
  for (const char* name : {"messages", "tools", "documents", "add_generation_prompt"})
    if (options.kwargs.is_object() && options.kwargs.contains(name))
      throw core::data_error(fmt::format("'{}' is no further variable of a template: every template has it", name));
}

// The conversation's own values fail like the template's, but without a line of it.
template <class Make>
Value converted(const Make& make) {
  try {
    return make();
  } catch (const jinja::TemplateError& error) {
    throw core::data_error(error.what());
  }
}

MarkedText run(const jinja::Program& program, Runtime& runtime,
               const std::map<std::string, std::string>& special_tokens, const RenderOptions& options, Value messages) {
  jinja::Variables variables;  // a later one of a name stands for an earlier one
  for (const auto& [name, token] : special_tokens) variables.emplace_back(name, runtime.text(token, Mark::Template));
  if (options.kwargs.is_object())
    for (const auto& [name, value] : options.kwargs.items())
      variables.emplace_back(name, converted([&, &json = value] { return from_json(runtime, json); }));
  variables.emplace_back("messages", std::move(messages));
  variables.emplace_back("tools", converted([&] { return from_json(runtime, options.tools); }));
  variables.emplace_back("documents", converted([&] { return from_json(runtime, options.documents); }));
  variables.emplace_back("add_generation_prompt", Value::boolean(options.add_generation_prompt));
  runtime.now = broken_down(options);
  return jinja::Interpreter(program, runtime).run(variables);
}

}  // namespace

ChatTemplate::ChatTemplate(std::string source, std::map<std::string, std::string> special_tokens)
    : source_(std::move(source)), special_tokens_(std::move(special_tokens)), program_(jinja::parse_template(source_)) {
  after_assistant_turn_ = probe_after_assistant_turn(*this);
  accepts_system_turn_ = probe_system_turn(*this);
}

std::vector<Segment> ChatTemplate::render(const std::vector<core::ChatMessage>& messages,
                                          bool add_generation_prompt) const {
  RenderOptions options;
  options.add_generation_prompt = add_generation_prompt;
  Runtime runtime(options.limits);
  Value values = converted([&] { return messages_of(runtime, messages); });
  return segments_of(run(*program_, runtime, special_tokens_, options, std::move(values)));
}

std::vector<Segment> ChatTemplate::render(const nlohmann::ordered_json& messages, const RenderOptions& options) const {
  check_json(messages, options);
  Runtime runtime(options.limits);
  std::string final_text;
  Value values =
      converted([&] { return messages_of(runtime, messages, options.continue_final_message ? &final_text : nullptr); });
  const MarkedText text = run(*program_, runtime, special_tokens_, options, std::move(values));
  return segments_of(options.continue_final_message ? cut_at_tag(text, final_text) : text);
}

namespace {
std::string joined(const std::vector<Segment>& segments) {
  std::string text;
  for (const Segment& segment : segments) text += segment.text;
  return text;
}
}  // namespace

std::string ChatTemplate::render_text(const std::vector<core::ChatMessage>& messages,
                                      bool add_generation_prompt) const {
  return joined(render(messages, add_generation_prompt));
}

std::string ChatTemplate::render_text(const nlohmann::ordered_json& messages, const RenderOptions& options) const {
  return joined(render(messages, options));
}

std::vector<core::ChatMessage> acceptable_messages(const ChatTemplate& chat, std::vector<core::ChatMessage> messages) {
  if (chat.accepts_system_turn() || messages.size() < 2 || messages[0].role != "system" || messages[1].role != "user")
    return messages;
  messages[1].content = messages[0].content + "\n\n" + messages[1].content;
  messages.erase(messages.begin());
  return messages;
}

}  // namespace thinktune::text
