#include "kernels/packed_attention.h"

#include "kernel_inputs.h"

namespace thinktune::kernels {
namespace {

// One group of one kv head. What is expected is written out in double, row by row.
template <class E>
struct Case {
  using A = Accum<E>;
  static constexpr int64_t kCanaries = 16;

  std::vector<int64_t> responses;
  int64_t tokens;
  PackedShape shape;
  std::vector<E> q, k, v, dout;    // inputs
  std::vector<E> out, dq, dk, dv;  // what the kernel writes, canaries behind it
  std::vector<A> lse;
  std::vector<A> dk_sums, dv_sums;  // [P, parts, H], canaries behind them
  std::vector<double> right_out, right_dq, right_dk, right_dv;

  Case(int64_t prompt, std::vector<int64_t> responses_, int64_t heads, int64_t head_size, double softcap,
       int64_t window)
      : responses(std::move(responses_)), tokens(prompt) {
    for (const int64_t n : responses) tokens += n;
    shape = {.prompt_tokens = prompt,
             .response_tokens = responses.data(),
             .num_responses = static_cast<int64_t>(responses.size()),
             .group_size = heads,
             .head_size = head_size,
             .q_stride = heads * head_size + 3,  // other heads stand between
             .kv_stride = head_size + 5,
             .lse_stride = heads + 1,
             .scale = 1 / std::sqrt(static_cast<double>(head_size)),
             .softcap = softcap,
             .window = window};
    q = normals<E>(tokens * shape.q_stride, 1);
    k = normals<E>(tokens * shape.kv_stride, 2);
    v = normals<E>(tokens * shape.kv_stride, 3);
    dout = normals<E>(tokens * shape.q_stride, 4);
  }
  Case(const Case&) = delete;

  void run() {
    const E canary = narrow<E>(-7);
    out.assign(tokens * shape.q_stride + kCanaries, canary);
    lse.assign(tokens * shape.lse_stride + kCanaries, A(-7));
    dq = out;
    dk.assign(tokens * shape.kv_stride + kCanaries, canary);
    dv = dk;
    // The prompt and the first responses, an empty part, and the other responses.
    const int64_t num_sequences = std::ssize(responses) + 1, middle = (num_sequences + 1) / 2,
                  head_size = shape.head_size;
    const PackedPart parts[] = {{0, middle}, {middle, middle}, {middle, num_sequences}};
    const int64_t num_parts = std::ssize(parts), num_sums = shape.prompt_tokens * num_parts * head_size;
    dk_sums.assign(num_sums + kCanaries, A(-7));
    dv_sums = dk_sums;
    for (const bool backward : {false, true}) {
      const int64_t size = packed_attention_scratch(shape, backward);
      for (int64_t i = 0; i < num_parts; ++i) {
        std::vector<A> scratch(size + kCanaries, A(-7));
        if (backward)
          packed_attention_backward<E>(
              q.data(), k.data(), v.data(), out.data(), lse.data(), dout.data(), shape, parts[i], scratch.data(),
              dq.data(), dk.data(), dv.data(),
              {dk_sums.data() + i * head_size, dv_sums.data() + i * head_size, num_parts * head_size});
        else
          packed_attention_forward(q.data(), k.data(), v.data(), shape, parts[i], scratch.data(), out.data(),
                                   lse.data());
        for (int64_t c = size; c < size + kCanaries; ++c) ASSERT_EQ(scratch[c], A(-7)) << "scratch " << c - size;
      }
    }
    for (auto [sums, rows] : {std::pair{&dk_sums, &dk}, std::pair{&dv_sums, &dv}}) {
      for (int64_t i = num_sums; i < num_sums + kCanaries; ++i) ASSERT_EQ((*sums)[i], A(-7)) << "sums " << i - num_sums;
      for (int64_t t = 0; t < shape.prompt_tokens; ++t)
        for (int64_t h = 0; h < head_size; ++h) {
          A sum = 0;
          for (int64_t i = 0; i < num_parts; ++i) sum += (*sums)[(t * num_parts + i) * head_size + h];
          ASSERT_EQ(widen((*rows)[t * shape.kv_stride + h]), widen(narrow<E>(A(-7)))) << "the prompt's are the sums'";
          (*rows)[t * shape.kv_stride + h] = narrow<E>(sum);
        }
    }
  }

  // Rows of the tokens that token t of its sequence sees, itself the last; `begin`: its sequence's first row.
  std::vector<int64_t> seen(int64_t row, int64_t begin) const {
    std::vector<int64_t> rows;
    if (begin > 0)
      for (int64_t i = 0; i < shape.prompt_tokens; ++i) rows.push_back(i);
    for (int64_t i = begin; i <= row; ++i) rows.push_back(i);
    if (shape.window > 0 && std::ssize(rows) > shape.window) rows.erase(rows.begin(), rows.end() - shape.window);
    return rows;
  }

