#include "thinktune/ops/decode_attention.h"

#include "tensor_checks.h"
#include "thinktune/core/error.h"

namespace thinktune::ops {
namespace {

struct Batch {
  at::Tensor q_BNH;
  std::vector<at::Tensor> keys_TKH, values_TKH;  // one a sequence
  int64_t num_kv_heads;
  double scale;
  double softcap = 0;

  DecodeAttentionOptions options() const { return {num_kv_heads, scale, softcap}; }
};

Batch make_batch(const std::vector<int64_t>& lengths, int64_t heads, int64_t kv_heads, int64_t head_size,
                 at::ScalarType dtype) {
  Batch batch{normals({static_cast<int64_t>(lengths.size()), heads, head_size}, dtype, 1, 2.0),
              {},
              {},
              kv_heads,
              1 / std::sqrt(static_cast<double>(head_size))};
  for (size_t b = 0; b < lengths.size(); ++b) {
    batch.keys_TKH.push_back(normals({lengths[b], kv_heads, head_size}, dtype, 100 + b));
    batch.values_TKH.push_back(normals({lengths[b], kv_heads, head_size}, dtype, 200 + b));
  }
  return batch;
}

// Segments of at most `piece` tokens; 0: one segment.
std::vector<std::vector<KvSegment>> cut(const Batch& batch, int64_t piece) {
  std::vector<std::vector<KvSegment>> segments;
  for (size_t b = 0; b < batch.keys_TKH.size(); ++b) {
    const int64_t tokens = batch.keys_TKH[b].size(0), step = piece > 0 ? piece : tokens;
    segments.emplace_back();
    for (int64_t t = 0; t < tokens; t += step) {
      const int64_t n = std::min(step, tokens - t);
      segments.back().push_back({batch.keys_TKH[b].narrow(0, t, n).const_data_ptr(),
                                 batch.values_TKH[b].narrow(0, t, n).const_data_ptr(), n});
    }
  }
  return segments;
}

at::Tensor by_formula(const Batch& batch) {
  std::vector<at::Tensor> rows;
  const int64_t group = batch.q_BNH.size(1) / batch.num_kv_heads;
  for (size_t b = 0; b < batch.keys_TKH.size(); ++b) {
    const at::Tensor q_N1H = batch.q_BNH[static_cast<int64_t>(b)].to(at::kDouble).unsqueeze(1);
    const at::Tensor k_NHT = batch.keys_TKH[b].to(at::kDouble).permute({1, 2, 0}).repeat_interleave(group, 0);
    const at::Tensor v_NTH = batch.values_TKH[b].to(at::kDouble).permute({1, 0, 2}).repeat_interleave(group, 0);
    at::Tensor scores = q_N1H.matmul(k_NHT) * batch.scale;
    if (batch.softcap > 0) scores = at::tanh(scores / batch.softcap) * batch.softcap;
    rows.push_back(at::softmax(scores, -1).matmul(v_NTH).squeeze(1));
  }
  return at::stack(rows);
}

TEST(DecodeAttention, LikeTheFormulaHoweverItIsCut) {
  const OneThread one_thread;
  for (const double softcap : {0.0, 1.5})
    for (at::ScalarType dtype : kDtypes)
      for (auto [heads, kv_heads, head_size] : {std::tuple{9, 3, 64}, {8, 1, 32}, {4, 4, 17}, {1, 1, 1}, {15, 5, 80}}) {
        SCOPED_TRACE(testing::Message() << c10::toString(dtype) << " " << heads << " on " << kv_heads << " of "
                                        << head_size);
        Batch batch = make_batch({1, 31, 32, 33, 250, 2, 97}, heads, kv_heads, head_size, dtype);
        batch.softcap = softcap;
        const at::Tensor out = decode_attention(batch.q_BNH, cut(batch, 0), batch.options());
        EXPECT_EQ(out.scalar_type(), dtype);
        const double accum = roundoff(dtype == at::kDouble ? at::kDouble : at::kFloat);
        // A score's error is at most (H + 3) roundings of Σ |q k| · scale, here below 30; then the sums over the
        // context.
        expect_near(out, by_formula(batch), 1.01 * roundoff(dtype), (2 * 30 * (head_size + 3) + 2 * 250) * accum);
        for (int64_t piece : {1, 7, 32, 100})
          EXPECT_TRUE(at::equal(decode_attention(batch.q_BNH, cut(batch, piece), batch.options()), out)) << piece;
      }
}

// The first `shared` tokens of all sequences are those of sequence 0, or of sequence 3 from there on.
std::vector<std::vector<KvSegment>> with_shared(const Batch& batch, int64_t shared, int64_t cut_at) {
  std::vector<std::vector<KvSegment>> segments = cut(batch, 0);
  for (size_t b = 0; b < segments.size(); ++b) {
    const size_t owner = b < 3 ? 0 : 3;
    const auto part = [&](int64_t first, int64_t count, bool is_shared) {
      const size_t from = is_shared ? owner : b;
      return KvSegment{batch.keys_TKH[from].narrow(0, first, count).const_data_ptr(),
                       batch.values_TKH[from].narrow(0, first, count).const_data_ptr(), count, is_shared};
    };
    const int64_t tokens = batch.keys_TKH[b].size(0);
    segments[b] = {part(0, cut_at, true), part(cut_at, shared - cut_at, true), part(shared, tokens - shared, false)};
  }
  return segments;
}

// Weights of shared positions are rounded to bf16 where tiles multiply: by as much as the values are, at most.
TEST(DecodeAttention, SharedPrefixes) {
  for (const double softcap : {0.0, 1.5})
    for (auto [heads, kv_heads, head_size] : {std::tuple{9, 3, 64}, {8, 1, 32}, {4, 4, 18}, {40, 1, 80}, {15, 5, 128}})
      for (const int64_t shared : {1, 33, 300}) {
        SCOPED_TRACE(testing::Message() << heads << " on " << kv_heads << " of " << head_size << ", " << shared);
        Batch batch = make_batch({shared, shared + 1, shared + 70, shared + 33, shared + 4}, heads, kv_heads, head_size,
                                 at::kBFloat16);
        batch.softcap = softcap;
        const auto segments = with_shared(batch, shared, shared / 3);
        const at::Tensor out = decode_attention(batch.q_BNH, segments, batch.options());
        for (const int64_t cut_at : {int64_t{0}, shared / 2, shared})
          EXPECT_TRUE(
              at::equal(decode_attention(batch.q_BNH, with_shared(batch, shared, cut_at), batch.options()), out))
              << "cut at " << cut_at;
        // What is shared laid out beforehand.
        std::vector<at::Tensor> tiles;
        auto laid_out = segments;
        for (const size_t owner : {0, 3}) {
          tiles.push_back(tile_kv(std::span(segments[owner]).first(2), kv_heads, head_size, at::kBFloat16));
          if (!tiles.back().defined()) continue;
          EXPECT_EQ(static_cast<int64_t>(tiles.back().nbytes()),
                    tiled_kv_bytes(shared, kv_heads, head_size, at::kBFloat16));
          for (size_t b = owner; b < (owner == 0 ? 3 : segments.size()); ++b)
            laid_out[b][1].tiles = tiles.back().const_data_ptr();
        }
        EXPECT_TRUE(at::equal(decode_attention(batch.q_BNH, laid_out, batch.options()), out));
        for (size_t b = 0; b < segments.size(); ++b) {
          const size_t owner = b < 3 ? 0 : 3;
          for (auto* rows : {&batch.keys_TKH, &batch.values_TKH})
            (*rows)[b].narrow(0, 0, shared).copy_((*rows)[owner].narrow(0, 0, shared));
        }
        expect_near(out, by_formula(batch), roundoff(at::kBFloat16), 2 * roundoff(at::kBFloat16) * 5);
        // A sequence alone, and any number of threads.
        for (size_t b = 0; b < segments.size(); ++b)
          EXPECT_TRUE(at::equal(decode_attention(batch.q_BNH.narrow(0, static_cast<int64_t>(b), 1),
                                                 std::span(segments).subspan(b, 1), batch.options())[0],
                                out[static_cast<int64_t>(b)]));
        expect_same_for_any_threads(
            [&] { return std::vector<at::Tensor>{decode_attention(batch.q_BNH, segments, batch.options())}; });
      }
}

TEST(DecodeAttention, OtherSequencesDoNotShow) {
  const Batch batch = make_batch({40, 250, 3}, 6, 2, 64, at::kBFloat16);
  const auto segments = cut(batch, 0);
  const at::Tensor all = decode_attention(batch.q_BNH, segments, batch.options());
  for (int64_t b = 0; b < 3; ++b)
    EXPECT_TRUE(at::equal(
        decode_attention(batch.q_BNH.narrow(0, b, 1), std::span(segments).subspan(b, 1), batch.options())[0], all[b]));
}

TEST(DecodeAttention, ThreadsDoNotShow) {
  const Batch batch = make_batch({40, 250, 3, 77, 130}, 9, 3, 64, at::kFloat);
  expect_same_for_any_threads(
      [&] { return std::vector<at::Tensor>{decode_attention(batch.q_BNH, cut(batch, 50), batch.options())}; });
}

TEST(DecodeAttention, EmptyBatch) {
  EXPECT_EQ(decode_attention(at::empty({0, 4, 8}), {}, {2, 1.0}).sizes(), (at::IntArrayRef{0, 4, 8}));
}

TEST(DecodeAttention, RefusesWhatItCannotDo) {
  const Batch batch = make_batch({5, 6}, 6, 2, 16, at::kFloat);
  const auto segments = cut(batch, 0);
  EXPECT_THROW(decode_attention(batch.q_BNH, segments, {4, 1.0}), core::Error);
  EXPECT_THROW(decode_attention(batch.q_BNH, std::span(segments).first(1), {2, 1.0}), core::Error);
  EXPECT_THROW(decode_attention(batch.q_BNH.transpose(1, 2), segments, {2, 1.0}), core::Error);
  EXPECT_THROW(decode_attention(leaf(batch.q_BNH), segments, {2, 1.0}), core::Error);
  EXPECT_THROW(decode_attention(batch.q_BNH.to(at::kHalf), segments, {2, 1.0}), core::Error);
  auto empty = segments;
  empty[1] = {};
  EXPECT_THROW(decode_attention(batch.q_BNH, empty, {2, 1.0}), core::Error);
  empty[1] = {{nullptr, nullptr, 3}};
  EXPECT_THROW(decode_attention(batch.q_BNH, empty, {2, 1.0}), core::Error);
}

}  // namespace
}  // namespace thinktune::ops
