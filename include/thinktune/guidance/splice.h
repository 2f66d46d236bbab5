// The teacher's words in a rollout, on token ids: the student's ids are never decoded and encoded again, so they stay
// the ids that were sampled (ThinkTuning "One step" 6).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "thinktune/guidance/options.h"
#include "thinktune/guidance/reply.h"
#include "thinktune/rollout/types.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::guidance {

using core::TokenId;

struct SpliceOptions {
  Use use = Use::Splice;
  int64_t response_limit = 1024;        // tokens of the joined response, the end-of-turn token included; at least 1
  int64_t max_used_reply_tokens = 512;  // tokens of the teacher's words, separators included, the end-of-turn token not
  TokenId end_of_turn = -1;             // what is written behind the teacher's words
};

enum class SpliceOutcome {
  Whole,   // everything fitted; the rollout ends with the end-of-turn token
  Cut,     // cut at the response limit: Finish::Length, without end-of-turn token
  NoRoom,  // not one token of the teacher's would fit: the rollout is as it was
};

struct SpliceResult {
  SpliceOutcome outcome = SpliceOutcome::Whole;
  bool reply_cut = false;  // the teacher's words were longer than max_used_reply_tokens
};

// splice:  student's ids without their end-of-turn token, "\n\n" + reason, "\n\n" + phrase, end of turn
// replace: phrase, end of turn
// `rollout` must end with its one end-of-turn token; `reply` must be valid. Changes ids, origin (the end-of-turn token
// behind the teacher's words counts as Phrase: the teacher put it there), sampler_logprobs (0 for the teacher's
// tokens), finish and text; old log-probabilities are dropped. The words are encoded as plain text: a special token
// that a teacher spells out ends nothing. Reason and phrase are encoded apart, so that every token has one origin; the
// first tokens that hold nothing but the separator are Joint.
// Judgement and guidance are left to the caller.
SpliceResult splice(rollout::Rollout& rollout, const ParsedReply& reply, const text::Tokenizer& tokenizer,
                    const SpliceOptions& options);

// One entry a response token, as TrainSequence has them; unguided rollouts are in the loss whole and never shaped.
std::vector<uint8_t> guided_mask(const rollout::Rollout& rollout, LossOn loss_on);  // 1: advantage-aware shaping
std::vector<uint8_t> loss_mask(const rollout::Rollout& rollout, LossOn loss_on);    // 1: counts in the loss

}  // namespace thinktune::guidance
