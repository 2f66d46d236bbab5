#include <algorithm>
#include <random>

#include "kernel_inputs.h"
#include "kernels/cuda/decode_attention.h"
#include "kernels/decode_attention.h"
#include "support/device_buffer.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

using test::DeviceBuffer;

template <class E>
class CudaAttention : public test::DeviceTest {};
using DeviceElements = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(CudaAttention, DeviceElements);

struct Lengths {
  int32_t prefix, tail;
  int32_t same_prefix_as = -1;  // the place whose prefix pages it shares
};

// Sequences with pages in a random order in one pool, and the rows of each in the order of their positions.
template <class E>
struct Case {
  cuda::PagedAttentionShape shape;
  int32_t page_rows;
  std::vector<Lengths> lengths;
  std::vector<E> q, key_pool, value_pool;
  std::vector<int32_t> prefix_pages, tail_pages, prefix_lengths, tail_lengths;
  int64_t page_stride, row_stride, num_pages = 0, max_prefix = 1, max_tail = 1;

  Case(cuda::PagedAttentionShape s, int32_t rows, std::vector<Lengths> l, uint64_t seed)
      : shape(s), page_rows(rows), lengths(std::move(l)) {
    shape.scale = 1 / std::sqrt(static_cast<double>(shape.head_size));
    shape.q_stride = shape.num_kv_heads * shape.group_size * shape.head_size + 16;  // keys stand between
    row_stride = shape.num_kv_heads * shape.head_size + 8;
    page_stride = page_rows * row_stride + 24;
    const auto pages_of = [&](int32_t n) { return (n + page_rows - 1) / page_rows; };
    for (const Lengths& n : lengths) {
      max_prefix = std::max<int64_t>(max_prefix, pages_of(n.prefix));
      max_tail = std::max<int64_t>(max_tail, pages_of(n.tail));
      num_pages += pages_of(n.prefix) + pages_of(n.tail);
    }
    std::vector<int32_t> free(num_pages);
    for (int32_t i = 0; i < num_pages; ++i) free[i] = i;
    std::shuffle(free.begin(), free.end(), std::mt19937(static_cast<uint32_t>(seed)));
    const size_t batch = lengths.size();
    prefix_pages.assign(batch * max_prefix, -1);
    tail_pages.assign(batch * max_tail, -1);
    for (size_t b = 0; b < batch; ++b) {
      for (int32_t i = 0; i < pages_of(lengths[b].prefix); ++i) {
        const int32_t other = lengths[b].same_prefix_as;
        prefix_pages[b * max_prefix + i] = other >= 0 ? prefix_pages[other * max_prefix + i] : free.back();
        if (other < 0) free.pop_back();
      }
      for (int32_t i = 0; i < pages_of(lengths[b].tail); ++i) {
        tail_pages[b * max_tail + i] = free.back();
        free.pop_back();
      }
      prefix_lengths.push_back(lengths[b].prefix);
      tail_lengths.push_back(lengths[b].tail);
    }
    q = normals<E>(static_cast<int64_t>(batch) * shape.q_stride, seed, 2.0);
    key_pool = normals<E>(num_pages * page_stride, seed + 1);
    value_pool = normals<E>(num_pages * page_stride, seed + 2);
  }

  int64_t offset(size_t b, int32_t position) const {
    const bool in_tail = position >= lengths[b].prefix;
    const int32_t row = in_tail ? position - lengths[b].prefix : position;
    const int32_t page =
        in_tail ? tail_pages[b * max_tail + row / page_rows] : prefix_pages[b * max_prefix + row / page_rows];
    return page * page_stride + row % page_rows * row_stride;
  }
  int64_t heads() const { return shape.num_kv_heads * shape.group_size; }

