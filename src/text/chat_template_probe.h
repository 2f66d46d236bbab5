// What is learnt of a chat template by rendering small conversations with it. None of these throws.
#pragma once

#include <string>

#include "thinktune/text/chat_template.h"

namespace thinktune::text {

std::string probe_after_assistant_turn(const ChatTemplate& chat);
bool probe_system_turn(const ChatTemplate& chat);

}  // namespace thinktune::text
