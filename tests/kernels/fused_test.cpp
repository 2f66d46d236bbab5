// rms_norm, rope and glu against their formulas in double, and in double against finite differences.
#include "kernel_inputs.h"
#include "kernels/glu.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"

namespace thinktune::kernels {
namespace {

constexpr int64_t kWidths[] = {1, 2, 15, 16, 17, 31, 33, 97, 576};
const RmsNormForm kForms[] = {{1e-5, false, true}, {1e-6, true, false}, {1e-5, false, false}};
constexpr Activation kActivations[] = {Activation::Silu, Activation::GeluTanh};

// act(g), its derivative, and how far σ and what follows from it can be off, relative to the roundings of exp's input.
struct ActivationValue {
  double value, slope, exponent;
};

ActivationValue activation_value(Activation activation, double g) {
  const bool silu = activation == Activation::Silu;
  const double z = silu ? g : 2 * std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
  const double z_slope = silu ? 1 : 2 * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * g * g);
  const double sigma = 1 / (1 + std::exp(-z));
  return {g * sigma, sigma + g * sigma * (1 - sigma) * z_slope, z};
}

template <class E>
class Fused : public testing::Test {
 protected:
  static constexpr double u = kRoundoff<E>;
  static constexpr double a = kRoundoff<Accum<E>>;
};
TYPED_TEST_SUITE(Fused, Elements);

TYPED_TEST(Fused, RmsNormForward) {
  using E = TypeParam;
  for (int64_t width : kWidths)
    for (const RmsNormForm& form : kForms) {
      const int64_t rows = 3;
      const std::vector<E> x = normals<E>(rows * width, 1), weight = normals<E>(width, 2);
      with_every_instruction_set([&] {
        std::vector<E> y(rows * width + 1, narrow<E>(-7));
        std::vector<Accum<E>> inverse(rows);
        rms_norm_forward<E>(x.data(), nullptr, weight.data(), form, rows, width, y.data(), inverse.data());
        EXPECT_EQ(widen(y.back()), -7);
        for (int64_t t = 0; t < rows; ++t) {
          double squares = 0;
          for (int64_t i = 0; i < width; ++i) squares += std::pow(static_cast<double>(widen(x[t * width + i])), 2);
          const double r = 1 / std::sqrt(squares / width + form.epsilon);
          EXPECT_NEAR(inverse[t], r, r * (width + 8) * TestFixture::a);
          for (int64_t i = 0; i < width; ++i) {
            const double w = widen(weight[i]) + (form.weight_plus_one ? 1.0 : 0.0), n = widen(x[t * width + i]) * r;
            // Roundings to E (normalised value where the form says so, result), and the sum's; 1 + weight is rounded
            // once.
            const double roundings = (form.round_before_weight ? 2.02 : 1.01) * TestFixture::u;
            EXPECT_NEAR(widen(y[t * width + i]), n * w,
                        std::abs(n * w) * (roundings + (width + 8) * TestFixture::a) + std::abs(n) * TestFixture::a);
          }
        }
      });
    }
}

TYPED_TEST(Fused, RmsNormBackward) {
  using E = TypeParam;
  for (int64_t width : kWidths)
    for (const RmsNormForm& form : kForms) {
      const int64_t rows = 5;
      const std::vector<E> x = normals<E>(rows * width, 3), weight = normals<E>(width, 4),
                           dy = normals<E>(rows * width, 5);
      with_every_instruction_set([&] {
        std::vector<E> y(rows * width), dx(rows * width);
        std::vector<Accum<E>> inverse(rows), dweight(width, 1);  // added to
        rms_norm_forward<E>(x.data(), nullptr, weight.data(), form, rows, width, y.data(), inverse.data());
        rms_norm_backward<E>(x.data(), weight.data(), form, inverse.data(), dy.data(), nullptr, rows, width, dx.data(),
                             dweight.data());
        std::vector<double> sums(width, 1), magnitudes(width, 1);
        for (int64_t t = 0; t < rows; ++t) {
          const double r = inverse[t];
          double mean = 0, mean_magnitude = 0;
          for (int64_t i = 0; i < width; ++i) {
            const double n = widen(x[t * width + i]) * r,
                         h = widen(dy[t * width + i]) * (widen(weight[i]) + (form.weight_plus_one ? 1.0 : 0.0));
            mean += h * n / width;
            mean_magnitude += std::abs(h * n) / width;
            sums[i] += widen(dy[t * width + i]) * n;
            magnitudes[i] += std::abs(widen(dy[t * width + i]) * n);
          }
          for (int64_t i = 0; i < width; ++i) {
            const double n = widen(x[t * width + i]) * r,
                         h = widen(dy[t * width + i]) * (widen(weight[i]) + (form.weight_plus_one ? 1.0 : 0.0));
            const double expected = r * (h - n * mean);
            const double magnitude = r * (std::abs(h) + std::abs(n) * mean_magnitude);
            EXPECT_NEAR(widen(dx[t * width + i]), expected,
                        std::abs(expected) * TestFixture::u + magnitude * (width + 12) * TestFixture::a);
          }
        }
        for (int64_t i = 0; i < width; ++i)
          EXPECT_NEAR(dweight[i], sums[i], magnitudes[i] * (1.01 * TestFixture::u + (rows + 6) * TestFixture::a));

        // Either gradient alone is the same as both.
        std::vector<E> dx_alone(rows * width);
        std::vector<Accum<E>> dweight_alone(width, 1);
        rms_norm_backward<E>(x.data(), weight.data(), form, inverse.data(), dy.data(), nullptr, rows, width,
                             dx_alone.data(), nullptr);
        rms_norm_backward<E>(x.data(), weight.data(), form, inverse.data(), dy.data(), nullptr, rows, width, nullptr,
                             dweight_alone.data());
        EXPECT_EQ(widened(dx_alone), widened(dx));
        EXPECT_EQ(dweight_alone, dweight);
      });
    }
}

// residual += x, and what stands in it then is normed; its gradient is added to dx before the rounding.
TYPED_TEST(Fused, RmsNormBehindAnAddition) {
  using E = TypeParam;
  for (const RmsNormForm& form : kForms)
    for (int64_t rows : {1, 3})
      for (int64_t width : kWidths) {
        const auto x = normals<E>(rows * width, 11), weight = normals<E>(width, 12), dy = normals<E>(rows * width, 13),
                   before = normals<E>(rows * width, 14), dsum = normals<E>(rows * width, 15);
        with_every_instruction_set([&] {
          std::vector<E> sum = before, y(rows * width), expected_sum(rows * width), expected(rows * width);
          std::vector<Accum<E>> inverse(rows), expected_inverse(rows);
          rms_norm_forward<E>(x.data(), sum.data(), weight.data(), form, rows, width, y.data(), inverse.data());
          for (size_t i = 0; i < x.size(); ++i)
            expected_sum[i] = narrow<E>(static_cast<Accum<E>>(widen(before[i])) + static_cast<Accum<E>>(widen(x[i])));
          rms_norm_forward<E>(expected_sum.data(), nullptr, weight.data(), form, rows, width, expected.data(),
                              expected_inverse.data());
          EXPECT_EQ(widened(sum), widened(expected_sum));
          EXPECT_EQ(widened(y), widened(expected));
          EXPECT_EQ(inverse, expected_inverse);

          std::vector<E> alone(rows * width), dx(rows * width), in_place = dsum;
          std::vector<Accum<E>> dweight(width, 1), dweight_alone(width, 1);
          rms_norm_backward<E>(sum.data(), weight.data(), form, inverse.data(), dy.data(), nullptr, rows, width,
                               alone.data(), dweight_alone.data());
          rms_norm_backward<E>(sum.data(), weight.data(), form, inverse.data(), dy.data(), dsum.data(), rows, width,
                               dx.data(), dweight.data());
          rms_norm_backward<E>(sum.data(), weight.data(), form, inverse.data(), dy.data(), in_place.data(), rows, width,
                               in_place.data(), nullptr);
          EXPECT_EQ(dweight, dweight_alone);
          EXPECT_EQ(widened(in_place), widened(dx));
          for (size_t i = 0; i < dx.size(); ++i) {  // `alone` is rounded once more
            const double own = widen(alone[i]), sum_i = own + widen(dsum[i]);
            EXPECT_NEAR(widen(dx[i]), sum_i, 2.02 * TestFixture::u * (std::abs(own) + std::abs(sum_i)));
          }
        });
      }
}

TEST(FusedSlopes, RmsNorm) {
  for (const RmsNormForm& form : kForms) {
    const int64_t rows = 2, width = 19;
    std::vector<double> x = normals<double>(rows * width, 6), weight = normals<double>(width, 7), y(rows * width),
                        inverse(rows);
    const std::vector<double> dy = normals<double>(rows * width, 8);
    const auto loss = [&] {
      rms_norm_forward<double>(x.data(), nullptr, weight.data(), form, rows, width, y.data(), inverse.data());
      double sum = 0;
      for (size_t i = 0; i < y.size(); ++i) sum += dy[i] * y[i];
      return sum;
    };
    with_every_instruction_set([&] {
      loss();
      std::vector<double> dx(x.size()), dweight(width, 0);
      rms_norm_backward<double>(x.data(), weight.data(), form, inverse.data(), dy.data(), nullptr, rows, width,
                                dx.data(), dweight.data());
      for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(dx[i], slope(loss, x[i]), 1e-8);
      for (int64_t i = 0; i < width; ++i) EXPECT_NEAR(dweight[i], slope(loss, weight[i]), 1e-8);
    });
  }
}

TYPED_TEST(Fused, SumBlocks) {
  using E = TypeParam;
  for (int64_t num_blocks : {0, 1, 5})
    for (int64_t width : kWidths) {
      const std::vector<Accum<E>> blocks = normals<Accum<E>>(num_blocks * width, 9);
      with_every_instruction_set([&] {
        std::vector<E> out(width);
        sum_blocks<E>(blocks.data(), num_blocks, width, out.data());
        for (int64_t i = 0; i < width; ++i) {
          Accum<E> sum = 0;
          for (int64_t b = 0; b < num_blocks; ++b) sum += blocks[b * width + i];
          EXPECT_EQ(widen(out[i]), widen(narrow<E>(sum)));
        }
      });
    }
}

TYPED_TEST(Fused, RopeTurnsAndTurnsBack) {
  using E = TypeParam;
  using A = Accum<E>;
  const int64_t tokens = 3, heads = 2;
  for (int64_t half : {1, 7, 8, 16, 17, 32}) {
    // Rows with room around each head: strides are not the dense ones.
    const RopeShape shape{tokens, heads, 2 * half, heads * (2 * half + 3) + 5, 2 * half + 3};
    const std::vector<E> x = normals<E>(tokens * shape.token_stride, 10);
    std::vector<A> cos, sin;
    for (int64_t i = 0; i < tokens * half; ++i) cos.push_back(std::cos(0.3 * i)), sin.push_back(std::sin(0.3 * i));
    with_every_instruction_set([&] {
      std::vector<E> y(tokens * heads * 2 * half), back(y.size());
      rope(x.data(), cos.data(), sin.data(), shape, true, y.data());
      const RopeShape dense{tokens, heads, 2 * half, heads * 2 * half, 2 * half};
      rope(y.data(), cos.data(), sin.data(), dense, false, back.data());
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t n = 0; n < heads; ++n)
          for (int64_t i = 0; i < half; ++i) {
            const E* head = x.data() + t * shape.token_stride + n * shape.head_stride;
            const int64_t at = (t * heads + n) * 2 * half + i;
            const double p = widen(head[i]), q = widen(head[half + i]), c = cos[t * half + i], s = sin[t * half + i];
            const double size = std::abs(p) + std::abs(q);
            EXPECT_NEAR(widen(y[at]), p * c - q * s, size * (TestFixture::u + 3 * TestFixture::a));
            EXPECT_NEAR(widen(y[at + half]), q * c + p * s, size * (TestFixture::u + 3 * TestFixture::a));
            EXPECT_NEAR(widen(back[at]), p, 3 * size * (TestFixture::u + 3 * TestFixture::a));
            EXPECT_NEAR(widen(back[at + half]), q, 3 * size * (TestFixture::u + 3 * TestFixture::a));
          }
    });
  }
}

