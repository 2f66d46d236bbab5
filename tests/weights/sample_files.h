// Small GGUF and safetensors files, built byte by byte, and the ways in which tests damage them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/errors.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/random.h"
#include "thinktune/weights/convert.h"
#include "thinktune/weights/tensor_source.h"

namespace thinktune::test {

// The numbers of GGUF's value types and of ggml's tensor types, as the format's description has them.
enum GgufType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };
enum GgmlType : uint32_t {
  kTensorF32 = 0,
  kTensorF16 = 1,
  kTensorQ4_0 = 2,
  kTensorQ4_1 = 3,
  kTensorQ5_0 = 6,
  kTensorQ5_1 = 7,
  kTensorQ8_0 = 8,
  kTensorQ2_K = 10,
  kTensorQ3_K = 11,
  kTensorQ4_K = 12,
  kTensorQ5_K = 13,
  kTensorQ6_K = 14,
  kTensorBF16 = 30
};

template <class T>
std::string bytes_of_value(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string bytes_of_text(std::string_view text) {
  return bytes_of_value<uint64_t>(text.size()) + std::string(text);
}

template <class T>
std::string bytes_of_array(uint32_t type, const std::vector<T>& items) {
  std::string bytes = bytes_of_value(type) + bytes_of_value<uint64_t>(items.size());
  for (const T& item : items) {
    if constexpr (std::is_same_v<T, std::string>)
      bytes += bytes_of_text(item);
    else
      bytes += bytes_of_value(item);
  }
  return bytes;
}

inline std::string random_bytes(size_t count, uint64_t seed) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i)
    bytes[i] =
        static_cast<char>(core::random_bits({.seed = seed, .stream = core::Stream::Init}, static_cast<uint32_t>(i)));
  return bytes;
}

struct SampleGguf {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;                          // of this builder; the key is added by the test
  std::optional<uint64_t> num_tensors, num_values;  // announced instead of the true ones
  uint64_t true_num_tensors = 0, true_num_values = 0;
  std::string values, infos, data;

  void add_value(std::string_view key, uint32_t type, const std::string& value) {
    values += bytes_of_text(key) + bytes_of_value(type) + value;
    ++true_num_values;
  }
  void add_info(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    infos += bytes_of_text(name) + bytes_of_value(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) infos += bytes_of_value(dim);
    infos += bytes_of_value(type) + bytes_of_value(offset);
    ++true_num_tensors;
  }
  void add_tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, const std::string& content) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    add_info(name, dims, type, data.size());
    data += content;
  }
  std::string bytes() const {
    std::string file = magic + bytes_of_value(version) + bytes_of_value(num_tensors.value_or(true_num_tensors)) +
                       bytes_of_value(num_values.value_or(true_num_values)) + values + infos;
    if (!data.empty()) file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + data;
  }
};

