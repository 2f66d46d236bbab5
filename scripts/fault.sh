#!/usr/bin/env bash
# The tests of tests/fault at every place instead of some: each file call of a run cut by a power loss, a kill or a full
# disk, and a hundred kills of the program itself. Minutes; what they measure is printed.
#
#   scripts/fault.sh                       everything
#   scripts/fault.sh --gtest_filter=Kill*  what follows goes to the test program
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

preset=${THINKTUNE_PRESET:-release}
build "$preset"
THINKTUNE_FAULT_ALL=1 "build/$preset/bin/fault_test" "$@"
