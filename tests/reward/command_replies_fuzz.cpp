// Any bytes as what a user's reward program prints, a reply a line: each is a reward within its limits with a reason
// that is text, or says why there is none.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "src/reward/command_reply.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const std::string& line) {
  using namespace thinktune;
  const reward::ParsedReply parsed = reward::parse_reply(line);
  const reward::CommandReply& reply = parsed.reply;
  require(reply.reason.size() <= 600);
  nlohmann::json(reply.reason).dump();  // throws for what is no UTF-8
  if (!reply.ok) {
    require(!reply.reason.empty() && reply.reward == 0);
    return;
  }
  require(parsed.id.has_value() && std::isfinite(reply.reward) && std::abs(reply.reward) <= 1e9);
  // As a program that is well-behaved says it.
  const nlohmann::json written = {{"id", *parsed.id}, {"reward", reply.reward}, {"reason", reply.reason}};
  const reward::ParsedReply again = reward::parse_reply(written.dump());
  require(again.id == parsed.id && again.reply.ok && again.reply.reward == reply.reward &&
          again.reply.reason == reply.reason);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    check(std::string(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return 0;
}
