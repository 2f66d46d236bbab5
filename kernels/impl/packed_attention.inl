// Letters: P tokens of the prompt, G query heads, H head size (Hp: padded), S columns of a score matrix, M rows of it
// (tokens times heads).
//
// Keys and values of a stretch of tokens (the prompt, or one response) are laid out once as the products want them.
// Then for each block of queries: scores against the columns it sees, softmax, and the products of the gradients. The
// columns of a score matrix are those of up to two stretches, in whole blocks of kPackedColumns; what a row does not
// see has probability 0.

TT_INLINE int64_t whole_blocks(int64_t tokens) {
  return (tokens + kPackedColumns - 1) / kPackedColumns * kPackedColumns;
}

template <class A>
struct Stretch {
  int64_t tokens = 0;
  A* k_HS = nullptr;  // blocks of [H, kPackedColumns]
  A* v_HS = nullptr;  // backward only
  A* k_SH = nullptr;  // [tokens, Hp], backward only
  A* v_SH = nullptr;
  A* dk_SH = nullptr;
  A* dv_SH = nullptr;
};

// Columns [begin, end) of a stretch, both multiples of kPackedColumns.
template <class A>
struct Columns {
  const Stretch<A>* stretch;
  int64_t begin, end;
  int64_t tokens() const { return (end < stretch->tokens ? end : stretch->tokens) - begin; }
};

template <class A>
struct QueryBlock {
  int64_t first = 0, tokens = 0;  // within the sequence's own stretch
  int64_t position = 0;           // of the first token
  Columns<A> seen[2];
  int num_seen = 0;
  int64_t width = 0;  // columns in all
};

template <class E>
struct PackedWork {
  using A = Accum<E>;
  const PackedShape& shape;
  int64_t padded = 0;  // Hp
  A *q_MH = nullptr, *out_MH = nullptr, *factor_M = nullptr, *s_MS = nullptr;
  A *dout_MH = nullptr, *ds_MS = nullptr;  // backward only
};

// rows [tokens, H] of E → [H, kPackedColumns] blocks and [tokens, Hp], 0 where there is nothing.
template <class E>
void lay_out(const E* rows, int64_t stride, int64_t tokens, int64_t head_size, int64_t padded, Accum<E>* x_HS,
             Accum<E>* x_SH) {
  using A = Accum<E>;
  if (x_SH != nullptr)
    for (int64_t t = 0; t < tokens; ++t) {
      over_row<A>(head_size, [&](int64_t h, auto part) TT_INLINE_LAMBDA {
        store(x_SH + t * padded + h, load(rows + t * stride + h, part), Whole{});
      });
      for (int64_t h = head_size; h < padded; ++h) x_SH[t * padded + h] = A(0);
    }
  if (x_HS == nullptr) return;
  for (int64_t begin = 0; begin < whole_blocks(tokens); begin += kPackedColumns) {
    A* block = x_HS + begin * head_size;
    const int64_t count = tokens - begin < kPackedColumns ? tokens - begin : kPackedColumns;
    for (int64_t h = 0; h < head_size; ++h) {
      for (int64_t s = 0; s < count; ++s) block[h * kPackedColumns + s] = widen(rows[(begin + s) * stride + h]);
      for (int64_t s = count; s < kPackedColumns; ++s) block[h * kPackedColumns + s] = A(0);
    }
  }
}

// The columns that a block of the sequence's tokens sees: of the prompt that it stands behind (null for the prompt's
// own tokens), and of its own stretch.
template <class A>
QueryBlock<A> query_block(const PackedShape& shape, const Stretch<A>* prompt, const Stretch<A>& own, int64_t first,
                          int64_t tokens) {
  const int64_t start = prompt != nullptr ? prompt->tokens : 0;
  QueryBlock<A> block{.first = first, .tokens = tokens, .position = start + first};
  const int64_t low = shape.window > 0 && block.position >= shape.window ? block.position + 1 - shape.window : 0;
  const auto add = [&](const Stretch<A>* stretch, int64_t from, int64_t to) {
    const int64_t begin = from / kPackedColumns * kPackedColumns, end = whole_blocks(to);
    block.seen[block.num_seen++] = {stretch, begin, end};
    block.width += end - begin;
  };
  if (low < start) add(prompt, low, start);
  add(&own, low > start ? low - start : 0, first + tokens);
  return block;
}

