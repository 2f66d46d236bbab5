// What a line from the program of the part "command" says (CommandOptions in reward.h has the protocol).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace thinktune::reward {

struct CommandReply {
  bool ok = false;
  double reward = 0;
  std::string reason;  // the child's own, or why there is no reward
};

struct ParsedReply {
  std::optional<uint64_t> id;  // of the request; none: the line names none
  CommandReply reply;
};

// Any line, valid or not: a reply that cannot be used says why. A reward is finite and within ±1e9, a reason of the
// child's at most 500 bytes of UTF-8.
ParsedReply parse_reply(const std::string& line);

}  // namespace thinktune::reward
