// Finds a vocabulary's added tokens (special ones and others) in a text, before the model sees it.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "text/pipeline_spec.h"

namespace thinktune::text {

// A text that segments were joined into, and in which parts of it special tokens are to be recognised.
struct MarkedText {
  struct Part {
    size_t end;  // it begins where the one before it ends; parts are not empty
    Special special;
  };
  std::string_view text;
  std::vector<Part> parts;

  // [begin, end) of it.
  MarkedText slice(size_t begin, size_t end) const;
};

// A part of a text: an added token, or (id -1) what is between them.
struct Stretch {
  TokenId id;
  size_t begin;
  size_t end;
};

// Immutable; any number of threads.
class AddedTokenFinder {
 public:
  AddedTokenFinder() { starts_.fill(false); }

  // Contents that are empty are never found; of equal ones the first.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }
  bool has_special() const { return has_special_; }

  // The stretches of `marked`, left to right, the longest token at each place. A special token counts only within one
  // part that says Parse; one that somebody typed (within one that says AsText) is passed over as a whole, as in the
  // reference with split_special_tokens.
  void find(const MarkedText& marked, std::vector<Stretch>& stretches) const;

 private:
  struct Range {
    size_t first;
    size_t last;
  };
  enum class Verdict { Taken, PassedOver, Shorter };

  void candidates_at(std::string_view text, std::vector<size_t>& found) const;
  static Verdict judge(const AddedToken& token, size_t begin, const MarkedText& marked, size_t part);

  std::vector<AddedToken> tokens_;  // by content
  std::array<bool, 256> starts_;    // by first byte
  std::array<Range, 256> ranges_{};
  bool has_special_ = false;
};

}  // namespace thinktune::text
