#include "report/rows.h"

#include <algorithm>

#include "thinktune/core/error.h"
#include "thinktune/rollout/names.h"

namespace thinktune::report {
namespace {

using rollout::kFinishNames;
using rollout::kOriginNames;
using rollout::kVerdictNames;

// Runs of tokens of one origin: [begin, end) and their text.
Row origin_spans(const rollout::Rollout& r, const Decode& decode) {
  TT_CHECK(r.origin.size() == r.ids.size(), "{} tokens with {} origins", r.ids.size(), r.origin.size());
  Row spans = Row::array();
  for (size_t begin = 0, end = 0; begin < r.ids.size(); begin = end) {
    for (end = begin + 1; end < r.ids.size() && r.origin[end] == r.origin[begin];) ++end;
    spans.push_back({{"origin", core::name_of(kOriginNames, r.origin[begin])},
                     {"begin", begin},
                     {"end", end},
                     {"text", decode(std::span(r.ids).subspan(begin, end - begin))}});
  }
  return spans;
}

// null: the reward could not be computed.
Row reward_value(const rollout::Judgement& judgement) {
  return judgement.scored ? Row(judgement.reward) : Row(nullptr);
}

void add_judgement(Row& row, const rollout::Judgement& judgement) {
  row["verdict"] = core::name_of(kVerdictNames, judgement.verdict);
  row["strict"] = core::name_of(kVerdictNames, judgement.strict);
  row["lenient"] = core::name_of(kVerdictNames, judgement.lenient);
  row["extracted"] = judgement.extracted;
  row["reward"] = reward_value(judgement);
  if (!judgement.parts.empty()) {
    Row parts = Row::object();
    for (const rollout::RewardPart& part : judgement.parts) parts[part.name] = part.value;
    row["reward_parts"] = std::move(parts);
  }
  row["reason"] = judgement.reason;
}

}  // namespace

Row rollout_row(int64_t step, const rollout::Prompt& prompt, const rollout::Rollout& r, int64_t sample,
                const Decode& decode) {
  Row row;
  row["step"] = step;
  row["prompt_id"] = prompt.id;
  row["prompt_number"] = prompt.number;
  Row messages = Row::array();
  for (const auto& message : prompt.messages)
    messages.push_back({{"role", message.role}, {"content", message.content}});
  row["messages"] = std::move(messages);
  row["gold"] = prompt.gold;
  row["sample"] = sample;
  row["text"] = r.text;
  row["spans"] = origin_spans(r, decode);
  row["num_tokens"] = r.ids.size();
  row["finish"] = core::name_of(kFinishNames, r.finish);
  add_judgement(row, r.judgement);
  row["advantage"] = r.advantage;
  row["guided"] = r.guidance.guided;
  if (!r.guidance.outcome.empty())
    row["guidance"] = {{"outcome", r.guidance.outcome},
                       {"opinion", r.guidance.opinion},
                       {"teacher_reply", r.guidance.teacher_reply},
                       {"reward_before", reward_value(r.guidance.before)},
                       {"verdict_before", core::name_of(kVerdictNames, r.guidance.before.verdict)},
                       {"extracted_before", r.guidance.before.extracted}};
  else
    row["guidance"] = nullptr;  // not selected
  return row;
}

Row item_row(int64_t step, const std::string& benchmark, const EvaluatedItem& item) {
  Row row;
  row["step"] = step;
  row["benchmark"] = benchmark;
  row["id"] = item.id;
  row["problem"] = item.problem;
  row["gold"] = item.gold;
  row["sample"] = item.sample;
  row["text"] = item.text;
  row["num_tokens"] = item.num_tokens;
  row["finish"] = core::name_of(kFinishNames, item.finish);
  add_judgement(row, item.judgement);
  return row;
}

}  // namespace thinktune::report