  // The gradients are those of the result as the kernel rounded it.
  void expect_row(int64_t row, int64_t begin) {
    const int64_t head_size = shape.head_size;
    const std::vector<int64_t> rows = seen(row, begin);
    for (int64_t g = 0; g < shape.group_size; ++g) {
      const int64_t at = row * shape.q_stride + g * head_size;
      std::vector<double> scores, slopes;
      double max = -INFINITY, sum = 0, dot = 0;
      for (const int64_t s : rows) {
        double score = 0;
        for (int64_t h = 0; h < head_size; ++h)
          score += static_cast<double>(widen(q[at + h])) * widen(k[s * shape.kv_stride + h]) * shape.scale;
        const double capped = shape.softcap > 0 ? shape.softcap * std::tanh(score / shape.softcap) : score;
        slopes.push_back(shape.softcap > 0 ? 1 - capped * capped / (shape.softcap * shape.softcap) : 1);
        scores.push_back(capped);
        max = std::max(max, capped);
      }
      for (const double score : scores) sum += std::exp(score - max);
      EXPECT_NEAR(lse[row * shape.lse_stride + g], max + std::log(sum), 1e4 * kRoundoff<A>) << "row " << row;
      for (int64_t h = 0; h < head_size; ++h) dot += static_cast<double>(widen(dout[at + h])) * widen(out[at + h]);
      for (size_t i = 0; i < rows.size(); ++i) {
        const double p = std::exp(scores[i] - max) / sum;
        const int64_t s = rows[i] * shape.kv_stride;
        double dp = 0;
        for (int64_t h = 0; h < head_size; ++h) {
          right_out[at + h] += p * widen(v[s + h]);
          right_dv[s + h] += p * widen(dout[at + h]);
          dp += static_cast<double>(widen(dout[at + h])) * widen(v[s + h]);
        }
        const double ds = p * (dp - dot) * slopes[i] * shape.scale;
        for (int64_t h = 0; h < head_size; ++h) {
          right_dq[at + h] += ds * widen(k[s + h]);
          right_dk[s + h] += ds * widen(q[at + h]);
        }
      }
    }
  }

  // Sums of up to a few hundred terms of size up to about ten.
  static void expect_close(const std::vector<E>& got, const std::vector<double>& right, int64_t stride, int64_t width,
                           const char* what) {
    for (int64_t i = 0; i < std::ssize(got); ++i) {
      const bool ours = i < std::ssize(right) && i % stride < width;
      const double expected = ours ? right[i] : -7;
      const double tolerance = ours ? kRoundoff<E> * std::abs(expected) + 2e4 * kRoundoff<A> : 0;
      ASSERT_NEAR(widen(got[i]), expected, tolerance) << what << " " << i / stride << ", " << i % stride;
    }
  }

  void expect_right() {
    right_out.assign(tokens * shape.q_stride, 0);
    right_dq = right_out;
    right_dk.assign(tokens * shape.kv_stride, 0);
    right_dv = right_dk;
    for (int64_t row = 0; row < shape.prompt_tokens; ++row) expect_row(row, 0);
    int64_t begin = shape.prompt_tokens;
    for (const int64_t n : responses) {
      for (int64_t row = begin; row < begin + n; ++row) expect_row(row, begin);
      begin += n;
    }
    expect_close(out, right_out, shape.q_stride, shape.group_size * shape.head_size, "out");
    expect_close(dq, right_dq, shape.q_stride, shape.group_size * shape.head_size, "dq");
    expect_close(dk, right_dk, shape.kv_stride, shape.head_size, "dk");
    expect_close(dv, right_dv, shape.kv_stride, shape.head_size, "dv");
  }
};

template <class E>
class PackedAttentionKernel : public testing::Test {};
TYPED_TEST_SUITE(PackedAttentionKernel, Elements);

TYPED_TEST(PackedAttentionKernel, IsTheFormulaOnRaggedSizes) {
  struct Size {
    int64_t prompt;
    std::vector<int64_t> responses;
    int64_t heads, head_size;
    double softcap;
    int64_t window;
  };
  const std::vector<Size> sizes = {
      {1, {}, 1, 1, 0, 0},        {5, {3, 0, 1}, 3, 64, 0, 0}, {64, {63, 65}, 2, 17, 0, 0},
      {65, {64, 1}, 1, 31, 0, 0}, {3, {131}, 4, 24, 2, 0},     {70, {7, 70}, 2, 8, 0, 33},
      {2, {90}, 1, 16, 3, 64},    {4, {6}, 50, 5, 0, 0},       {130, {1, 1, 1}, 7, 16, 0, 1}};
  with_every_instruction_set([&] {
    for (const Size& size : sizes) {
      SCOPED_TRACE(testing::Message() << "prompt " << size.prompt << ", " << size.responses.size() << " responses, "
                                      << size.heads << " heads of " << size.head_size << ", cap " << size.softcap
                                      << ", window " << size.window);
      Case<TypeParam> c(size.prompt, size.responses, size.heads, size.head_size, size.softcap, size.window);
      c.run();
      if (!this->HasFatalFailure()) c.expect_right();
    }
  });
}

}  // namespace
}  // namespace thinktune::kernels
