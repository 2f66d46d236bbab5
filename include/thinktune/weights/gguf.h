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
  // A file, or the first part of a split model (NAME-00001-of-00003.gguf): the other parts are opened with it. Throws
  // Error{User}: missing file; Error{Data}: magic, version, truncation (naming what was being read), text that is not
  // UTF-8, a tensor outside the file, a type that is not known, a name twice; a part that is missing or of another
  // model.
  explicit Gguf(const std::filesystem::path& path);

  std::string where() const override { return files_.front().path().string(); }

  const GgufValue* find_value(std::string_view key) const;  // nullptr if absent

  // The value, or Error{Data} naming key and file if it is absent or of another type.
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;  // accepts an integer
  const std::string& text(std::string_view key) const;
  const std::vector<std::string>& texts(std::string_view key) const;
  const std::vector<int64_t>& integers(std::string_view key) const;
  const std::vector<double>& numbers(std::string_view key) const;

 private:
  std::vector<core::MappedFile> files_;  // the parts, in order
  std::vector<std::pair<std::string, GgufValue>> values_;
};

}  // namespace thinktune::weights
