// What happens to a text before anything else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/pipeline_spec.h"
#include "text/regex.h"

namespace thinktune::text {

// Immutable; any number of threads.
class Normalizer {
 public:
  Normalizer() = default;
  Normalizer(const std::vector<NormalizerStep>& steps, const std::string& where);

  bool is_identity() const { return steps_.empty(); }

  // The normalised text: `text` itself, or what is then in `buffer`. Bytes that are not UTF-8 stay as they are.
  // `with_prefix` false: a Prepend step does nothing.
  std::string_view apply(std::string_view text, bool with_prefix, std::string& buffer) const;

 private:
  struct Step {
    NormalizerStep spec;
    std::vector<Regex> regex;  // one, or none
  };
  std::vector<Step> steps_;
};

}  // namespace thinktune::text