TYPED_TEST(Fused, GluForwardAndBackward) {
  using E = TypeParam;
  const int64_t rows = 2;
  for (int64_t width : kWidths)
    for (const Activation activation : kActivations) {
      std::vector<E> gate_up = normals<E>(rows * 2 * width, 11, 3.0);
      if (width > 16)
        gate_up[3] = narrow<E>(-200), gate_up[4] = narrow<E>(200);  // far outside, where exp is 0 or infinite
      const std::vector<E> dout = normals<E>(rows * width, 12);
      with_every_instruction_set([&] {
        std::vector<E> out(rows * width + 1, narrow<E>(-7)), dgate_up(rows * 2 * width);
        glu_forward(gate_up.data(), activation, rows, width, out.data());
        glu_backward(gate_up.data(), dout.data(), activation, rows, width, dgate_up.data());
        EXPECT_EQ(widen(out.back()), -7);
        for (int64_t t = 0; t < rows; ++t)
          for (int64_t i = 0; i < width; ++i) {
            const double g = widen(gate_up[t * 2 * width + i]), up = widen(gate_up[t * 2 * width + width + i]);
            const double d = widen(dout[t * width + i]);
            const ActivationValue act = activation_value(activation, g);
            const double tiny = std::numeric_limits<float>::min();  // below it, floats are no longer relative
            // exp's two units are four roundings, then a handful more. What GELU's exponent is off by (four roundings
            // of it) is relative in exp; 1 − σ is exact to one rounding of 1.
            const double of_exponent = activation == Activation::Silu ? 0 : 6 * std::min(std::abs(act.exponent), 90.0);
            const auto near = [&](E value, double expected, double magnitude) {
              EXPECT_NEAR(widen(value), expected,
                          std::abs(expected) * TestFixture::u + magnitude * (12 + of_exponent) * TestFixture::a + tiny);
            };
            near(out[t * width + i], act.value * up, std::abs(act.value * up));
            const double sigma = g == 0 ? 0.5 : act.value / g;
            near(dgate_up[t * 2 * width + i], d * up * act.slope,
                 std::abs(d * up) * sigma * (1 + std::abs(act.exponent) * (activation == Activation::Silu ? 1 : 3)));
            near(dgate_up[t * 2 * width + width + i], d * act.value, std::abs(d * act.value));
          }
      });
    }
}

TEST(FusedSlopes, Glu) {
  const int64_t rows = 2, width = 11;
  for (const Activation activation : kActivations) {
    std::vector<double> gate_up = normals<double>(rows * 2 * width, 13, 2.0), out(rows * width);
    const std::vector<double> dout = normals<double>(rows * width, 14);
    const auto loss = [&] {
      glu_forward(gate_up.data(), activation, rows, width, out.data());
      double sum = 0;
      for (size_t i = 0; i < out.size(); ++i) sum += dout[i] * out[i];
      return sum;
    };
    std::vector<double> dgate_up(gate_up.size());
    glu_backward(gate_up.data(), dout.data(), activation, rows, width, dgate_up.data());
    for (size_t i = 0; i < gate_up.size(); ++i) EXPECT_NEAR(dgate_up[i], slope(loss, gate_up[i]), 1e-8);
  }
}

}  // namespace
}  // namespace thinktune::kernels
