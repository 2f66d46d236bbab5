// The generator through a real tokenizer: what the small model is trained on must be short.
#include <gtest/gtest.h>

#include "support/paths.h"
#include "thinktune/data/prompts.h"
#include "thinktune/text/open_tokenizer.h"

namespace thinktune::data {
namespace {

TEST(ArithmeticTokens, SolutionsAndPromptsAreShort) {
  const auto folder = test::golden_folder() / "tokenizers" / "smollm2";
  TT_REQUIRE_FILE(folder / "tokenizer.json");
  const auto tokenizer = text::open_tokenizer(folder);
  const auto config = test::read_json(test::golden_folder() / "chat_templates" / "smollm2.json");
  const text::ChatTemplate chat(config["template"].get<std::string>());
  const PromptBuilder builder({.examples_file = "builtin:arithmetic"}, *tokenizer, chat);

  size_t longest_solution = 0, longest_prompt = 0;
  for (const Problem& p : generate_arithmetic({.num_train = 2000}, ArithmeticSplit::Train)) {
    longest_solution = std::max(longest_solution, tokenizer->encode(p.solution).size());
    const auto prompt = builder.build(p, 0);
    longest_prompt = std::max(longest_prompt, prompt.ids.size());
    ASSERT_FALSE(builder.is_too_long(prompt));
  }
  std::printf("longest solution: %zu tokens, longest prompt with two examples: %zu\n", longest_solution,
              longest_prompt);
  EXPECT_LE(longest_solution, 30u);
  EXPECT_LE(longest_prompt, 260u);
}

}  // namespace
}  // namespace thinktune::data
