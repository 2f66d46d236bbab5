// What the reader and the writer of GGUF agree on. The layout (little-endian; string = uint64 length and bytes):
//
//   "GGUF"  uint32 version  uint64 num_tensors  uint64 num_values
//   num_values x { string key, uint32 type, value }            an array: uint32 item type, uint64 count, items
//   num_tensors x { string name, uint32 num_dims, uint64 dims[] (fastest first), uint32 ggml type, uint64 offset }
//   padding to general.alignment (default 32), then the tensors at their offsets, which are multiples of the alignment
//
// Source: docs/gguf.md of ggml.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace thinktune::weights {

enum class GgufType : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };

inline constexpr std::array<char, 4> kGgufMagic = {'G', 'G', 'U', 'F'};
inline constexpr uint32_t kGgufVersion = 3;  // what is written; 2 has the same layout
inline constexpr uint32_t kMaxDims = 4;      // GGML_MAX_DIMS
inline constexpr uint64_t kDefaultAlignment = 32;
inline constexpr std::string_view kAlignmentKey = "general.alignment";

// Names of ggml's types, also of those that cannot be read: a message with "IQ4_XS" helps, one with "23" does not.
inline constexpr std::array<std::pair<uint32_t, std::string_view>, 34> kGgmlTypes = {{
    {0, "F32"},      {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},   {6, "Q5_0"},    {7, "Q5_1"},   {8, "Q8_0"},
    {9, "Q8_1"},     {10, "Q2_K"},   {11, "Q3_K"},    {12, "Q4_K"},  {13, "Q5_K"},   {14, "Q6_K"},  {15, "Q8_K"},
    {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},
    {23, "IQ4_XS"},  {24, "I8"},     {25, "I16"},     {26, "I32"},   {27, "I64"},    {28, "F64"},   {29, "IQ1_M"},
    {30, "BF16"},    {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"}, {40, "NVFP4"},  {41, "Q1_0"},
}};

}  // namespace thinktune::weights
