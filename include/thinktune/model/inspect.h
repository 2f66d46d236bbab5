// What there is to know of a model before it is used, and what looks wrong with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/model/pretrained.h"

namespace thinktune::model {

struct Inspection {
  struct Count {
    std::string name;
    int64_t tensors = 0;
    int64_t parameters = 0;
    int64_t bytes = 0;  // in the files
  };
  std::vector<Count> parts;           // embedding, attention, MLP, norms, head
  std::vector<Count> dtypes;          // as stored
  std::string tokenizer;              // one line; empty: none that can be read
  std::string chat_template;          // one line; empty: none that can be read
  std::string end_of_turn;            // ids and their text, the one that is written first
  std::vector<std::string> problems;  // each one sentence, with what to do
};

// Never throws for what is wrong with tensors, tokenizer or template: that is a problem of the list.
Inspection inspect(const Pretrained& model, const VocabularyRequest& request);

}  // namespace thinktune::model
