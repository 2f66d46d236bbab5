// A Jinja chat template as a flat list of what it prints and what it decides, so that two spellings of one template
// compare equal: white space around and inside tags, quotes, 'a' + 'b' or 'ab', m['role'] or m.role, text inside or
// outside {{ }}.
//
// It reads templates, it does not run them. What it does not understand stays in the list as it is written and matches
// nothing.
#pragma once

#include <string>
#include <vector>

namespace thinktune::text {

struct JinjaItem {
  enum class Kind {
    Text,   // printed as it is; neighbours are joined
    Value,  // {{ expression }}: "message.role"
    Tag,    // {% statement %}: "for message in messages"
  };
  Kind kind;
  std::string text;

  bool operator==(const JinjaItem&) const = default;
};

// As transformers sets Jinja up: trim_blocks and lstrip_blocks on, one newline at the template's end dropped. Throws
// Error{Data} for a tag or a string that does not end.
std::vector<JinjaItem> jinja_items(const std::string& source);

}  // namespace thinktune::text