// s_MS = the rows' products with the keys, or values, of all columns.
template <class E>
void score_products(const PackedWork<E>& work, const QueryBlock<Accum<E>>& block, const Accum<E>* rows_MH, bool values,
                    Accum<E>* s_MS) {
  using A = Accum<E>;
  const int64_t head_size = work.shape.head_size, num_rows = block.tokens * work.shape.group_size;
  A* out = s_MS;
  for (int i = 0; i < block.num_seen; ++i) {
    const Columns<A>& columns = block.seen[i];
    const A* x_HS = values ? columns.stretch->v_HS : columns.stretch->k_HS;
    for (int64_t c = columns.begin; c < columns.end; c += kPackedColumns, out += kPackedColumns)
      multiply<A>(num_rows, kPackedColumns, head_size, {rows_MH, work.padded, 1}, x_HS + c * head_size, kPackedColumns,
                  out, block.width, false);
  }
}

// Places outside of what a row sees become −infinity.
template <class A>
void hide(const PackedShape& shape, const QueryBlock<A>& block, A* s_MS) {
  for (int64_t t = 0; t < block.tokens; ++t) {
    const int64_t position = block.position + t;
    const int64_t low = shape.window > 0 && position + 1 > shape.window ? position + 1 - shape.window : 0;
    int64_t column = 0;
    for (int i = 0; i < block.num_seen; ++i) {
      const Columns<A>& c = block.seen[i];
      const bool is_own = i + 1 == block.num_seen;
      const int64_t start = is_own ? block.position - block.first : 0;  // position of the stretch's first token
      const int64_t end = is_own ? block.first + t + 1 : c.stretch->tokens;
      int64_t begin = low - start;
      begin = begin < c.begin ? c.begin : begin > c.end ? c.end : begin;
      for (int64_t g = 0; g < shape.group_size; ++g) {
        A* row = s_MS + (t * shape.group_size + g) * block.width + column - c.begin;
        for (int64_t s = c.begin; s < begin; ++s) row[s] = static_cast<A>(-__builtin_inf());
        for (int64_t s = end; s < c.end; ++s) row[s] = static_cast<A>(-__builtin_inf());
      }
      column += c.end - c.begin;
    }
  }
}

template <class A>
void cap_all(A* s, int64_t n, A softcap) {
  for (int64_t i = 0; i < n; i += kLanes<A>) store(s + i, cap_lanes<A>(load(s + i, Whole{}), softcap), Whole{});
}

// Scores of a block, capped and hidden.
template <class E>
void block_scores(const PackedWork<E>& work, const QueryBlock<Accum<E>>& block) {
  using A = Accum<E>;
  score_products<E>(work, block, work.q_MH, false, work.s_MS);
  const int64_t num_rows = block.tokens * work.shape.group_size;
  if (work.shape.softcap > 0) cap_all<A>(work.s_MS, num_rows * block.width, static_cast<A>(work.shape.softcap));
  hide(work.shape, block, work.s_MS);
}

// The rows of the block's tokens, of all G heads, times `factor`.
template <class E>
void load_rows(const PackedWork<E>& work, const QueryBlock<Accum<E>>& block, const E* x, Accum<E> factor,
               Accum<E>* x_MH) {
  const int64_t group_size = work.shape.group_size, head_size = work.shape.head_size;
  for (int64_t t = 0; t < block.tokens; ++t)
    for (int64_t g = 0; g < group_size; ++g) {
      const E* from = x + t * work.shape.q_stride + g * head_size;
      Accum<E>* to = x_MH + (t * group_size + g) * work.padded;
      over_row<Accum<E>>(head_size, [&](int64_t h, auto part)
                                        TT_INLINE_LAMBDA { store(to + h, load(from + h, part) * factor, Whole{}); });
    }
}

// x_MH times a factor a row, rounded, to the rows of the block's tokens.
template <class E>
void store_rows(const PackedWork<E>& work, const QueryBlock<Accum<E>>& block, const Accum<E>* x_MH,
                const Accum<E>* factor_M, E* x) {
  const int64_t group_size = work.shape.group_size, head_size = work.shape.head_size;
  for (int64_t t = 0; t < block.tokens; ++t)
    for (int64_t g = 0; g < group_size; ++g) {
      const int64_t m = t * group_size + g;
      E* to = x + t * work.shape.q_stride + g * head_size;
      over_row<Accum<E>>(head_size, [&](int64_t h, auto part) TT_INLINE_LAMBDA {
        store(to + h, load(x_MH + m * work.padded + h, Whole{}) * factor_M[m], part);
      });
    }
}

