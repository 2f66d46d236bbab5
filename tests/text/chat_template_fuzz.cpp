// Any text as a chat template, rendered with a small conversation: it renders or throws core::Error, within its limits.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "thinktune/core/error.h"
#include "thinktune/text/chat_template.h"

namespace {

using namespace thinktune;

const nlohmann::ordered_json& messages() {
  static const auto kMessages = nlohmann::ordered_json::parse(R"([
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": [{"type": "text", "text": "a<b> \"é\" \n"}, {"type": "image"}]},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "abcdefghi", "type": "function",
      "function": {"name": "add", "arguments": {"a": 1, "b": 2.5, "c": [true, null]}}}]},
    {"role": "tool", "tool_call_id": "abcdefghi", "content": "<|im_end|>"},
    {"role": "assistant", "content": "<think>\nx\n</think>\n\n42"}])");
  return kMessages;
}

const nlohmann::ordered_json& tools() {
  static const auto kTools = nlohmann::ordered_json::parse(R"([{"type": "function", "function": {"name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}}])");
  return kTools;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  text::RenderOptions options;
  options.tools = tools();
  options.now = std::chrono::local_seconds(std::chrono::seconds(1'700'000'000));
  options.limits = {.steps = 20'000, .output_bytes = 1 << 18, .memory_bytes = 1 << 22};
  try {
    const text::ChatTemplate chat(std::string(reinterpret_cast<const char*>(data), size),
                                  {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
    const auto segments = chat.render(messages(), options);
    size_t bytes = 0;
    for (const text::Segment& segment : segments) bytes += segment.text.size();
    if (bytes > static_cast<size_t>(options.limits.output_bytes)) __builtin_trap();
    options.continue_final_message = true;
    chat.render(messages(), options);
  } catch (const core::Error&) {
  }
  return 0;
}
