// The parts of a reward that are computed from the text alone.
#pragma once

#include <string_view>

#include "thinktune/reward/reward.h"

namespace thinktune::reward {

bool has_form(Form form, std::string_view text);
double length_value(const LengthOptions& options, int64_t num_tokens, bool success);  // hard_limit > 0
double repetition_value(const RepetitionOptions& options, std::string_view text);     // linear in the text

}  // namespace thinktune::reward
