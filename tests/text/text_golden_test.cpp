// SmolLM2's tokenizer and the chat templates of real models, against `tokenizers` 0.23.3 and transformers 5.23.0.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/text/byte_bpe.h"
#include "thinktune/text/chat_template.h"

namespace thinktune::text {
namespace {

using nlohmann::json;
using test::golden_folder;
using test::read_json;

std::filesystem::path smollm2_file() { return golden_folder() / "tokenizers/smollm2/tokenizer.json"; }

ByteBpeSpec smollm2_spec() {
  return byte_bpe_from_tokenizer_json(core::read_file(smollm2_file(), "tokenizer"), smollm2_file().string());
}

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

void expect_golden(const Tokenizer& tokenizer, const json& golden) {
  size_t num_cases = 0;
  for (const json& c : golden["cases"]) {
    const auto text = c["text"].get<std::string>();
    const auto ids = c["ids"].get<std::vector<TokenId>>();
    const auto ids_special = c.value("ids_special", ids);
    const auto decoded_special =
        c.value("decoded_special", c.contains("ids_special") ? text : c.value("decoded", text));
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(tokenizer.encode(text, Special::Parse), ids_special) << text;
    EXPECT_EQ(tokenizer.decode(ids), c.value("decoded", text)) << text;
    EXPECT_EQ(tokenizer.decode(ids_special), decoded_special) << text;
    EXPECT_EQ(tokenizer.decode(ids_special, true), c.value("decoded_special_skipped", decoded_special)) << text;
    ++num_cases;
  }
  EXPECT_EQ(num_cases, 423u);
  ASSERT_FALSE(golden["meta"]["random_ids"].empty());
  for (const json& c : golden["meta"]["random_ids"])
    EXPECT_EQ(hex(tokenizer.decode(c["ids"].get<std::vector<TokenId>>())), c["bytes_hex"].get<std::string>());
}

TEST(Smollm2Tokenizer, EqualsTheReferenceIdById) {
  TT_REQUIRE_FILE(smollm2_file());
  const json golden = read_json(golden_folder() / "tokenizers/smollm2.json");
  const auto tokenizer = make_byte_bpe(smollm2_spec());
  expect_golden(*tokenizer, golden);

  std::vector<int> without_token;
  for (int byte = 0; byte < 256; ++byte)
    if (tokenizer->encode(std::string(1, static_cast<char>(byte))).empty()) without_token.push_back(byte);
  EXPECT_EQ(without_token, golden["meta"]["bytes_without_token"].get<std::vector<int>>());
}

TEST(Smollm2Tokenizer, WrittenTokenizerJsonIsTheSameTokenizer) {
  TT_REQUIRE_FILE(smollm2_file());
  const auto spec = smollm2_spec();
  const std::string written = make_byte_bpe(spec)->to_tokenizer_json();
  const auto again = byte_bpe_from_tokenizer_json(written, "written");
  EXPECT_EQ(again.tokens, spec.tokens);
  EXPECT_EQ(again.is_special, spec.is_special);
  EXPECT_EQ(again.merges, spec.merges);
  EXPECT_EQ(again.pre_tokenizer, "smollm");

  // Field by field what `tokenizers` itself wrote, but for the decoder's add_prefix_space, which a decoder does not
  // use.
  json expected = read_json(smollm2_file());
  expected["decoder"]["add_prefix_space"] = false;
  EXPECT_EQ(json::parse(written), expected);
}

TEST(ChatTemplateGolden, KnownTemplatesAreExactAndTheOthersAreRefused) {
  const auto folder = golden_folder() / "chat_templates";
  TT_REQUIRE_FILE(folder);
  const std::set<std::string> known = {"smollm2", "chatml", "openhermes"};
  size_t num_refused = 0;
  size_t num_rendered = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const json golden = read_json(entry.path());
    const auto source = golden["template"].get<std::string>();
    if (!known.contains(entry.path().stem().string())) {
      try {
        ChatTemplate{source};
        ADD_FAILURE() << entry.path() << " was accepted";
      } catch (const core::Error& error) {
        EXPECT_EQ(error.kind(), core::ErrorKind::Data);
        EXPECT_THAT(error.hint(), testing::HasSubstr("known is ChatML")) << entry.path();
        ++num_refused;
      }
      continue;
    }
    const ChatTemplate chat(source);
    for (const json& c : golden["cases"]) {
      if (c.value("continue_final_message", false)) continue;
      std::vector<core::ChatMessage> messages;
      for (const json& m : c["messages"]) messages.push_back({m["role"], m["content"]});
      EXPECT_EQ(chat.render_text(messages, c["add_generation_prompt"]), c["expected"].get<std::string>()) << c["name"];
      ++num_rendered;
    }
  }
  EXPECT_EQ(num_refused, 17u);
  EXPECT_EQ(num_rendered, 33u);
}

TEST(ChatTemplateGolden, ConversationsOfSmollm2AsTokens) {
  TT_REQUIRE_FILE(smollm2_file());
  const auto tokenizer = make_byte_bpe(smollm2_spec());
  const json golden = read_json(golden_folder() / "chat_templates/smollm2.json");
  const ChatTemplate chat(golden["template"].get<std::string>());
  const TokenId end = tokenizer->special_id(chat.end_of_turn());
  EXPECT_EQ(end, 2);
  for (const json& c : golden["cases"]) {
    std::vector<core::ChatMessage> messages;
    for (const json& m : c["messages"]) messages.push_back({m["role"], m["content"]});
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