  std::vector<E> run(int64_t splits) const {
    DeviceBuffer<E> q_d(q), keys(key_pool), values(value_pool), out(lengths.size() * heads() * shape.head_size);
    DeviceBuffer<int32_t> pp(prefix_pages), tp(tail_pages), pl(prefix_lengths), tl(tail_lengths);
    cuda::PagedAttentionShape with = shape;
    with.num_splits = splits;
    const auto batch = static_cast<int64_t>(lengths.size());
    DeviceBuffer<unsigned char> scratch(cuda::paged_attention_scratch_bytes(with, batch));
    cuda::paged_attention<E>(q_d.data(), {keys.data(), values.data(), page_stride, row_stride, page_rows},
                             {batch, pp.data(), pl.data(), tp.data(), tl.data(), max_prefix, max_tail}, with,
                             scratch.data(), out.data(), nullptr);
    return out.read();
  }

  // Against the double twin, which reads the rows in order; the bound is that of tests/kernels/decode_attention_test.
  void expect_right(const std::vector<E>& out) const {
    const double a = kRoundoff<float>, u = kRoundoff<E>;
    const int64_t size = shape.head_size;
    for (size_t b = 0; b < lengths.size(); ++b) {
      const int32_t end = lengths[b].tail > 0 ? lengths[b].prefix + lengths[b].tail : 0;
      const int32_t begin = shape.window > 0 ? std::max<int32_t>(0, end - static_cast<int32_t>(shape.window)) : 0;
      for (int64_t n = 0; n < heads(); ++n) {
        const int64_t kv = n / shape.group_size;
        std::vector<double> query(size), keys, values, expected(size), magnitude(size);
        for (int64_t h = 0; h < size; ++h) query[h] = widen(q[b * shape.q_stride + n * size + h]);
        for (int32_t t = begin; t < end; ++t)
          for (int64_t h = 0; h < size; ++h) {
            keys.push_back(widen(key_pool[offset(b, t) + kv * size + h]));
            values.push_back(widen(value_pool[offset(b, t) + kv * size + h]));
          }
        if (end > begin) {
          const DecodeShape twin{1, 1, size, size, shape.scale, shape.softcap};
          std::vector<double> scratch(decode_attention_scratch(twin));
          KvRows<double> rows{keys.data(), values.data(), end - begin};
          decode_attention(query.data(), &rows, 1, twin, {}, scratch.data(), expected.data());
          for (double& v : values) v = std::abs(v);
          decode_attention(query.data(), &rows, 1, twin, {}, scratch.data(), magnitude.data());
        }
        double q_norm = 0, k_norm = 0;
        for (double v : query) q_norm += v * v;
        for (int32_t t = 0; t < end - begin; ++t) {
          double sum = 0;
          for (int64_t h = 0; h < size; ++h) sum += keys[t * size + h] * keys[t * size + h];
          k_norm = std::max(k_norm, sum);
        }
        const double score = std::sqrt(q_norm * k_norm) * shape.scale;  // no score is above it
        const double relative = 2 * (score * (std::sqrt(static_cast<double>(size)) + 8) + std::sqrt(end) + 24) * a;
        for (int64_t h = 0; h < size; ++h)
          ASSERT_NEAR(widen(out[(b * heads() + n) * size + h]), expected[h],
                      std::abs(expected[h]) * u + magnitude[h] * relative)
              << "sequence " << b << " head " << n << " element " << h;
      }
    }
  }
};

const std::vector<Lengths> kMixed = {{0, 1},   {37, 1}, {37, 19, 1}, {0, 0},    {128, 1},
                                     {127, 1}, {5, 0},  {0, 257},    {130, 131}};

TYPED_TEST(CudaAttention, EqualsTheDoubleTwinAtEveryHeadSize) {
  for (int64_t head_size : {8, 16, 64, 72, 80, 96, 112, 128, 192, 256}) {
    SCOPED_TRACE(head_size);
    const Case<TypeParam> c({.num_kv_heads = 2, .group_size = 3, .head_size = head_size, .max_context = 300}, 16,
                            kMixed, 3);
    c.expect_right(c.run(2));
  }
}

