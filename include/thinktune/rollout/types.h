// The plain structs that travel between the stages of a step. No behaviour, no tensors: everything here can be written
// to a file, compared, and made by hand in a test.
//
//   data → Prompt → infer → Rollout (in a Group) → guidance → reward → advantages → TrainBatch → loss
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/core/types.h"

namespace thinktune::rollout {

using core::ChatMessage;
using core::TokenId;

// One problem, ready to be sampled.
struct Prompt {
  std::string id;                     // the problem's id in its data set
  uint64_t number = 0;                // running number of the prompt in the run: keys its random numbers
  std::vector<ChatMessage> messages;  // what the chat template was given
  std::string problem;                // the question alone (the last user turn), for the teacher and for reports
  std::string gold;                   // gold answer
  std::string solution;               // worked solution; empty if the data has none
  std::vector<TokenId> ids;           // the rendered conversation up to where the assistant begins
};

// Where a token of a response comes from.
enum class Origin : uint8_t {
  Student,
  Joint,  // the empty line between the student's words and the teacher's: nobody's
  Reason,
  Phrase,  // its end-of-turn token included
};

enum class Finish : uint8_t {
  EndOfTurn,  // ended by itself: the last token is an end-of-turn token, and the only one
  Length,     // cut at the response limit
};

enum class Verdict : uint8_t { Right, Wrong, Unparsed };

// One of the terms that a reward is the weighted sum of.
struct RewardPart {
  std::string name;  // "answer", "format", "command", …
  double weight = 1;
  double value = 0;
};

// What the reward says of one response.
struct Judgement {
  Verdict verdict = Verdict::Unparsed;  // strict or lenient, whichever the options name
  Verdict strict = Verdict::Unparsed;   // the answer stands in the form that was asked for
  Verdict lenient = Verdict::Unparsed;  // the answer was found in any form
  bool success = false;                 // the verdict is Right, and the response ended by itself where that is required
  double reward = 0;                    // what the policy is trained on: the weighted sum of the parts
  bool scored = true;             // false: a part could not be computed, and `reward` says nothing; `reason` says why
  std::string extracted;          // the final answer that was found; empty if none
  std::string reason;             // the rule that decided, for people
  std::vector<RewardPart> parts;  // only where there are others than the answer
};

// What guidance did to a rollout.
struct Guidance {
  bool guided = false;        // the teacher's words stand in the response
  std::string outcome;        // "" if it was not selected; "guided"; otherwise why the reply was not used
  std::string opinion;        // "correct", "incorrect", or empty
  std::string teacher_reply;  // raw text
  Judgement before;           // the student's own response, judged before the splice (set for every selected rollout)
};

// One response to a prompt. The vectors have one entry a response token, the end-of-turn token included.
struct Rollout {
  std::vector<TokenId> ids;
  std::vector<Origin> origin;
  std::vector<float>
      sampler_logprobs;  // log-probability under the transform that was sampled from (nats); of a teacher's token: 0
  std::vector<float> old_logprobs;  // under the policy at the start of the step, same transform; empty until computed
  Finish finish = Finish::Length;
  std::string text;  // decoded, without the end-of-turn token
  Judgement judgement;
  Guidance guidance;
  double advantage = 0;
};

// The rollouts of one prompt. They share the prompt's forward pass, and their rewards are compared with each other.
struct Group {
  Prompt prompt;
  std::vector<Rollout> rollouts;
};

// A rollout that has just been sampled, and the prompt that it answers.
struct Sampled {
  const Prompt* prompt = nullptr;
  Rollout* rollout = nullptr;
};

// One response as the loss sees it. Vectors have one entry a response token.
struct TrainSequence {
  std::vector<TokenId> ids;
  std::vector<float>
      old_logprobs;  // under the policy at the start of the step; empty: taken from the update's own pass
  std::vector<float> reference_logprobs;  // empty without a KL term
  std::vector<float> sampler_logprobs;    // as recorded; meaningless where `sampled` is 0
  std::vector<uint8_t> sampled;           // 1: the policy drew the token; 0: the teacher wrote it
  std::vector<uint8_t> loss_mask;         // 1: the token counts in the loss
  std::vector<uint8_t> guided_mask;       // 1: advantage-aware shaping instead of the PPO clip
  float advantage = 0;
};

// The sequences of one prompt, packed behind it.
struct TrainGroup {
  std::vector<TokenId> prompt_ids;
  std::vector<TrainSequence> sequences;
};

// What one optimiser update learns from (a mini-batch).
struct TrainBatch {
  std::vector<TrainGroup> groups;
};

}  // namespace thinktune::rollout