// out_MH = p_MS · x_SH over all columns that are tokens.
template <class E>
void weighted_rows(const PackedWork<E>& work, const QueryBlock<Accum<E>>& block, const Accum<E>* p_MS, bool keys,
                   Accum<E>* out_MH) {
  using A = Accum<E>;
  const int64_t num_rows = block.tokens * work.shape.group_size;
  int64_t column = 0;
  for (int i = 0; i < block.num_seen; ++i) {
    const Columns<A>& c = block.seen[i];
    const A* x_SH = (keys ? c.stretch->k_SH : c.stretch->v_SH) + c.begin * work.padded;
    multiply<A>(num_rows, work.padded, c.tokens(), {p_MS + column, block.width, 1}, x_SH, work.padded, out_MH,
                work.padded, i > 0);
    column += c.end - c.begin;
  }
}

// dx_SH += p_MSᵀ · rows_MH, for keys or values.
template <class E>
void add_to_columns(const PackedWork<E>& work, const QueryBlock<Accum<E>>& block, const Accum<E>* p_MS,
                    const Accum<E>* rows_MH, bool keys) {
  using A = Accum<E>;
  const int64_t num_rows = block.tokens * work.shape.group_size;
  int64_t column = 0;
  for (int i = 0; i < block.num_seen; ++i) {
    const Columns<A>& c = block.seen[i];
    A* dx_SH = (keys ? c.stretch->dk_SH : c.stretch->dv_SH) + c.begin * work.padded;
    multiply<A>(c.tokens(), work.padded, num_rows, {p_MS + column, 1, block.width}, rows_MH, work.padded, dx_SH,
                work.padded, true);
    column += c.end - c.begin;
  }
}

// Scores become exp(score − maximum); returns the maximum and gives their sum.
template <class A>
TT_INLINE A exp_scores(A* s_S, int64_t width, A& sum) {
  Vec<A> max_v = load(s_S, Whole{});
  for (int64_t s = kLanes<A>; s < width; s += kLanes<A>) {
    const Vec<A> v = load(s_S + s, Whole{});
    max_v = v > max_v ? v : max_v;
  }
  const A max = max_lanes<A>(max_v);
  Vec<A> sum_v = {};
  for (int64_t s = 0; s < width; s += kLanes<A>) {
    const Vec<A> p = exp_lanes(load(s_S + s, Whole{}) - max);
    sum_v += p;
    store(s_S + s, p, Whole{});
  }
  sum = sum_lanes<A>(sum_v);
  return max;
}

// out and lse of a block; q, out and lse point at its first token.
template <class E>
void forward_block(const PackedWork<E>& work, const QueryBlock<Accum<E>>& block, const E* q, E* out, Accum<E>* lse) {
  using A = Accum<E>;
  const int64_t group_size = work.shape.group_size;
  load_rows<E>(work, block, q, static_cast<A>(work.shape.scale), work.q_MH);
  block_scores<E>(work, block);
  for (int64_t t = 0; t < block.tokens; ++t)
    for (int64_t g = 0; g < group_size; ++g) {
      const int64_t m = t * group_size + g;
      A sum = 0;
      const A max = exp_scores<A>(work.s_MS + m * block.width, block.width, sum);
      lse[t * work.shape.lse_stride + g] = max + static_cast<A>(::log(static_cast<double>(sum)));
      work.factor_M[m] = A(1) / sum;
    }
  weighted_rows<E>(work, block, work.s_MS, false, work.out_MH);
  store_rows<E>(work, block, work.out_MH, work.factor_M, out);
}

