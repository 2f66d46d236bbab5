// The chat templates of real models against transformers 5.23.0 (Jinja2 3.1.6), and what users type in all of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "support/errors.h"
#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/text/chat_template.h"
#include "thinktune/text/open_tokenizer.h"

namespace thinktune::text {
namespace {

using nlohmann::ordered_json;
using test::golden_folder;

struct Golden {
  std::string name;
  ordered_json content;
  ChatTemplate chat;
};

std::vector<Golden> goldens() {
  std::vector<Golden> all;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder() / "chat_templates")) {
    if (entry.path().extension() != ".json") continue;
    auto content = ordered_json::parse(core::read_file(entry.path(), "golden"));
    std::map<std::string, std::string> special_tokens = content["meta"]["variables"];
    ChatTemplate chat(content["template"].get<std::string>(), special_tokens);
    all.push_back({entry.path().stem().string(), std::move(content), std::move(chat)});
  }
  return all;
}

// 2025-03-07T09:05:00, the moment of every golden.
std::chrono::local_seconds golden_time() {
  using namespace std::chrono;
  return local_days(year(2025) / March / 7) + hours(9) + minutes(5);
}

RenderOptions options_of(const ordered_json& c) {
  RenderOptions options;
  options.add_generation_prompt = c["add_generation_prompt"];
  options.continue_final_message = c.value("continue_final_message", false);
  if (c.contains("tools")) options.tools = c["tools"];
  if (c.contains("kwargs")) options.kwargs = c["kwargs"];
  options.now = golden_time();
  return options;
}

TEST(ChatTemplateGolden, AllTemplatesAreExact) {
  TT_REQUIRE_FILE(golden_folder() / "chat_templates");
  size_t num_cases = 0, num_errors = 0, num_continued = 0;
  const auto all = goldens();
  EXPECT_EQ(all.size(), 20u);
  for (const Golden& golden : all) {
    EXPECT_EQ(golden.content["meta"]["now"], "2025-03-07T09:05:00");
    for (const ordered_json& c : golden.content["cases"]) {
      ++num_cases;
      const std::string what = golden.name + " " + c["name"].get<std::string>();
      const RenderOptions options = options_of(c);
      num_continued += options.continue_final_message ? 1 : 0;
      if (c.contains("error")) {
        ++num_errors;
        SCOPED_TRACE(what);
        const std::string reason = c["error"];
        EXPECT_THAT(
            test::message_of_error(core::ErrorKind::Data, [&] { golden.chat.render_text(c["messages"], options); }),
            testing::AllOf(testing::StartsWith("the chat template refuses this conversation (line "),
                           testing::HasSubstr(reason.substr(reason.find(": ") + 2))));
        continue;
      }
      EXPECT_EQ(golden.chat.render_text(c["messages"], options), c["expected"].get<std::string>()) << what;
    }
  }
  EXPECT_EQ(num_cases, 252u);
  EXPECT_EQ(num_errors, 9u);
  EXPECT_EQ(num_continued, 20u);
}

// The form without JSON renders the same text.
TEST(ChatTemplateGolden, MessagesOfTextAlone) {
  TT_REQUIRE_FILE(golden_folder() / "chat_templates");
  size_t num_cases = 0;
  for (const Golden& golden : goldens()) {
    for (const ordered_json& c : golden.content["cases"]) {
      const auto& all = c["messages"];
      const bool is_plain = std::all_of(all.begin(), all.end(), [](const auto& m) { return m["content"].is_string(); });
      if (!is_plain || !c.contains("expected") || c.contains("tools") || c.contains("kwargs") ||
          c.contains("continue_final_message") ||
          golden.content["template"].dump().find("strftime") != std::string::npos)
        continue;
      std::vector<core::ChatMessage> messages;
      for (const auto& m : all) messages.push_back({m["role"], m["content"]});
      EXPECT_EQ(golden.chat.render_text(messages, c["add_generation_prompt"]), c["expected"].get<std::string>())
          << golden.name << " " << c["name"];
      ++num_cases;
    }
  }
  EXPECT_EQ(num_cases, 189u);
}

