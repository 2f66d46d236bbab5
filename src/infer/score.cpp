// Scoring: how likely texts are behind prompts.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "infer/engine_state.h"
#include "thinktune/core/clock.h"

namespace thinktune::infer {
namespace {

// Of one pass: tokens[i] behind sequences[i].
struct Pass {
  std::vector<std::shared_ptr<KvSequence>> sequences;
  std::vector<std::vector<TokenId>> tokens;
};

}  // namespace

// One call of score().
class Engine::Scoring {
 public:
  Scoring(State& state, const std::vector<ScoreRequest>& requests, const Prefix& common)
      : state_(state), requests_(requests), common_(common) {
    for (const ScoreRequest& request : requests) scores_.emplace_back(request.continuations.size());
  }

  size_t num_scored() const { return next_; }
  std::vector<std::vector<std::vector<float>>> take_scores() { return std::move(scores_); }

  // The next requests that go into one prefill, and into memory: a pass for their prompts, and one for what the
  // continuations have before their last tokens, which predict nothing.
  void score_some() {
    const size_t first = next_;
    const Pass prompts = begin_prompts();
    const at::Tensor prompts_TD = state_.prefill(prompts.sequences, prompts.tokens);
    Pass behind;
    for (size_t r = first; r < next_; ++r)
      for (const std::vector<TokenId>& continuation : requests_[r].continuations) {
        if (continuation.size() < 2) continue;
        behind.sequences.push_back(state_.extend(prompts.sequences[r - first], std::ssize(continuation) - 1));
        behind.tokens.emplace_back(continuation.begin(), continuation.end() - 1);
      }
    at::Tensor hidden_TD = prompts_TD;
    if (!behind.tokens.empty()) {  // no ?: with a list of it: GCC 12's AddressSanitizer errs where memory fails in one
      const at::Tensor behind_TD = state_.prefill(behind.sequences, behind.tokens);
      hidden_TD = at::cat({prompts_TD, behind_TD});
    }
    std::vector<int64_t> rows, targets;  // a hidden state, and the token that comes behind it
    int64_t prompt_end = 0, behind_end = prompts_TD.size(0);
    for (size_t r = first; r < next_; ++r) {
      prompt_end += std::ssize(prompts.tokens[r - first]);
      for (const std::vector<TokenId>& continuation : requests_[r].continuations)
        for (size_t i = 0; i < continuation.size(); ++i) {
          rows.push_back(i == 0 ? prompt_end - 1 : behind_end++);
          targets.push_back(continuation[i]);
        }
    }
    if (!targets.empty()) put_scores(first, hidden_TD, rows, targets);
  }

 private:
  // The prompts' own tokens behind their prefixes, with room for what will stand behind them.
  Pass begin_prompts() {
    const KvSizes sizes = state_.runner->sizes();
    Pass prompts;
    int64_t num_rows = 0, behind_bytes = 0;
    for (; next_ < requests_.size() && (num_rows == 0 || num_rows < state_.options.prefill_tokens); ++next_) {
      const auto& [prompt_ids, continuations] = requests_[next_];
      const Prefix& prefix = state_.prefix_of(prompt_ids, common_);
      const int64_t own = std::ssize(prompt_ids) - std::ssize(prefix.ids);
      int64_t num_behind = 0, all_behind_bytes = behind_bytes;
      for (const std::vector<TokenId>& continuation : continuations) {
        const int64_t count = std::max<int64_t>(0, std::ssize(continuation) - 1);
        num_behind += count;
        all_behind_bytes += sizes.rows(count);
      }
      const int64_t bytes = sizes.rows(own) + all_behind_bytes;
      if (!state_.has_room(bytes)) {
        if (num_rows == 0) state_.refuse_memory(std::ssize(prompt_ids), num_behind, bytes);
        break;
      }
      num_rows += own + num_behind;
      behind_bytes = all_behind_bytes;
      prompts.sequences.push_back(state_.begin(prompt_ids, prefix, prompts.tokens.emplace_back()));
    }
    return prompts;
  }

  void put_scores(size_t first, const at::Tensor& hidden_TD, const std::vector<int64_t>& rows,
                  const std::vector<int64_t>& targets) {
    const auto on_device = [&](const std::vector<int64_t>& values) {
      return at::tensor(values, at::TensorOptions().dtype(at::kLong)).to(hidden_TD.device());
    };
    const at::Tensor logprobs =
        state_.decoder.token_logprob(state_.weights, hidden_TD.index_select(0, on_device(rows)), on_device(targets), {})
            .logprob_T.to(at::kCPU, at::kFloat);
    const auto* logprob = logprobs.const_data_ptr<float>();
    for (size_t r = first; r < next_; ++r)
      for (size_t c = 0; c < scores_[r].size(); ++c) {
        const auto count = std::ssize(requests_[r].continuations[c]);
        scores_[r][c].assign(logprob, logprob + count);
        logprob += count;
      }
  }

  State& state_;
  const std::vector<ScoreRequest>& requests_;
  const Prefix& common_;
  std::vector<std::vector<std::vector<float>>> scores_;
  size_t next_ = 0;
};

std::vector<std::vector<std::vector<float>>> Engine::score(const std::vector<ScoreRequest>& requests,
                                                           const std::function<void()>& on_scored) {
  c10::NoGradGuard no_grad;
  State& state = *state_;
  state.runner->prepare();
  core::Stopwatch watch;
  std::vector<const std::vector<TokenId>*> prompts;
  for (const ScoreRequest& request : requests) prompts.push_back(&request.prompt_ids);
  Prefix common = state.common_prefix(prompts);
  if (!state.has_room(state.runner->sizes().rows(std::ssize(common.ids)))) common = {};
  state.compute(common);
  Scoring scoring(state, requests, common);
  for (size_t told = 0; told < requests.size();) {
    scoring.score_some();
    for (; told < scoring.num_scored(); ++told)
      if (on_scored) on_scored();
  }
  state.stats.prefill_s += watch.seconds();
  return scoring.take_scores();
}

}  // namespace thinktune::infer
