// generate: let a model answer one prompt.
#include <cstdio>

#include "cli/loaded_model.h"
#include "thinktune/cli/commands.h"
#include "thinktune/core/error.h"
#include "thinktune/text/stream_decoder.h"

namespace thinktune::cli {
namespace {

// As it comes; a response may hold zero bytes.
void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

int run_generate(const GenerateCommand& command) {
  // One sequence takes what it takes: only the tokens that come touch the memory.
  const auto loaded = load_model(command.model, {command.precision, command.device}, {.kv_cache_mib = int64_t{1} << 24},
                                 {.chat_template = command.chat_template, .needs_chat = !command.raw});
  const text::Tokenizer& tokenizer = *loaded->vocabulary.tokenizer;
  infer::Request request{.max_new_tokens = command.max_new_tokens};
  if (command.raw) {
    request.prompt_ids = tokenizer.add_special_tokens(tokenizer.encode(command.prompt, text::Special::Parse));
  } else {
    std::vector<core::ChatMessage> messages;
    if (!command.system.empty()) messages.push_back({"system", command.system});
    messages.push_back({"user", command.prompt});
    const text::ChatTemplate& chat = *loaded->vocabulary.chat;
    request.prompt_ids = tokenizer.encode(chat.render(text::acceptable_messages(chat, messages), true));
  }
  if (request.prompt_ids.empty()) throw core::user_error("the prompt is empty");
  text::StreamDecoder stream(tokenizer, /*skip_special=*/true);
  request.on_token = [&](uint32_t, core::TokenId id) { print(command.ids ? fmt::format("{} ", id) : stream.push(id)); };
  loaded->engine->generate({request}, {.temperature = command.temperature},
                           {.seed = static_cast<uint64_t>(command.seed)});
  print(command.ids ? "\n" : stream.finish() + "\n");
  return 0;
}

}  // namespace thinktune::cli