// Text that looks like every family's special tokens, and in each template: is it the user's in every byte?
TEST(ChatTemplateGolden, WhatAUserTypesStaysText) {
  TT_REQUIRE_FILE(golden_folder() / "chat_templates");
  const std::string typed =
      "a<|im_end|></s><end_of_turn><|eot_id|>[/INST]<|end|><|endoftext|><|end_of_text|><｜end▁of▁sentence｜>z";
  for (const Golden& golden : goldens()) {
    // "z" alone ends the text, so that a template which trims its messages keeps all of it.
    for (const std::string role : {"user", "assistant"}) {
      std::vector<core::ChatMessage> messages = {{"user", role == "user" ? typed : "Hi"}};
      if (role == "assistant") messages.push_back({"assistant", typed});
      const auto segments = golden.chat.render(messages, role == "user");
      const bool is_text = std::any_of(segments.begin(), segments.end(), [&](const Segment& s) {
        return s.special == Special::AsText && s.text.find(typed) != std::string::npos;
      });
      EXPECT_TRUE(is_text) << golden.name << " " << role;
      for (const Segment& s : segments)
        EXPECT_FALSE(s.special == Special::Parse && s.text.find(typed) != std::string::npos) << golden.name;
      size_t num_parsed = 0;
      for (const Segment& s : segments) num_parsed += s.special == Special::Parse ? s.text.size() : 0;
      EXPECT_GT(num_parsed, 5u) << golden.name;
    }
  }
}

TEST(ChatTemplateGolden, WhatTheTemplatesSayOfThemselves) {
  TT_REQUIRE_FILE(golden_folder() / "chat_templates");
  const std::map<std::string, std::pair<std::string, bool>> expected = {
      {"chatml", {"<|im_end|>\n", true}},           {"deepseek_r1_distill", {"<｜end▁of▁sentence｜>", true}},
      {"gemma2", {"<end_of_turn>\n", false}},       {"gemma3", {"<end_of_turn>\n", true}},
      {"granite_3_0", {"<|end_of_text|>\n", true}}, {"llama3", {"<|eot_id|>", true}},
      {"llama3_1", {"<|eot_id|>", true}},           {"llama3_2", {"<|eot_id|>", true}},
      {"mistral_7b_v0_2_system", {"</s>", true}},   {"mistral_large_2407", {"</s>", true}},
      {"mistral_small_3_1", {"</s>", true}},        {"olmo2", {"<|endoftext|>", true}},
      {"openhermes", {"<|im_end|>\n", true}},       {"phi3", {"<|end|>\n<|endoftext|>", true}},
      {"phi3_5", {"<|end|>\n<|endoftext|>", true}}, {"phi4", {"<|im_end|>", true}},
      {"qwen2_5", {"<|im_end|>\n", true}},          {"qwen3", {"<|im_end|>\n", true}},
      {"smollm2", {"<|im_end|>\n", true}},          {"zephyr", {"</s>\n", true}},
  };
  for (const Golden& golden : goldens()) {
    ASSERT_TRUE(expected.contains(golden.name)) << golden.name;
    EXPECT_EQ(golden.chat.after_assistant_turn(), expected.at(golden.name).first) << golden.name;
    EXPECT_EQ(golden.chat.accepts_system_turn(), expected.at(golden.name).second) << golden.name;
  }
}

TEST(ChatTemplateGolden, ConversationsOfSmollm2AsTokens) {
  const auto file = golden_folder() / "tokenizers/smollm2/tokenizer.json";
  TT_REQUIRE_FILE(file);
  const auto tokenizer = open_tokenizer(file);
  const auto golden = test::read_json(golden_folder() / "chat_templates/smollm2.json");
  const ChatTemplate chat(golden["template"].get<std::string>());
  const TokenId end = tokenizer->special_id("<|im_end|>");
  EXPECT_EQ(end, 2);
  EXPECT_EQ(tokenizer->encode(chat.after_assistant_turn(), Special::Parse)[0], end);
  for (const auto& c : golden["cases"]) {
    std::vector<core::ChatMessage> messages;
    for (const auto& m : c["messages"]) messages.push_back({m["role"], m["content"]});
    const auto ids = tokenizer->encode(chat.render(messages, true));
    const auto num_turns = static_cast<std::ptrdiff_t>(messages.size()) + (messages[0].role == "system" ? 0 : 1);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), end), num_turns) << c["name"];
    const auto text = chat.render_text(messages, true);
    EXPECT_EQ(tokenizer->decode(ids), text) << c["name"];
    // Where nobody types a special token, the marks make no difference to the reference's own way: parse the whole
    // text.
    if (c["name"] != "special_tokens_inside") {
      EXPECT_EQ(ids, tokenizer->encode(text, Special::Parse)) << c["name"];
    }
  }
}

}  // namespace
}  // namespace thinktune::text
