// What the values of rollout/types.h are called in files.
#pragma once

#include "thinktune/core/options.h"
#include "thinktune/rollout/types.h"

namespace thinktune::rollout {

inline const core::Choices<Origin> kOriginNames = {
    {"student", Origin::Student}, {"joint", Origin::Joint}, {"reason", Origin::Reason}, {"phrase", Origin::Phrase}};
inline const core::Choices<Finish> kFinishNames = {{"end_of_turn", Finish::EndOfTurn}, {"length", Finish::Length}};
inline const core::Choices<Verdict> kVerdictNames = {
    {"right", Verdict::Right}, {"wrong", Verdict::Wrong}, {"unparsed", Verdict::Unparsed}};

}  // namespace thinktune::rollout
