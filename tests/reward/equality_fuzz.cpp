// Any two texts as an answer and a gold answer: a verdict with a reason, the same when asked again, right for two texts
// that are the same, and stricter for what has to be worked out. The input is split at its first line break; without
// one the text is compared with fixed golds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "thinktune/reward/equality.h"

namespace {

using namespace thinktune;

void check(std::string_view answer, std::string_view gold) {
  const reward::EqualityOptions options{.max_steps = 20'000};
  const reward::Equality equality = compare_answers(answer, gold, options);
  if (equality.reason.empty() || compare_answers(answer, gold, options).verdict != equality.verdict) std::abort();
  const reward::EqualityOptions worked_out{.worked_out = true, .max_steps = 20'000};
  const bool right = compare_answers(answer, gold, worked_out).verdict == rollout::Verdict::Right;
  if (right && equality.verdict != rollout::Verdict::Right) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find('\n');
  if (end != std::string_view::npos) {
    const std::string_view answer = text.substr(0, end), gold = text.substr(end + 1);
    check(answer, gold);
    check(gold, answer);
    return 0;
  }
  const reward::Equality same = reward::compare_answers(text, text);
  if (same.verdict != rollout::Verdict::Right && same.reason != "the answer is empty") std::abort();
  for (const std::string_view gold :
       {"5", "x^2+1", "(1,2]", "\\{1,2\\}", "\\text{even}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"})
    check(text, gold);
  return 0;
}
