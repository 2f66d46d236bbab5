#include "kernels/decode_attention.h"

#include "kernel_inputs.h"

namespace thinktune::kernels {
namespace {

template <class E>
struct Case {
  int64_t heads, head_size, tokens, row_stride;
  double scale, softcap = 0;
  std::vector<E> q, keys, values;

  Case(int64_t heads_, int64_t head_size_, int64_t tokens_, uint64_t seed)
      : heads(heads_),
        head_size(head_size_),
        tokens(tokens_),
        row_stride(head_size_ + 5),  // the rows of other kv heads stand between
        scale(1 / std::sqrt(static_cast<double>(head_size_))),
        q(normals<E>(heads * head_size, seed, 2.0)),
        keys(normals<E>(tokens * row_stride, seed + 1)),
        values(normals<E>(tokens * row_stride, seed + 2)) {}

  // cuts: lengths of the segments.
  std::vector<E> run(const std::vector<int64_t>& cuts) const {
    std::vector<KvRows<E>> segments;
    int64_t at = 0;
    for (int64_t n : cuts) {
      segments.push_back({keys.data() + at * row_stride, values.data() + at * row_stride, n});
      at += n;
    }
    EXPECT_EQ(at, tokens);
    const DecodeShape shape{1, heads, head_size, row_stride, scale, softcap};
    std::vector<Accum<E>> scratch(decode_attention_scratch(shape));
    std::vector<E> out(heads * head_size + 1, narrow<E>(-7));
    decode_attention(q.data(), segments.data(), static_cast<int64_t>(segments.size()), shape, {}, scratch.data(),
                     out.data());
    EXPECT_EQ(widen(out.back()), -7);
    out.pop_back();
    return out;
  }

  // Softmax of the scores in double, and the bound that roundings allow.
  void expect_right(const std::vector<E>& out) const {
    const double a = kRoundoff<Accum<E>>, u = kRoundoff<E>;
    for (int64_t n = 0; n < heads; ++n) {
      std::vector<double> scores(tokens);
      double max = -INFINITY, worst = 0, sum = 0;
      for (int64_t t = 0; t < tokens; ++t) {
        double magnitude = 0;
        for (int64_t h = 0; h < head_size; ++h) {
          const double product =
              static_cast<double>(widen(q[n * head_size + h])) * widen(keys[t * row_stride + h]) * scale;
          scores[t] += product;
          magnitude += std::abs(product);
        }
        if (softcap > 0) scores[t] = softcap * std::tanh(scores[t] / softcap);  // its slope is at most 1
        worst = std::max(worst, magnitude * (head_size + 3) * a);  // error of a score, which exp makes relative
        max = std::max(max, scores[t]);
      }
      for (double s : scores) sum += std::exp(s - max);
      for (int64_t h = 0; h < head_size; ++h) {
        double expected = 0, magnitude = 0;
        for (int64_t t = 0; t < tokens; ++t) {
          const double term = std::exp(scores[t] - max) / sum * widen(values[t * row_stride + h]);
          expected += term;
          magnitude += std::abs(term);
        }
        // Twice: numerator and sum. Each block of 32 multiplies by a correction (exp: 4 roundings, and its argument's).
        const double tolerance =
            magnitude * 2 * (worst + (tokens + 8 * (tokens / kDecodeBlock + 1) + 16 + std::abs(max)) * a);
        EXPECT_NEAR(widen(out[n * head_size + h]), expected, std::abs(expected) * u + tolerance)
            << "head " << n << " element " << h;
      }
    }
  }
};

template <class E>
class DecodeAttention : public testing::Test {};
TYPED_TEST_SUITE(DecodeAttention, Elements);

TYPED_TEST(DecodeAttention, IsSoftmaxTimesValues) {
  using E = TypeParam;
  uint64_t seed = 1;
  for (int64_t heads : {1, 2, 3, 4, 5, 9})
    for (int64_t head_size : {1, 15, 16, 17, 64, 80})
      for (int64_t tokens : {1, 7, 31, 32, 33, 97}) {
        SCOPED_TRACE(testing::Message() << heads << " heads of " << head_size << ", " << tokens << " tokens");
        Case<E> c(heads, head_size, tokens, seed += 10);
        for (const double softcap : {0.0, 1.5}) {
          c.softcap = softcap;
          with_every_instruction_set([&] { c.expect_right(c.run({tokens})); });
        }
      }
}

TYPED_TEST(DecodeAttention, DoesNotSeeWhereSegmentsAreCut) {
  using E = TypeParam;
  const Case<E> c(3, 64, 250, 7);
  with_every_instruction_set([&] {
    const std::vector<double> whole = widened(c.run({250}));
    c.expect_right(c.run({250}));
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{1, 249},
                                             {249, 1},
                                             {32, 218},
                                             {31, 33, 186},
                                             {0, 100, 0, 150, 0},
                                             std::vector<int64_t>(250, 1)})
      EXPECT_EQ(widened(c.run(cuts)), whole);
  });
}

TYPED_TEST(DecodeAttention, SeveralKvHeadsInOneCallAreEachAlone) {
  using E = TypeParam;
  const int64_t kv_heads = 3, group = 2, head_size = 20, tokens = 45, row = kv_heads * head_size;
  const std::vector<E> q = normals<E>(kv_heads * group * head_size, 1), keys = normals<E>(tokens * row, 2),
                       values = normals<E>(tokens * row, 3);
  with_every_instruction_set([&] {
    const auto run = [&](int64_t first, int64_t count) {
      const DecodeShape shape{count, group, head_size, row, 0.3};
      const KvRows<E> rows{keys.data() + first * head_size, values.data() + first * head_size, tokens};
      std::vector<Accum<E>> scratch(decode_attention_scratch(shape));
      std::vector<E> out(count * group * head_size);
      decode_attention(q.data() + first * group * head_size, &rows, 1, shape, {}, scratch.data(), out.data());
      return widened(out);
    };
    const std::vector<double> all = run(0, kv_heads);
    std::vector<double> one_by_one;
    for (int64_t kv = 0; kv < kv_heads; ++kv) {
      const std::vector<double> out = run(kv, 1);
      one_by_one.insert(one_by_one.end(), out.begin(), out.end());
    }
    EXPECT_EQ(all, one_by_one);
  });
}

TYPED_TEST(DecodeAttention, LargeScoresNeitherOverflowNorVanish) {
  using E = TypeParam;
  Case<E> c(2, 16, 70, 8);
  // Scores near ±1000: the first block all far below, the last far above.
  for (int64_t h = 0; h < 2 * 16; ++h) c.q[h] = narrow<E>(static_cast<Accum<E>>(h % 16 == 0 ? 64 : 0));
  for (int64_t t = 0; t < 70; ++t) c.keys[t * c.row_stride] = narrow<E>(static_cast<Accum<E>>(t < 40 ? -64 : 64));
  with_every_instruction_set([&] {
    const std::vector<E> out = c.run({70});
    for (E v : out) EXPECT_TRUE(std::isfinite(widen(v)));
    c.expect_right(out);
  });
}

TYPED_TEST(DecodeAttention, NanStaysNan) {
  using E = TypeParam;
  Case<E> c(2, 16, 40, 9);
  c.keys[3 * c.row_stride] = narrow<E>(static_cast<Accum<E>>(NAN));
  with_every_instruction_set([&] {
    for (E v : c.run({40})) EXPECT_TRUE(std::isnan(widen(v)));
  });
}

}  // namespace
}  // namespace thinktune::kernels
