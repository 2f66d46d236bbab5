#!/usr/bin/env bash
# Everything that a change is to pass before it is committed: format, layers and test registration, build, all tests.
#
#   scripts/check.sh          check
#   scripts/check.sh --fix    format the files first
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

fix=0
for argument in "$@"; do
  case "$argument" in
    --fix) fix=1 ;;
    *) stop "check.sh does not know '$argument'; it takes --fix or nothing" ;;
  esac
done

command -v clang-format >/dev/null || stop "clang-format is missing: apt-get install clang-format (version 14, Debian 12's)"
mapfile -t sources < <(git ls-files '*.cpp' '*.h' '*.inl' '*.cu' '*.cuh')
if ((fix)); then
  say "formatting ${#sources[@]} files"
  clang-format -i "${sources[@]}"
fi
say "checking the format of ${#sources[@]} files"
clang-format --dry-run --Werror "${sources[@]}" || stop "files are not formatted as .clang-format says: scripts/check.sh --fix mends it"
scripts/test.sh
