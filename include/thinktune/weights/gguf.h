// GGUF v2 and v3: one file with a model's configuration, tokenizer and weights (the format of llama.cpp).
// Memory-mapped; every size and offset in it is checked before it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "thinktune/core/atomic_file.h"
#include "thinktune/weights/tensor_source.h"

namespace thinktune::weights {

// A metadata value. Integers of every width are int64 (uint64 beyond its range is refused), floats are double.
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>>;

class Gguf final : public TensorSource {
 public:
  // Throws Error{Data}: missing file, wrong magic, version, truncation (naming what was being read), a tensor outside
  // the file, a type that is not known, a name twice.
  explicit Gguf(const std::filesystem::path& path);

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  std::string where() const override { return file_.path().string(); }

  const GgufValue* find_value(std::string_view key) const;  // nullptr if absent

  // The value, or Error{Data} naming key and file if it is absent or of another type.
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;  // accepts an integer
  const std::string& text(std::string_view key) const;
  const std::vector<std::string>& texts(std::string_view key) const;
  const std::vector<int64_t>& integers(std::string_view key) const;

 private:
  core::MappedFile file_;
  std::vector<std::pair<std::string, GgufValue>> values_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace thinktune::weights
