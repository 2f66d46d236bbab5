// One entry a family's file.
#pragma once

#include "thinktune/model/family.h"

namespace thinktune::model {

extern const Family kLlama;

}  // namespace thinktune::model