// Every value type, every tensor type. It ends exactly at the end of a page and of its last tensor, so that a read past
// the file is a fault and not a zero.
inline SampleGguf sample_gguf() {
  constexpr size_t kPage = 4096;
  SampleGguf file;
  file.add_value("general.architecture", kString, bytes_of_text("llama"));
  file.add_value("v.u8", kU8, bytes_of_value<uint8_t>(200));
  file.add_value("v.i8", kI8, bytes_of_value<int8_t>(-100));
  file.add_value("v.u16", kU16, bytes_of_value<uint16_t>(60000));
  file.add_value("v.i16", kI16, bytes_of_value<int16_t>(-30000));
  file.add_value("v.u32", kU32, bytes_of_value<uint32_t>(4000000000u));
  file.add_value("v.i32", kI32, bytes_of_value<int32_t>(-2000000000));
  file.add_value("v.u64", kU64, bytes_of_value<uint64_t>(uint64_t{1} << 40));
  file.add_value("v.i64", kI64, bytes_of_value<int64_t>(-(int64_t{1} << 40)));
  file.add_value("v.f32", kF32, bytes_of_value<float>(0.25f));
  file.add_value("v.f64", kF64, bytes_of_value<double>(1e-300));
  file.add_value("v.bool", kBool, bytes_of_value<uint8_t>(1));
  file.add_value("a.i32", kArray, bytes_of_array<int32_t>(kI32, {1, -2, 3}));
  file.add_value("a.u8", kArray, bytes_of_array<uint8_t>(kU8, {255}));
  file.add_value("a.u64", kArray, bytes_of_array<uint64_t>(kU64, {}));
  file.add_value("a.bool", kArray, bytes_of_array<uint8_t>(kBool, {1, 0}));
  file.add_value("a.f32", kArray, bytes_of_array<float>(kF32, {0.5f, -1.5f}));
  file.add_value("a.f64", kArray, bytes_of_array<double>(kF64, {2.5}));
  file.add_value("a.text", kArray, bytes_of_array<std::string>(kString, {"one", "", "dr\xc3\xa4i"}));
  file.add_tensor("f32", {3, 2}, kTensorF32, random_bytes(24, 1));
  file.add_tensor("f16", {5}, kTensorF16, random_bytes(10, 2));
  file.add_tensor("bf16", {1, 2, 3}, kTensorBF16, random_bytes(12, 3));
  file.add_tensor("q8_0", {32, 3}, kTensorQ8_0, random_bytes(102, 4));
  file.add_tensor("q4_0", {64}, kTensorQ4_0, random_bytes(36, 5));
  file.add_tensor("q4_1", {32, 1, 1, 2}, kTensorQ4_1, random_bytes(40, 6));
  file.add_tensor("q5_0", {32}, kTensorQ5_0, random_bytes(22, 7));
  file.add_tensor("scalar", {}, kTensorF32, random_bytes(4, 8));
  file.add_tensor("empty", {32, 0}, kTensorF32, "");
  file.add_tensor("q5_1", {32, 4}, kTensorQ5_1, random_bytes(96, 9));
  file.add_tensor("q2_k", {256, 2}, kTensorQ2_K, random_bytes(168, 10));
  file.add_tensor("q3_k", {256}, kTensorQ3_K, random_bytes(110, 11));
  file.add_tensor("q5_k", {256}, kTensorQ5_K, random_bytes(176, 13));
  file.add_tensor("q6_k", {256}, kTensorQ6_K, random_bytes(210, 14));
  // The last one fills whole alignments, or no filler would make the file end at a page.
  file.add_tensor("q4_k", {512}, kTensorQ4_K, random_bytes(288, 12));
  for (size_t filler = 0;; ++filler) {
    SampleGguf whole_pages = file;
    whole_pages.add_value("fill", kString, bytes_of_text(std::string(filler, 'x')));
    if (whole_pages.bytes().size() % kPage == 0) return whole_pages;
  }
}

inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return bytes_of_value<uint64_t>(header.size()) + header + data;
}

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

inline std::string read_bytes(const std::filesystem::path& path) { return core::read_file(path, "test file"); }

inline const std::vector<weights::DType>& every_dtype() {
  using enum weights::DType;
  static const std::vector<weights::DType> types = {F32,  F16,  BF16, Q8_0, Q4_0, Q4_1, Q5_0,
                                                    Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K};
  return types;
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Reads everything that a source offers, as a loader would.
inline void read_all(const weights::TensorSource& source) {
  for (const weights::TensorInfo& tensor : source.tensors()) {
    std::vector<float> values(tensor.num_elements());
    weights::to_float(tensor, values.data());
  }
}

// Cuts a good file to every shorter length and requires, each time, Error{Data} that says that something is missing.
template <class Open>
void expect_every_truncation_refused(const std::string& good, const std::filesystem::path& path, Open open) {
  write_bytes(path, good);
  for (size_t length = good.size(); length-- > 0;) {
    std::filesystem::resize_file(path, length);
    const std::string message = message_of_error(core::ErrorKind::Data, [&] { open(path); });
    const auto says = [&](const char* words) { return message.find(words) != std::string::npos; };
    EXPECT_TRUE(says("truncated in ") || says("outside the file") || says("announced, but") || says("bytes are no"))
        << message;
    if (testing::Test::HasFailure()) FAIL() << "cut to " << length << " of " << good.size() << " bytes";
  }
}

// Opens `rounds` variants of `good`, each with one to three bytes changed, and requires success or Error{Data}. Returns
// how many were refused.
template <class Open>
int count_refused_mutations(const std::string& good, int rounds, const std::filesystem::path& path, Open open) {
  write_bytes(path, good);
  int num_refused = 0;
  for (int round = 0; round < rounds; ++round) {
    const core::RandomKey key{.seed = 7, .stream = core::Stream::Init, .step = static_cast<uint64_t>(round)};
    std::string bytes = good;
    const uint64_t num_changes = 1 + core::random_below(key, 0, 3);
    for (uint32_t i = 0; i < num_changes; ++i) {
      char& byte = bytes[core::random_below(key, 1 + 2 * i, bytes.size())];
      byte = static_cast<char>(byte ^ static_cast<char>(1 + core::random_below(key, 2 + 2 * i, 255)));
    }
    std::fstream(path, std::ios::binary | std::ios::in | std::ios::out) << bytes;  // in place: truncating first is slow
    try {
      open(path);
    } catch (const core::Error& error) {
      EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(core::ErrorKind::Data))
          << "round " << round << ": " << error.what();
      ++num_refused;
    }
  }
  return num_refused;
}

}  // namespace thinktune::test
