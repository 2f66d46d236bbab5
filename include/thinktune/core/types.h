// The words that every room speaks.
#pragma once

#include <cstdint>
#include <string>

namespace thinktune::core {

using TokenId = int32_t;

// One turn of a conversation.
struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

}  // namespace thinktune::core
