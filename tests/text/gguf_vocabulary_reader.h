// A GGUF file's tokenizer for tests: the room of the tokenizers knows nothing of files of weights.
#pragma once

#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "thinktune/core/atomic_file.h"
#include "thinktune/text/gguf_vocabulary.h"

namespace thinktune::test {

class GgufVocabularyReader {
 public:
  explicit GgufVocabularyReader(const std::filesystem::path& path) : file_(path) {
    take<uint32_t>();  // "GGUF"
    take<uint32_t>();  // version
    take<uint64_t>();  // tensors
    for (auto count = take<uint64_t>(); count > 0; --count) {
      const std::string key = text();
      read_value(key.starts_with("tokenizer.ggml.") ? key.substr(15) : "", take<uint32_t>());
    }
  }
  text::GgufVocabulary vocabulary;

 private:
  template <typename T>
  T take() {
    if (at_ + sizeof(T) > file_.size()) throw std::runtime_error("the GGUF file ends early");
    T value;
    std::memcpy(&value, file_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::string text() {
    const auto size = take<uint64_t>();
    if (size > file_.size() - at_) throw std::runtime_error("the GGUF file ends early");
    at_ += size;
    return {reinterpret_cast<const char*>(file_.data()) + at_ - size, size};
  }
  double number(uint32_t type) {
    switch (type) {
      case 0:
        return take<uint8_t>();
      case 1:
        return take<int8_t>();
      case 2:
        return take<uint16_t>();
      case 3:
        return take<int16_t>();
      case 4:
        return take<uint32_t>();
      case 5:
        return take<int32_t>();
      case 6:
        return take<float>();
      case 7:
        return take<uint8_t>();
      case 10:
        return static_cast<double>(take<uint64_t>());
      case 11:
        return static_cast<double>(take<int64_t>());
      case 12:
        return take<double>();
      default:
        throw std::runtime_error("an unknown GGUF type");
    }
  }
  void read_value(const std::string& key, uint32_t type) {
    if (type == 8) {
      const std::string value = text();
      if (key == "model") vocabulary.model = value;
      if (key == "pre") vocabulary.pre = value;
    } else if (type == 9) {
      const auto item = take<uint32_t>();
      for (auto count = take<uint64_t>(); count > 0; --count) {
        if (item == 8) {
          const std::string value = text();
          if (key == "tokens") vocabulary.tokens.push_back(value);
          if (key == "merges") vocabulary.merges.push_back(value);
        } else {
          const double value = number(item);
          if (key == "scores") vocabulary.scores.push_back(value);
          if (key == "token_type") vocabulary.types.push_back(static_cast<int64_t>(value));
        }
      }
    } else {
      const double value = number(type);
      if (key == "bos_token_id") vocabulary.bos_id = static_cast<int64_t>(value);
      if (key == "eos_token_id") vocabulary.eos_id = static_cast<int64_t>(value);
      if (key == "unknown_token_id") vocabulary.unk_id = static_cast<int64_t>(value);
      if (key == "padding_token_id") vocabulary.pad_id = static_cast<int64_t>(value);
      if (key == "add_space_prefix") vocabulary.add_space_prefix = value != 0;
      if (key == "add_bos_token") vocabulary.add_bos = value != 0;
      if (key == "add_eos_token") vocabulary.add_eos = value != 0;
    }
  }

  core::MappedFile file_;
  size_t at_ = 0;
};

inline text::GgufVocabulary read_gguf_vocabulary(const std::filesystem::path& path) {
  return GgufVocabularyReader(path).vocabulary;
}

}  // namespace thinktune::test