// With p = exp(s − lse): dv += pᵀ·dout, ds = p ∘ (dout·vᵀ − Σ dout ∘ out) ∘ slope of the cap, dq = ds·k, dk += dsᵀ·q.
template <class E>
void backward_block(const PackedWork<E>& work, const QueryBlock<Accum<E>>& block, const E* q, const E* out,
                    const Accum<E>* lse, const E* dout, E* dq) {
  using A = Accum<E>;
  const PackedShape& shape = work.shape;
  const int64_t group_size = shape.group_size;
  load_rows<E>(work, block, q, static_cast<A>(shape.scale), work.q_MH);
  block_scores<E>(work, block);
  load_rows<E>(work, block, dout, A(1), work.dout_MH);
  load_rows<E>(work, block, out, A(1), work.out_MH);
  score_products<E>(work, block, work.dout_MH, true, work.ds_MS);
  const A inverse_cap = shape.softcap > 0 ? static_cast<A>(1 / shape.softcap) : A(0);
  for (int64_t t = 0; t < block.tokens; ++t)
    for (int64_t g = 0; g < group_size; ++g) {
      const int64_t m = t * group_size + g;
      Vec<A> dot_v = {};
      for (int64_t h = 0; h < work.padded; h += kLanes<A>)
        dot_v += load(work.dout_MH + m * work.padded + h, Whole{}) * load(work.out_MH + m * work.padded + h, Whole{});
      const A dot = sum_lanes<A>(dot_v), row_lse = lse[t * shape.lse_stride + g];
      A *s_S = work.s_MS + m * block.width, *ds_S = work.ds_MS + m * block.width;
      for (int64_t s = 0; s < block.width; s += kLanes<A>) {
        const Vec<A> score = load(s_S + s, Whole{});
        const Vec<A> p = exp_lanes(score - row_lse);
        Vec<A> ds = p * (load(ds_S + s, Whole{}) - dot);
        if (shape.softcap > 0) {
          const Vec<A> t_v = score * inverse_cap;
          ds = p == Vec<A>{} ? p : ds * (A(1) - t_v * t_v);  // a hidden score is infinite
        }
        store(s_S + s, p, Whole{});
        store(ds_S + s, ds, Whole{});
      }
      work.factor_M[m] = static_cast<A>(shape.scale);
    }
  add_to_columns<E>(work, block, work.s_MS, work.dout_MH, false);
  add_to_columns<E>(work, block, work.ds_MS, work.q_MH, true);  // q_MH carries the scale
  weighted_rows<E>(work, block, work.ds_MS, true, work.out_MH);
  store_rows<E>(work, block, work.out_MH, work.factor_M, dq);
}

template <class A>
void clear(A* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = A(0);
}

inline constexpr int64_t kScratchAlign = 16;  // elements; with the scratch itself aligned, vectors cross no cache line

template <class A>
struct Scratch {
  A* next;
  A* take(int64_t n) {
    A* taken = next;
    next += (n + kScratchAlign - 1) / kScratchAlign * kScratchAlign;
    return taken;
  }
};

template <class A>
Stretch<A> take_stretch(Scratch<A>& scratch, int64_t tokens, int64_t head_size, int64_t padded, bool backward) {
  Stretch<A> stretch;
  stretch.k_HS = scratch.take(whole_blocks(tokens) * head_size);
  if (!backward) {
    stretch.v_SH = scratch.take(tokens * padded);
    return stretch;
  }
  stretch.v_HS = scratch.take(whole_blocks(tokens) * head_size);
  stretch.k_SH = scratch.take(tokens * padded);
  stretch.dk_SH = scratch.take(tokens * padded);
  stretch.dv_SH = scratch.take(tokens * padded);
  return stretch;
}

inline int64_t longest_response(const PackedShape& shape) {
  int64_t longest = 0;
  for (int64_t b = 0; b < shape.num_responses; ++b)
    if (shape.response_tokens[b] > longest) longest = shape.response_tokens[b];
  return longest;
}

inline int64_t block_tokens(const PackedShape& shape) {
  return shape.group_size < kPackedRows ? kPackedRows / shape.group_size : 1;
}

template <class E>
struct PackedBuffers {
  using A = Accum<E>;
  Stretch<A> prompt, response;
  PackedWork<E> work;

  PackedBuffers(const PackedShape& shape, A* memory, bool backward) : work{shape} {
    Scratch<A> scratch{memory};
    const int64_t padded = padded_head_size(shape.head_size), longest = longest_response(shape);
    const int64_t num_rows = block_tokens(shape) * shape.group_size;
    const int64_t width = whole_blocks(shape.prompt_tokens) + whole_blocks(longest);
    prompt = take_stretch(scratch, shape.prompt_tokens, shape.head_size, padded, backward);
    response = take_stretch(scratch, longest, shape.head_size, padded, backward);
    work.padded = padded;
    work.q_MH = scratch.take(num_rows * padded);
    work.out_MH = scratch.take(num_rows * padded);
    work.factor_M = scratch.take(num_rows);
    work.s_MS = scratch.take(num_rows * width);
    // What load_rows leaves behind the head is 0.
    clear(work.q_MH, num_rows * padded);
    clear(work.out_MH, num_rows * padded);
    if (!backward) return;
    work.dout_MH = scratch.take(num_rows * padded);
    work.ds_MS = scratch.take(num_rows * width);
    clear(work.dout_MH, num_rows * padded);
  }
};