TYPED_TEST(CudaAttention, EqualsTheDoubleTwinAtEveryGroupSize) {
  for (int64_t group : {1, 2, 4, 5, 8, 9}) {
    SCOPED_TRACE(group);
    const Case<TypeParam> c({.num_kv_heads = 1, .group_size = group, .head_size = 64, .max_context = 261}, 32, kMixed,
                            4);
    c.expect_right(c.run(1));
  }
}

// The most shared memory that a block may ask for.
TYPED_TEST(CudaAttention, EqualsTheDoubleTwinInTheLargestBlocks) {
  for (int64_t group : {7, 8, 9, 16}) {
    SCOPED_TRACE(group);
    const Case<TypeParam> c({.num_kv_heads = 2, .group_size = group, .head_size = 256, .max_context = 261}, 16, kMixed,
                            13);
    c.expect_right(c.run(2));
  }
}

TYPED_TEST(CudaAttention, CapsScoresAndForgetsWhatIsBehindTheWindow) {
  for (double softcap : {0.0, 5.0})
    for (int64_t window : {0, 1, 64, 130, 1000}) {
      SCOPED_TRACE(testing::Message() << softcap << " " << window);
      const Case<TypeParam> c({.num_kv_heads = 1,
                               .group_size = 4,
                               .head_size = 32,
                               .max_context = 261,
                               .window = window,
                               .softcap = softcap},
                              8, kMixed, 5);
      c.expect_right(c.run(3));
    }
}

TYPED_TEST(CudaAttention, DoesNotDependOnTheSplits) {
  const Case<TypeParam> c({.num_kv_heads = 2, .group_size = 2, .head_size = 64, .max_context = 1000}, 64,
                          {{300, 500}, {0, 1}, {300, 2, 0}, {0, 999}}, 6);
  const auto expected = widened(c.run(1));
  for (int64_t splits : {2, 3, 8, 100}) EXPECT_EQ(widened(c.run(splits)), expected);
  c.expect_right(c.run(1));
}

// What a CUDA graph relies on: recorded once, right for every length and every page that the tables hold later.
TYPED_TEST(CudaAttention, ReplaysWithOtherLengthsAndPages) {
  using E = TypeParam;
  Case<E> c({.num_kv_heads = 2, .group_size = 2, .head_size = 64, .max_context = 300}, 16,
            {{37, 200}, {0, 150}, {37, 1, 0}, {0, 33}}, 12);
  const int64_t batch = 4;
  c.shape.num_splits = 2;
  DeviceBuffer<E> q(c.q), keys(c.key_pool), values(c.value_pool), out(batch * c.heads() * 64);
  DeviceBuffer<int32_t> pp(c.prefix_pages), tp(c.tail_pages), pl(c.prefix_lengths);
  DeviceBuffer<int32_t> tl(std::vector<int32_t>(batch, 1));
  DeviceBuffer<unsigned char> scratch(cuda::paged_attention_scratch_bytes(c.shape, batch));
  test::Recording recording([&](cuda::Stream stream) {
    cuda::paged_attention<E>(q.data(), {keys.data(), values.data(), c.page_stride, c.row_stride, c.page_rows},
                             {batch, pp.data(), pl.data(), tp.data(), tl.data(), c.max_prefix, c.max_tail}, c.shape,
                             scratch.data(), out.data(), stream);
  });
  const std::vector<std::vector<int32_t>> lengths = {{1, 1, 1, 1}, {92, 0, 1, 33}, {129, 150, 0, 5}, {200, 149, 1, 0}};
  for (size_t step = 0; step < lengths.size(); ++step) {
    SCOPED_TRACE(step);
    for (int b = 0; b < batch; ++b) c.lengths[b].tail = lengths[step][b];
    if (step == 2) {  // places 0 and 1 change their tails
      for (int64_t i = 0; i < 3; ++i) std::swap(c.tail_pages[i], c.tail_pages[c.max_tail + i]);
      tp.write(c.tail_pages);
    }
    tl.write(lengths[step]);
    recording.run();
    c.expect_right(out.read());
  }
}

