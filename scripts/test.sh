#!/usr/bin/env bash
# Installs what is missing, builds, runs every test.
#
#   scripts/test.sh                 everything, with the release preset
#   scripts/test.sh -L golden       what follows goes to ctest
#   THINKTUNE_PRESET=asan scripts/test.sh
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

scripts/setup.sh --tests
preset=${THINKTUNE_PRESET:-release}
build "$preset"
say "running the tests"
ctest --preset "$preset" "$@"
