// A sentencepiece model file (protocol buffer sentencepiece.ModelProto), as far as it matters here: read and checked
// before the library sees it, and written for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::text {

struct SentencepieceModel {
  enum Type : int64_t { kUnigram = 1, kBpe = 2 };
  // sentencepiece's numbers, which ggml's token types repeat.
  enum PieceType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    int64_t type = kNormal;
  };

  Type type = kUnigram;
  std::vector<Piece> pieces;
  bool byte_fallback = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string normalizer_name = "identity";
  std::string precompiled_charsmap;
  int64_t unk_id = 0;
  int64_t bos_id = 1;
  int64_t eos_id = 2;
  int64_t pad_id = -1;
};

// Throws Error{Data} for what is no such file, and for a model of another kind (word, char, white space as a suffix).
SentencepieceModel read_sentencepiece_model(std::string_view bytes, const std::string& where);

// Throws Error{Data} for a model that the library could not be trusted with: a piece twice, empty, not UTF-8, a score
// that is no number, no unknown piece or two, ids out of range, a normaliser's table that points outside of itself.
void check_sentencepiece_model(const SentencepieceModel& model, const std::string& where);

std::string write_sentencepiece_model(const SentencepieceModel& model);

}  // namespace thinktune::text
