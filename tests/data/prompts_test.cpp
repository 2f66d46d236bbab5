#include "thinktune/data/prompts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "support/errors.h"
#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::data {
namespace {

using ::testing::HasSubstr;

// Bytes as ids; the two marks of ChatML are 256 and 257 where a template wrote them.
class ByteTokenizer final : public text::Tokenizer {
 public:
  using Tokenizer::encode;
  std::vector<core::TokenId> encode(const std::vector<text::Segment>& segments) const override {
    std::vector<core::TokenId> ids;
    for (const auto& [text, special] : segments)
      for (size_t i = 0; i < text.size();) {
        core::TokenId id = static_cast<unsigned char>(text[i]);
        size_t length = 1;
        for (core::TokenId mark : {0, 1})
          if (special == text::Special::Parse && text.compare(i, kMarks[mark].size(), kMarks[mark]) == 0)
            id = 256 + mark, length = kMarks[mark].size();
        ids.push_back(id);
        i += length;
      }
    return ids;
  }
  std::string decode(const std::vector<core::TokenId>& ids, bool) const override {
    std::string text;
    for (const core::TokenId id : ids) text += token_text(id);
    return text;
  }
  int64_t vocab_size() const override { return 258; }
  bool is_special(core::TokenId id) const override { return id >= 256; }
  core::TokenId special_id(std::string_view token) const override {
    return token == kMarks[0] ? 256 : token == kMarks[1] ? 257 : -1;
  }
  std::string token_text(core::TokenId id) const override {
    return id >= 256 ? kMarks[id - 256] : std::string(1, static_cast<char>(id));
  }
  std::string to_tokenizer_json() const override { return ""; }

 private:
  const std::string kMarks[2] = {"<|im_start|>", "<|im_end|>"};
};

// SmolLM2-135M-Instruct's own.
const char* const kTemplate =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou "
    "are a helpful AI "
    "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + "
    "'\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";
const std::string kDefaultSystem =
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n";
const std::string kSuffix = "\nPlease reason step by step, and put your final answer within \\boxed{}.";

class PromptBuilderTest : public ::testing::Test {
 protected:
  rollout::Prompt build(const PromptOptions& options, const Problem& problem) {
    return PromptBuilder(options, tokenizer_, chat_).build(problem, 7);
  }
  std::string text(const rollout::Prompt& prompt) { return tokenizer_.decode(prompt.ids, false); }
  std::string write(const std::string& content) {
    core::write_file_atomically(folder_.path() / "examples.jsonl", content);
    return (folder_.path() / "examples.jsonl").string();
  }
  std::string message_of(const PromptOptions& options, core::ErrorKind kind) {
    return test::message_of_error(kind, [&] { PromptBuilder(options, tokenizer_, chat_); });
  }

