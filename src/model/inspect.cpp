#include "thinktune/model/inspect.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

std::string part_of(const TensorName& name) {
  if (name.part == Part::Norm) return "norms";
  if (name.hf.find("embed_tokens") != std::string::npos) return "embedding";
  if (name.hf.starts_with("lm_head")) return "head";
  return name.hf.find(".mlp.") != std::string::npos ? "MLP" : "attention";
}

Inspection::Count& count_of(std::vector<Inspection::Count>& counts, std::string_view name) {
  for (Inspection::Count& count : counts)
    if (count.name == name) return count;
  return counts.emplace_back(Inspection::Count{std::string(name)});
}

void count_tensors(const Pretrained& model, Inspection& result) {
  for (const TensorName& name : tensor_names(model.config(), empty_weights(model.config(), at::kFloat, at::kMeta))) {
    const weights::TensorInfo* info = model.source().find(model.is_gguf() ? name.gguf : name.hf);
    const auto bytes = info != nullptr ? std::ssize(info->bytes) : int64_t{0};
    for (Inspection::Count* count :
         {&count_of(result.parts, part_of(name)),
          &count_of(result.dtypes, info != nullptr ? weights::name_of(info->dtype) : "missing")}) {
      ++count->tensors;
      count->parameters += name.view.numel();
      count->bytes += bytes;
    }
  }
}

std::string shown(const text::Tokenizer& tokenizer, core::TokenId id) {
  return id >= 0 && id < tokenizer.vocab_size() ? fmt::format("{} {}", id, tokenizer.token_text(id))
                                                : fmt::format("{} (not in the tokenizer)", id);
}

void look_at_template(const text::ChatTemplate& chat, const text::Tokenizer& tokenizer, Inspection& result) {
  result.chat_template = fmt::format(
      "{} characters; behind an assistant's turn it writes {:?}; {}", chat.source().size(), chat.after_assistant_turn(),
      chat.accepts_system_turn() ? "it has system turns"
                                 : "it has no system turns: their text is put before the first user's");
  if (chat.after_assistant_turn().empty())
    result.problems.push_back("the chat template refuses a plain conversation of a user and an assistant");
  const std::vector<core::TokenId> ids = tokenizer.encode(chat.after_assistant_turn(), text::Special::Parse);
  if (!chat.after_assistant_turn().empty() &&
      std::none_of(ids.begin(), ids.end(), [&](core::TokenId id) { return tokenizer.is_special(id); }))
    result.problems.push_back(
        fmt::format("the chat template ends an assistant's turn with {:?}, in which there is no special token of the "
                    "tokenizer: the "
                    "model cannot be stopped by it",
                    chat.after_assistant_turn()));
}

void look_at_vocabulary(const Pretrained& model, const Vocabulary& vocabulary, Inspection& result) {
  ModelConfig config = model.config();
  const text::Tokenizer& tokenizer = *vocabulary.tokenizer;
  int64_t num_special = 0;
  for (core::TokenId id = 0; id < tokenizer.vocab_size(); ++id) num_special += tokenizer.is_special(id);
  result.tokenizer = fmt::format("{} tokens ({} special) for {} rows of the embedding", tokenizer.vocab_size(),
                                 num_special, config.vocab_size);
  if (vocabulary.chat != nullptr) {
    look_at_template(*vocabulary.chat, tokenizer, result);
  } else {
    result.problems.push_back(
        "there is no chat template: it is a base model, or the file was left out; give one with "
        "chat_template=FILE.jinja");
  }
  try {
    add_end_of_turn(config, vocabulary);
  } catch (const core::Error& error) {
    result.problems.push_back(error.what());
  }
  std::vector<std::string> ends;
  for (const core::TokenId id : config.end_of_turn_ids) ends.push_back(shown(tokenizer, id));
  result.end_of_turn = fmt::format("{}", fmt::join(ends, ", "));
  const std::vector<core::TokenId>& own = model.config().end_of_turn_ids;
  if (!config.end_of_turn_ids.empty() && std::find(own.begin(), own.end(), config.end_of_turn_ids.front()) == own.end())
    result.problems.push_back(fmt::format(
        "the model's configs do not name {} as an end of turn, which its chat template writes: tools that go by "
        "eos_token_id alone run on to the limit; thinktune ends turns with it, and names it in what it saves",
        shown(tokenizer, config.end_of_turn_ids.front())));
  if (tokenizer.vocab_size() > config.vocab_size)
    result.problems.push_back(fmt::format(
        "{} special tokens of the tokenizer, from {}, have no row in the embedding: a prompt that holds one is refused",
        tokenizer.vocab_size() - config.vocab_size, shown(tokenizer, static_cast<core::TokenId>(config.vocab_size))));
}

}  // namespace

Inspection inspect(const Pretrained& model, const VocabularyRequest& request) {
  Inspection result;
  count_tensors(model, result);
  const auto or_problem = [&](const std::function<void()>& look) {
    try {
      look();
    } catch (const core::Error& error) {
      result.problems.push_back(error.what());
    }
  };
  or_problem([&] { model.check_tensors(); });
  or_problem([&] {
    VocabularyRequest optional = request;
    optional.needs_chat = false;
    look_at_vocabulary(model, model.load_vocabulary(optional), result);
  });
  const ModelConfig& config = model.config();
  for (const std::string& id : model.dropped_ids())
    result.problems.push_back(
        fmt::format("{} is beyond the embedding's {} rows and is left out of account", id, config.vocab_size));
  if (config.pad_id >= 0 && std::find(config.end_of_turn_ids.begin(), config.end_of_turn_ids.end(), config.pad_id) !=
                                config.end_of_turn_ids.end())
    result.problems.push_back(
        fmt::format("pad_token_id {} is also an end of turn: tools that mask the loss by pad id drop the end of every "
                    "turn, and their "
                    "models forget to stop; thinktune knows padding by position, so here it does no harm",
                    config.pad_id));
  if (max_tokens(config) < config.max_position)
    result.problems.push_back(
        fmt::format("up to {} tokens its short rope factors hold; for sequences up to {} set long_context=true",
                    max_tokens(config), config.max_position));
  return result;
}

}  // namespace thinktune::model
