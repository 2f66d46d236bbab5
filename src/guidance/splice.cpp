#include "thinktune/guidance/splice.h"

#include <string>

#include "thinktune/core/error.h"

namespace thinktune::guidance {
namespace {

using rollout::Origin;
using rollout::Rollout;

const std::string kSeparator = "\n\n";

struct Words {
  std::vector<TokenId> ids;
  std::vector<Origin> origin;

  void append(const std::vector<TokenId>& more, Origin from) {
    ids.insert(ids.end(), more.begin(), more.end());
    origin.insert(origin.end(), more.size(), from);
  }
  void cut(size_t length) {
    ids.resize(length);
    origin.resize(length);
  }
};

// How many of the first tokens hold nothing but the separator.
size_t num_joint_tokens(const std::vector<TokenId>& ids, const text::Tokenizer& tokenizer) {
  size_t count = 0, num_bytes = 0;
  while (count < ids.size() && (num_bytes += tokenizer.token_bytes(ids[count]).size()) <= kSeparator.size()) ++count;
  return count;
}

Words words_of(const ParsedReply& reply, const text::Tokenizer& tokenizer, Use use) {
  Words words;
  if (use == Use::Replace) {
    words.append(tokenizer.encode_continuation(reply.phrase), Origin::Phrase);
  } else {
    const std::vector<TokenId> reason = tokenizer.encode_continuation(kSeparator + reply.reason);
    const auto joint_end = reason.begin() + static_cast<std::ptrdiff_t>(num_joint_tokens(reason, tokenizer));
    words.append({reason.begin(), joint_end}, Origin::Joint);
    words.append({joint_end, reason.end()}, Origin::Reason);
    words.append(tokenizer.encode_continuation(kSeparator + reply.phrase), Origin::Phrase);
  }
  return words;
}

}  // namespace

SpliceResult splice(Rollout& rollout, const ParsedReply& reply, const text::Tokenizer& tokenizer,
                    const SpliceOptions& options) {
  TT_CHECK(reply.error == ReplyError::None, "only a valid reply can be spliced");
  TT_CHECK(rollout.finish == rollout::Finish::EndOfTurn && !rollout.ids.empty(),
           "only a rollout that ended can be spliced");
  TT_CHECK(rollout.origin.size() == rollout.ids.size() && rollout.sampler_logprobs.size() == rollout.ids.size(),
           "{} ids, {} origins, {} log-probabilities", rollout.ids.size(), rollout.origin.size(),
           rollout.sampler_logprobs.size());
  TT_CHECK(options.response_limit >= 1 && options.max_used_reply_tokens >= 1 && options.end_of_turn >= 0,
           "limits {} and {}, end of turn {}", options.response_limit, options.max_used_reply_tokens,
           options.end_of_turn);

  SpliceResult result;
  Words words = words_of(reply, tokenizer, options.use);
  if (words.ids.size() > static_cast<size_t>(options.max_used_reply_tokens)) {
    words.cut(options.max_used_reply_tokens);
    result.reply_cut = true;
  }

  const auto limit = static_cast<size_t>(options.response_limit);
  const size_t kept = options.use == Use::Replace ? 0 : rollout.ids.size() - 1;  // the student's tokens
  if (kept >= limit) return {.outcome = SpliceOutcome::NoRoom};
  if (kept + words.ids.size() < limit) {
    words.append({options.end_of_turn}, Origin::Phrase);
  } else {
    words.cut(limit - kept);
    result.outcome = SpliceOutcome::Cut;
  }

  rollout.ids.resize(kept);
  rollout.origin.resize(kept);
  rollout.sampler_logprobs.resize(kept);
  rollout.ids.insert(rollout.ids.end(), words.ids.begin(), words.ids.end());
  rollout.origin.insert(rollout.origin.end(), words.origin.begin(), words.origin.end());
  rollout.sampler_logprobs.resize(rollout.ids.size(), 0.0f);
  rollout.old_logprobs.clear();
  const bool whole = result.outcome == SpliceOutcome::Whole;
  rollout.finish = whole ? rollout::Finish::EndOfTurn : rollout::Finish::Length;
  rollout.text = tokenizer.decode({rollout.ids.begin(), rollout.ids.end() - (whole ? 1 : 0)});
  return result;
}

std::vector<uint8_t> guided_mask(const Rollout& rollout, LossOn loss_on) {
  std::vector<uint8_t> mask(rollout.ids.size(), 0);
  if (!rollout.guidance.guided) return mask;
  for (size_t i = 0; i < mask.size(); ++i) {
    const bool teachers = rollout.origin[i] == Origin::Reason || rollout.origin[i] == Origin::Phrase;
    mask[i] = loss_on == LossOn::WholeTrajectory || teachers;
  }
  return mask;
}

std::vector<uint8_t> loss_mask(const Rollout& rollout, LossOn loss_on) {
  if (!rollout.guidance.guided) return std::vector<uint8_t>(rollout.ids.size(), 1);
  return guided_mask(rollout, loss_on);  // of a guided rollout: what is in the loss is what is shaped
}

}  // namespace thinktune::guidance
