// Conversations to text, through the model's own chat template: a subset of Jinja (the language of the templates that
// models come with) interpreted here, in a sandbox, with the environment that transformers gives it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/core/types.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

namespace jinja {
struct Program;
class MarkedText;
}  // namespace jinja

// What one rendering may take; beyond it, Error{Data}. The defaults are far above what a conversation of a thousand
// messages needs, and end a hostile template within about a second.
struct RenderLimits {
  int64_t steps = 10'000'000;                 // expressions and statements visited, and each 32 bytes of text touched
  int64_t output_bytes = int64_t{64} << 20;   // the rendering, and any one string on the way
  int64_t memory_bytes = int64_t{512} << 20;  // all values alive at one time
};

struct RenderOptions {
  bool add_generation_prompt = false;
  // The text ends right behind the final message's own, for the model to write on; where the template trims the
  // message, without the white space at its end. Not together with add_generation_prompt.
  bool continue_final_message = false;
  nlohmann::ordered_json tools;      // an array of JSON schemas; null: none
  nlohmann::ordered_json documents;  // an array of objects; null: none
  nlohmann::ordered_json kwargs;     // further variables of the template ({"enable_thinking": false}); null: none
  std::optional<std::chrono::local_seconds> now;  // for strftime_now; absent: the clock, in local time
  RenderLimits limits;
};

// Immutable after construction: any number of threads may render at the same time.
class ChatTemplate {
 public:
  // `source` is the Jinja text from the GGUF or the tokenizer_config.json. special_tokens: variables of the template,
  // "bos_token" → "<s>", "eos_token" → …; one that is not given is undefined and prints as nothing. Throws Error{Data}
  // naming the template's line for what is no Jinja or is not known of it: a tag, a filter, a test (inside an `if`
  // the last two only when they are reached), and for what no sandbox allows (include, import, extends).
  explicit ChatTemplate(std::string source, std::map<std::string, std::string> special_tokens = {});

  // The whole conversation; with add_generation_prompt up to where the assistant begins. What the template wrote is
  // marked Special::Parse, what came with the messages, tools, documents and kwargs Special::AsText whatever the
  // template did to it, so a user who types "<|im_end|>" ends nothing. The one exception: a role of the common names
  // ("user", "assistant", "tool" …) is the template's word, since templates build tokens of it ("<|" + role + "|>").
  // Numbers and punctuation that the language prints are the template's. Throws Error{Data} with the template's line;
  // where the template itself refuses (raise_exception), with its own message.
  std::vector<Segment> render(const std::vector<core::ChatMessage>& messages, bool add_generation_prompt) const;

  // `messages`: an array of objects. As in transformers, a message's reasoning is found under each of its names
  // ("reasoning_content", "thinking").
  std::vector<Segment> render(const nlohmann::ordered_json& messages, const RenderOptions& options) const;

  // The rendered text without the marks.
  std::string render_text(const std::vector<core::ChatMessage>& messages, bool add_generation_prompt) const;
  std::string render_text(const nlohmann::ordered_json& messages, const RenderOptions& options) const;

  // What the template prints behind an assistant's content ("<|im_end|>\n"), found by rendering a conversation: the
  // first special token in it ends a turn. Where nothing follows a final message, what stands between it and a next
  // one. Empty if the template refuses such conversations.
  const std::string& after_assistant_turn() const { return after_assistant_turn_; }

  // False if the template refuses a conversation that begins with a system turn, or drops its text.
  bool accepts_system_turn() const { return accepts_system_turn_; }

  const std::string& source() const { return source_; }  // as given: saved beside the weights

 private:
  std::string source_;
  std::map<std::string, std::string> special_tokens_;
  std::shared_ptr<const jinja::Program> program_;
  std::string after_assistant_turn_;
  bool accepts_system_turn_ = false;
};

// The conversation as this template can write it: where it has no system turn, the system text stands at the beginning
// of the first user turn, with an empty line between, as Gemma 3's own template has it.
std::vector<core::ChatMessage> acceptable_messages(const ChatTemplate& chat, std::vector<core::ChatMessage> messages);

}  // namespace thinktune::text
