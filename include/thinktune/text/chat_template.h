// Conversations to text, through the model's own chat template. The family known so far is ChatML (SmolLM2, Qwen's
// older models, OpenHermes …); a template that is not ChatML is refused by name, never approximated.
#pragma once

#include <string>
#include <vector>

#include "thinktune/core/types.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

class ChatTemplate {
 public:
  // `source` is the Jinja text from the GGUF or the tokenizer_config.json. Recognised by its exact structure, spelling
  // aside (white space in and around tags, quotes, where strings are cut): ChatML with a default system turn, without
  // one, and the variant that leaves the last turn open where no generation prompt follows. Throws Error{Data} for
  // anything else.
  explicit ChatTemplate(std::string source);

  // The whole conversation; with add_generation_prompt up to where the assistant begins. Template text is marked
  // Special::Parse, the messages' own text (role and content) Special::AsText, so a user who types "<|im_end|>" ends
  // nothing. An empty conversation is the generation prompt alone, but for the variant with an open last turn: its
  // template cannot (Error{Internal}).
  std::vector<Segment> render(const std::vector<core::ChatMessage>& messages, bool add_generation_prompt) const;

  // The rendered text without the marks.
  std::string render_text(const std::vector<core::ChatMessage>& messages, bool add_generation_prompt) const;

  // "<|im_end|>": what ends a turn.
  const std::string& end_of_turn() const { return end_of_turn_; }
  const std::string& source() const { return source_; }  // as given: saved beside the weights

 private:
  std::string source_;
  std::string default_system_turn_;  // put first when the conversation does not begin with a system turn
  bool has_default_system_ = false;
  bool leaves_last_turn_open_ = false;
  std::string end_of_turn_;
};

}  // namespace thinktune::text