// The prompt's stretch is laid out by lay(own, row), and so is that of each response of the part; attend(own, prompt,
// row) gets each sequence of the part in order, the prompt itself with null. row: of the stretch's first token.
template <class A, class Lay, class Attend>
TT_INLINE void over_sequences(const PackedShape& shape, PackedPart part, Stretch<A>& prompt, Stretch<A>& response,
                              Lay lay, Attend attend) {
  prompt.tokens = shape.prompt_tokens;
  lay(prompt, int64_t{0});
  if (part.begin == 0 && part.end > 0) attend(prompt, static_cast<const Stretch<A>*>(nullptr), int64_t{0});
  int64_t row = shape.prompt_tokens;
  for (int64_t b = 0; b + 1 < part.end; ++b) {
    response.tokens = shape.response_tokens[b];
    if (b + 1 >= part.begin) {
      lay(response, row);
      attend(response, static_cast<const Stretch<A>*>(&prompt), row);
    }
    row += response.tokens;
  }
}

template <class E>
void packed_attention_forward(const E* q, const E* k, const E* v, const PackedShape& shape, PackedPart part,
                              Accum<E>* scratch, E* out, Accum<E>* lse) {
  using A = Accum<E>;
  PackedBuffers<E> buffers(shape, scratch, false);
  const int64_t step = block_tokens(shape), head_size = shape.head_size, padded = buffers.work.padded;
  const int64_t stride = shape.kv_stride;
  const auto lay = [&](const Stretch<A>& own, int64_t row) {
    lay_out(k + row * stride, stride, own.tokens, head_size, padded, own.k_HS, static_cast<A*>(nullptr));
    lay_out(v + row * stride, stride, own.tokens, head_size, padded, static_cast<A*>(nullptr), own.v_SH);
  };
  const auto attend = [&](const Stretch<A>& own, const Stretch<A>* prompt, int64_t row) {
    for (int64_t t = 0; t < own.tokens; t += step) {
      const int64_t tokens = own.tokens - t < step ? own.tokens - t : step, at = row + t;
      forward_block<E>(buffers.work, query_block(shape, prompt, own, t, tokens), q + at * shape.q_stride,
                       out + at * shape.q_stride, lse + at * shape.lse_stride);
    }
  };
  over_sequences<A>(shape, part, buffers.prompt, buffers.response, lay, attend);
}

// rows: of E, or of what is summed in.
template <class A, class Row>
void store_stretch(const A* x_SH, int64_t tokens, int64_t head_size, int64_t padded, int64_t stride, Row* rows) {
  for (int64_t t = 0; t < tokens; ++t)
    over_row<A>(head_size, [&](int64_t h, auto part) TT_INLINE_LAMBDA {
      store(rows + t * stride + h, load(x_SH + t * padded + h, Whole{}), part);
    });
}

template <class E>
void packed_attention_backward(const E* q, const E* k, const E* v, const E* out, const Accum<E>* lse, const E* dout,
                               const PackedShape& shape, PackedPart part, Accum<E>* scratch, E* dq, E* dk, E* dv,
                               const PromptSums<E>& prompt_sums) {
  using A = Accum<E>;
  PackedBuffers<E> buffers(shape, scratch, true);
  const int64_t step = block_tokens(shape), head_size = shape.head_size, padded = buffers.work.padded;
  const int64_t stride = shape.kv_stride;
  const auto lay = [&](const Stretch<A>& own, int64_t row) {
    lay_out(k + row * stride, stride, own.tokens, head_size, padded, own.k_HS, own.k_SH);
    lay_out(v + row * stride, stride, own.tokens, head_size, padded, own.v_HS, static_cast<A*>(nullptr));
    clear(own.dk_SH, own.tokens * padded);
    clear(own.dv_SH, own.tokens * padded);
  };
  const auto attend = [&](const Stretch<A>& own, const Stretch<A>* prompt, int64_t row) {
    for (int64_t t = 0; t < own.tokens; t += step) {
      const int64_t tokens = own.tokens - t < step ? own.tokens - t : step, at = row + t;
      const int64_t offset = at * shape.q_stride;
      backward_block<E>(buffers.work, query_block(shape, prompt, own, t, tokens), q + offset, out + offset,
                        lse + at * shape.lse_stride, dout + offset, dq + offset);
    }
    if (prompt == nullptr) return;
    store_stretch(own.dk_SH, own.tokens, head_size, padded, stride, dk + row * stride);
    store_stretch(own.dv_SH, own.tokens, head_size, padded, stride, dv + row * stride);
  };
  over_sequences<A>(shape, part, buffers.prompt, buffers.response, lay, attend);
  const Stretch<A>& prompt = buffers.prompt;
  store_stretch(prompt.dk_SH, prompt.tokens, head_size, padded, prompt_sums.stride, prompt_sums.dk);
  store_stretch(prompt.dv_SH, prompt.tokens, head_size, padded, prompt_sums.stride, prompt_sums.dv);
}
