// What the tests of the template language share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/errors.h"
#include "thinktune/core/error.h"
#include "thinktune/text/chat_template.h"

namespace thinktune::text::jinja::test {

// The variables that the tests' templates speak of.
inline const nlohmann::ordered_json& variables() {
  static const auto kVariables = nlohmann::ordered_json::parse(R"({
    "x": 3, "f": 2.5, "s": "Hello World", "u": "héllo wörld ß", "l": [3, 1, 2], "e": "", "n": null, "t": true,
    "d": {"b": 1, "a": [1, 2], "items": 5}, "neg": -7, "big": 1e22, "small": 1e-7, "ml": "a\nb\n\nc\n",
    "ws": "  pad \t\n", "q": "it's \"q\"", "html": "<a href=\"x\">&'</a>",
    "nested": [{"name": "Bob", "age": 30, "g": {"k": 1}}, {"name": "alice", "age": 25, "g": {"k": 2}},
               {"name": "Carl", "age": 30}]})");
  return kVariables;
}

inline RenderOptions options() {
  using namespace std::chrono;
  RenderOptions options;
  options.kwargs = variables();
  options.now = local_days(year(2025) / March / 7) + hours(9) + minutes(5);
  return options;
}

inline nlohmann::ordered_json conversation() {
  return {{{"role", "system"}, {"content", "Sys"}},
          {{"role", "user"}, {"content", "Hi"}},
          {{"role", "assistant"}, {"content", "Yo"}}};
}

inline ChatTemplate parsed(const std::string& source) {
  return ChatTemplate(source, {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
}

inline std::string rendered(const std::string& source, const RenderOptions& options = test::options()) {
  return parsed(source).render_text(conversation(), options);
}

// The message of the Error{Data} that parsing or rendering throws.
inline std::string refusal(const std::string& source, const RenderOptions& options = test::options()) {
  SCOPED_TRACE(source);
  return thinktune::test::message_of_error(core::ErrorKind::Data, [&] { rendered(source, options); });
}

struct Case {
  std::string source;
  std::string expected;
};

inline void expect_rendered(const std::vector<Case>& cases) {
  for (const auto& [source, expected] : cases) {
    try {
      EXPECT_EQ(rendered(source), expected) << source;
    } catch (const core::Error& error) {
      ADD_FAILURE() << source << ": " << error.what();
    }
  }
}

inline void expect_expressions(std::vector<Case> cases) {
  for (Case& one : cases) one.source = "{{ " + one.source + " }}";
  expect_rendered(cases);
}

}  // namespace thinktune::text::jinja::test
