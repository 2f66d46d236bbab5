#!/usr/bin/env bash
# Runs the tests, room by room, under AddressSanitizer and UndefinedBehaviorSanitizer (asan) or under ThreadSanitizer (tsan).
#
#   scripts/sanitize.sh asan                     every room's
#   scripts/sanitize.sh tsan                     those of the rooms that start threads
#   scripts/sanitize.sh asan weights text        these rooms'
#   scripts/sanitize.sh tsan core -- Worker      those of them whose name has this in it; more goes to ctest
#
# One line a room; logs are kept in build/PRESET/logs. What the sanitizers are told: tests/support/sanitizers.
# Exit status: 1 if a test failed, which every finding makes it do.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

preset=${1:-} rooms=()
[[ $preset == asan || $preset == tsan ]] || stop "sanitize.sh takes asan or tsan first, then rooms"
shift
while (($#)) && [[ $1 != -- ]]; do
  compgen -G "tests/$1/*_test.cpp" >/dev/null || stop "there is no room '$1' with tests"
  rooms+=("$1")
  shift
done
if ((${#rooms[@]} == 0)); then
  if [[ $preset == asan ]]; then
    mapfile -t rooms < <(printf '%s\n' tests/*/*_test.cpp | cut -d/ -f2 | uniq)
  else
    rooms=(core text reward comm ops model infer checkpoint train)
  fi
fi

result=0
for room in "${rooms[@]}"; do
  log="build/$preset/logs/$room.log"
  build "$preset" "tests_$room"
  mkdir -p "build/$preset/logs"
  ctest --preset "$preset" --no-tests=error -R "^(fuzz\.)?$room\..*${2:-}" "${@:3}" >"$log" 2>&1 || result=1
  findings=$(grep -cE 'ERROR: AddressSanitizer|runtime error: |WARNING: ThreadSanitizer' "$log" || true)
  skipped=$(grep -c '\*\*\*Skipped' "$log" || true)
  summary=$(sed -nE 's/.* ([0-9]+) tests failed out of ([0-9]+)/\2 tests, \1 failed/p; s/^Total Test time \(real\) = +/in /p' "$log" |
    paste -sd ' ')
  say "$room: ${summary:-no test was run}, $skipped skipped, $findings findings (log in $log)"
done
exit "$result"
