// The JSON of a tokenizer.json, with its two large parts (vocabulary and merges) in flat memory: as nlohmann::json they
// would take seconds and gigabytes for 262,144 tokens.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_table.h"

namespace thinktune::text {

struct TokenizerJsonFile {
  nlohmann::json root;  // without model.vocab (if it is an object) and model.merges
  bool has_vocabulary = false;
  bool has_merges = false;
  TokenTable vocabulary;            // in the file's order
  std::vector<int64_t> ids;         // of each of them
  TokenTable merges;                // pairs: left, right, left, …; strings: one each
  std::vector<bool> is_merge_pair;  // one a merge
};

// Throws Error{Data}: not JSON, a name that is twice in an object, nesting deeper than any tokenizer's, a token's id
// that is no number, a merge that is none.
TokenizerJsonFile parse_tokenizer_json(std::string_view json, const std::string& where);

}  // namespace thinktune::text