  ByteTokenizer tokenizer_;
  text::ChatTemplate chat_{kTemplate};
  test::TempFolder folder_;
  const Problem problem_{.id = "p1", .problem = "1+1?", .answer = "2", .solution = "1+1=2"};
};

TEST_F(PromptBuilderTest, QuestionWithSuffix) {
  const auto prompt = build({}, problem_);
  EXPECT_EQ(prompt.id, "p1");
  EXPECT_EQ(prompt.number, 7u);
  EXPECT_EQ(prompt.problem, "1+1?");
  EXPECT_EQ(prompt.gold, "2");
  EXPECT_EQ(prompt.solution, "1+1=2");
  ASSERT_EQ(prompt.messages.size(), 1u);
  EXPECT_EQ(prompt.messages[0].content, "1+1?" + kSuffix);
  EXPECT_EQ(text(prompt), kDefaultSystem + "<|im_start|>user\n1+1?" + kSuffix + "<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(PromptBuilderTest, AMultipleChoiceShowsItsChoices) {
  Problem problem = problem_;
  problem.choices = {"one", "two"};
  problem.answer = "B";
  const rollout::Prompt prompt = build({}, problem);
  EXPECT_EQ(prompt.problem, "1+1?\n(A) one\n(B) two");
  EXPECT_EQ(prompt.messages.back().content, "1+1?\n(A) one\n(B) two" + kSuffix);
}

TEST_F(PromptBuilderTest, SystemTurnAndExamplesAsChatTurns) {
  const std::string file =
      write("{\"problem\": \"2+2?\", \"solution\": \"\\\\boxed{4}\"}\n{\"problem\": \"3+3?\", \"solution\": \"6\"}\n");
  const PromptOptions options{.system = "Be brief.", .suffix = " Box it.", .examples_file = file};
  EXPECT_EQ(text(build(options, problem_)),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2? Box "
            "it.<|im_end|>\n<|im_start|>assistant\n\\boxed{4}<|im_end|>\n"
            "<|im_start|>user\n3+3? Box it.<|im_end|>\n<|im_start|>assistant\n6<|im_end|>\n<|im_start|>user\n1+1? Box "
            "it.<|im_end|>\n"
            "<|im_start|>assistant\n");
  PromptOptions one = options;
  one.num_examples = 1;
  EXPECT_EQ(build(one, problem_).messages.size(), 4u);
  one.num_examples = 3;
  EXPECT_THAT(message_of(one, core::ErrorKind::User), HasSubstr("num_examples is 3, but"));
}

TEST_F(PromptBuilderTest, BuiltinExamples) {
  const auto prompt = build({.examples_file = "builtin:arithmetic"}, problem_);
  ASSERT_EQ(prompt.messages.size(), 5u);
  const auto examples = arithmetic_examples();
  EXPECT_EQ(prompt.messages[0].content, examples[0].problem + kSuffix);
  EXPECT_EQ(prompt.messages[1].role, "assistant");
  EXPECT_EQ(prompt.messages[1].content, "3 * 4 = 12. The answer is \\boxed{12}.");
  EXPECT_EQ(prompt.messages[3].content, "19 - 6 = 13. The answer is \\boxed{13}.");
  EXPECT_THAT(message_of({.examples_file = "builtin:algebra"}, core::ErrorKind::User), HasSubstr("builtin:algebra"));
}

TEST_F(PromptBuilderTest, OwnConversationsAreTakenAsTheyAre) {
  Problem problem = problem_;
  problem.messages = {{"system", "S"}, {"user", "1+1?"}};
  const auto prompt = build({.system = "ours", .examples_file = "builtin:arithmetic"}, problem);
  EXPECT_EQ(text(prompt), "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(prompt.problem, "1+1?");
}

TEST_F(PromptBuilderTest, SpecialTokensInAProblemAreText) {
  Problem problem = problem_;
  problem.problem = "<|im_end|>";
  const auto prompt = build({}, problem);
  EXPECT_EQ(std::count(prompt.ids.begin(), prompt.ids.end(), 257), 2);  // the system turn's and the user turn's
}

TEST_F(PromptBuilderTest, LengthLimitIsInclusive) {
  const auto prompt = build({}, problem_);
  const auto length = static_cast<int64_t>(prompt.ids.size());
  EXPECT_FALSE(PromptBuilder({.max_prompt_tokens = length}, tokenizer_, chat_).is_too_long(prompt));
  EXPECT_TRUE(PromptBuilder({.max_prompt_tokens = length - 1}, tokenizer_, chat_).is_too_long(prompt));
}

TEST_F(PromptBuilderTest, RefusesBadExamplesAndOptions) {
  const auto with = [&](const std::string& content) {
    return message_of({.examples_file = write(content)}, core::ErrorKind::Data);
  };
  EXPECT_THAT(with("{\"problem\": \"x\"}"), HasSubstr("examples.jsonl:1: an example has no \"solution\""));
  EXPECT_THAT(with("\n{\"solution\": \"x\"}"), HasSubstr("examples.jsonl:2: an example has no \"problem\""));
  EXPECT_THAT(with("{\"problem\": \"x\", \"solution\": 5}"), HasSubstr("\"solution\" must be a text"));
  EXPECT_THAT(with("oops"), HasSubstr("examples.jsonl:1: not valid JSON"));
  EXPECT_THAT(with(""), HasSubstr("no example in the file"));
  EXPECT_THAT(message_of({.examples_file = "/absent/examples.jsonl"}, core::ErrorKind::User),
              HasSubstr("examples.jsonl"));
  EXPECT_THAT(message_of({.num_examples = 2}, core::ErrorKind::User), HasSubstr("prompt.examples_file is empty"));
  EXPECT_THAT(message_of({.num_examples = -1}, core::ErrorKind::User), HasSubstr("prompt.num_examples is -1"));
  EXPECT_THAT(message_of({.max_prompt_tokens = 0}, core::ErrorKind::User), HasSubstr("prompt.max_prompt_tokens is 0"));
}

std::vector<uint32_t> take(DataOrder& order, size_t count) {
  std::vector<uint32_t> taken(count);
  for (uint32_t& index : taken) index = order.next();
  return taken;
}

TEST(DataOrder, EachEpochIsAPermutationOfItsOwn) {
  DataOrder order(1, 50);
  std::vector<std::vector<uint32_t>> epochs;
  for (uint64_t e = 0; e < 3; ++e) {
    EXPECT_EQ(order.epoch(), e);
    epochs.push_back(take(order, 50));
    EXPECT_EQ(std::set<uint32_t>(epochs[e].begin(), epochs[e].end()).size(), 50u);
    EXPECT_EQ(*std::max_element(epochs[e].begin(), epochs[e].end()), 49u);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  DataOrder other(2, 50);
  EXPECT_NE(take(other, 50), epochs[0]);
}

TEST(DataOrder, ResumesAtAnyPosition) {
  constexpr size_t kTotal = 40;
  DataOrder whole(3, 13);
  const auto expected = take(whole, kTotal);
  for (size_t cut = 0; cut <= kTotal; ++cut) {
    DataOrder first(3, 13);
    take(first, cut);
    DataOrder resumed(3, 13, first.position());
    EXPECT_EQ(resumed.epoch(), cut / 13);
    EXPECT_EQ(take(resumed, kTotal - cut),
              std::vector<uint32_t>(expected.begin() + static_cast<std::ptrdiff_t>(cut), expected.end()))
        << cut;
    EXPECT_EQ(resumed.position(), kTotal);
  }
}

TEST(DataOrder, SmallestAndEmpty) {
  DataOrder one(1, 1);
  EXPECT_EQ(take(one, 3), (std::vector<uint32_t>{0, 0, 0}));
  EXPECT_EQ(one.epoch(), 3u);
  EXPECT_THROW(DataOrder(1, 0), core::Error);
}

}  // namespace
}  // namespace thinktune::data
