// Any bytes as what a model wrote, under every order of the rules: what is found stands in the text, and no rule
// crashes or hangs. The first byte chooses the rules and their order.
#include <cstdlib>

#include "thinktune/reward/extraction.h"
#include "thinktune/reward/reward.h"

namespace {

using thinktune::reward::Form;
using thinktune::reward::Rule;

// All rules, beginning with the one of number `first`.
std::vector<Rule> rules_of(size_t first, size_t stride) {
  constexpr size_t kNumRules = 8;
  std::vector<Rule> rules;
  for (size_t i = 0; i < kNumRules; ++i) rules.push_back(static_cast<Rule>((first + i * stride) % kNumRules));
  return rules;
}

void check(std::string_view text, const std::vector<Rule>& rules, bool inside_thoughts) {
  const auto found = thinktune::reward::find_answer(text, rules, {.inside_thoughts = inside_thoughts});
  if (found.found != found.reason.empty()) std::abort();
  if (!found.found) return;
  if (found.position > text.size() || text.substr(found.position, found.answer.size()) != found.answer) std::abort();
}

std::unique_ptr<thinktune::reward::Reward> reward_of(Form form) {
  thinktune::reward::RewardOptions options;
  options.answer.weight = 0;
  options.format = {.weight = 1, .form = form};
  options.repetition.weight = 1;
  return thinktune::reward::make_reward(options);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr size_t kStrides[] = {1, 3, 5, 7};  // odd: each visits all eight rules
  check(text, rules_of(data[0] % 8, kStrides[data[0] / 8 % 4]), data[0] >= 128);
  for (size_t rule = 0; rule < 8; ++rule) check(text, {static_cast<Rule>(rule)}, false);
  static const auto box_form = reward_of(Form::Box), tag_form = reward_of(Form::Tags);
  const std::vector<thinktune::reward::Response> responses = {{.gold = "B", .text = text.substr(0, 1000)}};
  for (const auto& reward : {box_form.get(), tag_form.get()}) {
    const double value = reward->judge(responses).at(0).reward;
    if (!(value >= -1 && value <= 1)) std::abort();
  }
  return 0;
}