TYPED_TEST(CudaAttention, GivesNaNBeyondTheLargestContextAndZerosInEmptyPlaces) {
  const Case<TypeParam> c({.num_kv_heads = 1, .group_size = 1, .head_size = 16, .max_context = 128}, 16,
                          {{0, 129}, {0, 0}, {7, 0}, {0, 128}}, 7);
  const auto out = widened(c.run(1));
  for (int i = 0; i < 16; ++i) {
    EXPECT_TRUE(std::isnan(out[i]));
    EXPECT_EQ(out[16 + i], 0);
    EXPECT_EQ(out[32 + i], 0);
    EXPECT_TRUE(std::isfinite(out[48 + i]));
  }
}

TYPED_TEST(CudaAttention, RefusesWhatTheContractExcludes) {
  Case<TypeParam> c({.num_kv_heads = 1, .group_size = 1, .head_size = 16, .max_context = 16}, 16, {{0, 3}}, 8);
  c.shape.head_size = 12;
  EXPECT_THROW(c.run(1), core::Error);
  c.shape.head_size = 264;
  EXPECT_THROW(c.run(1), core::Error);
  c.shape.head_size = 16;
  c.page_rows = 12;
  EXPECT_THROW(c.run(1), core::Error);
}

TYPED_TEST(CudaAttention, WritesNewRowsIntoTheirPages) {
  using E = TypeParam;
  const int64_t kv_heads = 3, head_size = 16, width = kv_heads * head_size;
  const Case<E> c({.num_kv_heads = kv_heads, .group_size = 1, .head_size = head_size, .max_context = 300}, 16, kMixed,
                  9);
  const auto batch = static_cast<int64_t>(c.lengths.size());
  const int64_t stride = 3 * width;  // of a fused product
  const auto keys = normals<E>(batch * stride, 10), values = normals<E>(batch * stride, 11);
  DeviceBuffer<E> keys_d(keys), values_d(values), key_pool(c.key_pool), value_pool(c.value_pool);
  DeviceBuffer<int32_t> tp(c.tail_pages), tl(c.tail_lengths);
  const cuda::KvPages<E> pages{key_pool.data(), value_pool.data(), c.page_stride, c.row_stride, c.page_rows};
  cuda::PagedSequences sequences{
      .batch = batch, .tail_pages = tp.data(), .tail_lengths = tl.data(), .max_tail_pages = c.max_tail};
  cuda::append_kv<E>(keys_d.data(), values_d.data(), stride, pages, sequences, kv_heads, head_size, nullptr);

  auto expected_keys = c.key_pool, expected_values = c.value_pool;
  std::vector<int64_t> slots;
  for (int64_t b = 0; b < batch; ++b) {
    slots.push_back(-1);
    if (c.lengths[b].tail == 0) continue;
    const int32_t row = c.lengths[b].tail - 1, page = c.tail_pages[b * c.max_tail + row / c.page_rows];
    slots.back() = int64_t{page} * c.page_rows + row % c.page_rows;
    for (int64_t i = 0; i < width; ++i) {
      expected_keys[page * c.page_stride + row % c.page_rows * c.row_stride + i] = keys[b * stride + i];
      expected_values[page * c.page_stride + row % c.page_rows * c.row_stride + i] = values[b * stride + i];
    }
  }
  EXPECT_EQ(widened(key_pool.read()), widened(expected_keys));
  EXPECT_EQ(widened(value_pool.read()), widened(expected_values));

  key_pool.write(c.key_pool);
  value_pool.write(c.value_pool);
  DeviceBuffer<int64_t> slots_d(slots);
  cuda::write_kv<E>(keys_d.data(), values_d.data(), stride, slots_d.data(), batch, pages, kv_heads, head_size, nullptr);
  EXPECT_EQ(widened(key_pool.read()), widened(expected_keys));
  EXPECT_EQ(widened(value_pool.read()), widened(expected_values));
}

}  // namespace
}  // namespace thinktune::kernels
