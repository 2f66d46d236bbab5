#include "infer/page_pool.h"
#include "thinktune/infer/engine.h"

namespace thinktune::infer {

void describe(core::Fields& f, SamplingOptions& o) {
  f.number("temperature", o.temperature, core::between(0.0, 100.0), "logits are divided by it; 0: greedy");
  f.integer("top_k", o.top_k, core::at_least(int64_t{0}), "only the k likeliest tokens; 0: all");
  f.number("top_p", o.top_p, {.min = 0, .max = 1, .min_excluded = true},
           "only the likeliest tokens that together reach this probability");
}

void validate(const SamplingOptions& options) { core::check_ranges(options, "rollout.sampling"); }

void describe(core::Fields& f, EngineOptions& o) {
  f.integer("max_sequences", o.max_sequences, {1, 65536},
            "sequences decoded at a time; the others wait. Does not change what is sampled");
  f.integer("prefill_tokens", o.prefill_tokens, {1, 1 << 24}, "prompt tokens computed at a time");
  f.integer(
      "kv_cache_mib", o.kv_cache_mib, {1, 1 << 24},
      "MiB for keys and values, the student's and its teacher's together; a sequence waits until its prompt and all "
      "tokens that it may get fit in. Does not change what is sampled");
  f.boolean("cuda_graphs", o.cuda_graphs,
            "on a GPU, decode steps are recorded once as CUDA graphs and replayed; without, each is launched kernel by "
            "kernel: slower, and for finding faults. Does not change what is sampled");
}

int64_t kv_tokens(const EngineOptions& options, int64_t prompt_tokens, int64_t new_tokens) {
  // Prompts of sequences that decode, one that waits, and what all begin with; each with pages that it fills in part.
  constexpr int64_t kPartlyFilled = 2 * PagePool::kPageTokens;
  return (options.max_sequences + 2) * (prompt_tokens + kPartlyFilled) +
         options.max_sequences * (new_tokens + kPartlyFilled);
}

void validate(const EngineOptions& options) { core::check_ranges(options, "engine"); }

}  // namespace thinktune::infer
