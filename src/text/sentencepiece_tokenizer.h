// A sentencepiece model as a Tokenizer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/pipeline_spec.h"
#include "text/sentencepiece_model.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

struct SentencepieceOptions {
  bool adds_bos = true;  // add_special_tokens: where the model has the piece
  bool adds_eos = false;
  std::vector<AddedToken>
      stripping;  // id, lstrip and rstrip of control pieces that take in the white space beside them
};

// Throws Error{Data} as check_sentencepiece_model does, and for what the library refuses.
std::unique_ptr<Tokenizer> make_sentencepiece(SentencepieceModel model, const SentencepieceOptions& options,
                                              const std::string& where);

// The tokenizer.json of a BPE model. Throws Error{Data} for a unigram one.
std::string sentencepiece_to_tokenizer_json(const SentencepieceModel& model, const SentencepieceOptions& options,
                                            const std::string& where);

}  // namespace thinktune::text
