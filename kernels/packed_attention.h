// Causal attention of the sequences of a group, which share a prompt, for the query heads that share one kv head:
// forward, and backward from each row's log-sum-exp (Dao 2023, FlashAttention-2: probabilities are computed again, not
// kept). All products are in Accum<E>.
//
// Letters: P tokens of the prompt, T tokens of the group (the prompt's, then each response's), G query heads, H head
// size.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

struct PackedShape {
  int64_t prompt_tokens = 0;                 // P, at least 1
  const int64_t* response_tokens = nullptr;  // [num_responses], each at least 0
  int64_t num_responses = 0;
  int64_t group_size = 0;  // G
  int64_t head_size = 0;   // H
  // Elements from one token's row to the next.
  int64_t q_stride = 0;    // of q, out and their gradients
  int64_t kv_stride = 0;   // of k, v and their gradients
  int64_t lse_stride = 0;  // of lse
  double scale = 1.0;
  double softcap = 0;  // c > 0: a score s becomes c · tanh(s / c) (Gemma 2)
  int64_t window = 0;  // w > 0: a token sees itself and the w - 1 tokens before it
};

// Sequences [begin, end) of a group: 0 is the prompt, b + 1 is response b.
struct PackedPart {
  int64_t begin = 0;
  int64_t end = 0;
};

// Scores are computed for blocks of query rows against blocks of key columns.
inline constexpr int64_t kPackedRows = 48;
inline constexpr int64_t kPackedColumns = 64;

// Elements of Accum<E> needed as scratch, with any instruction set; best aligned to 64 bytes.
int64_t packed_attention_scratch(const PackedShape& shape, bool backward);

// A response attends to the prompt and to itself. Row t of q and out: G · H elements from q + t · q_stride on; of k and
// v: H elements. lse[t · lse_stride + g]: log Σ exp of the scores of head g. The rows of the part's sequences are
// written; each is a function of the rows that it sees alone.
template <class E>
void packed_attention_forward(const E* q, const E* k, const E* v, const PackedShape& shape, PackedPart part,
                              Accum<E>* scratch, E* out, Accum<E>* lse);

// What a part adds to the gradients of the prompt's keys and values, summed over its sequences in order: row t is H
// elements from dk + t · stride on.
template <class E>
struct PromptSums {
  Accum<E>* dk;
  Accum<E>* dv;
  int64_t stride;
};

// dq of the part's sequences, dk and dv of its responses, and its share of the prompt's.
template <class E>
void packed_attention_backward(const E* q, const E* k, const E* v, const E* out, const Accum<E>* lse, const E* dout,
                               const PackedShape& shape, PackedPart part, Accum<E>* scratch, E* dq, E* dk, E* dv,
                               const PromptSums<E>& prompt);

}  // namespace thinktune::kernels
