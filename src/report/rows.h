// Rows of the rollout and evaluation files.
#pragma once

#include "report/json_lines.h"
#include "thinktune/report/reporter.h"

namespace thinktune::report {

Row rollout_row(int64_t step, const rollout::Prompt& prompt, const rollout::Rollout& rollout, int64_t sample,
                const Decode& decode);

Row item_row(int64_t step, const std::string& benchmark, const EvaluatedItem& item);

}  // namespace thinktune::report
