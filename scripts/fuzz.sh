#!/usr/bin/env bash
# Runs the fuzz targets (tests/ROOM/NAME_fuzz.cpp) under libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   scripts/fuzz.sh                          every target, 60 seconds each
#   scripts/fuzz.sh 600 fuzz_weights_gguf    one target for ten minutes
#   scripts/fuzz.sh --seed 1 20              the same inputs again, as far as the seconds last
#
# As many targets at once as there are processors; one line a target, as each ends. An input that breaks one is kept in
# build/fuzz/findings: mend the code, then put the input into tests/ROOM/corpus/NAME, where every build's tests run it. What
# a run discovers is kept in build/fuzz/corpus for the next one, but with --seed, where it begins from tests/ROOM/corpus
# alone. An input that takes 30 seconds is a finding: a machine that stands still for a while makes none.
# Exit status: 1 after a finding, 77 if clang cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

seconds=60 seed=0 # 0: another one each time
if (($#)) && [[ $1 == --seed ]]; then
  [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || stop "--seed needs a number from 1 on"
  seed=$2
  shift 2
fi
if (($#)) && [[ $1 =~ ^[0-9]+$ ]]; then
  seconds=$1
  shift
fi
((seconds > 0)) || stop "zero seconds a target would fuzz without an end"
wanted=("$@")

targets=()
for source in tests/*/*_fuzz.cpp; do
  room=$(basename "$(dirname "$source")") name=$(basename "$source" _fuzz.cpp)
  targets+=("fuzz_${room}_${name}")
done
for target in "${wanted[@]}"; do
  [[ " ${targets[*]} " == *" $target "* ]] || stop "there is no target '$target'; there are ${targets[*]}"
done

install_packages "${build_packages[@]}" "${fuzz_packages[@]}" || { say "no fuzzing: clang and its libFuzzer are not to be had"; exit 77; }
build fuzz

mkdir -p build/fuzz/findings build/fuzz/logs
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm # some targets write files at every input: into memory, not to a disk
fuzz() { # tests/ROOM/NAME_fuzz.cpp; returns 1 after a finding
  local source=$1 room name target log kept dictionary options status=0 executions edges what input
  room=$(basename "$(dirname "$source")") name=$(basename "$source" _fuzz.cpp)
  target="fuzz_${room}_${name}"
  log="build/fuzz/logs/$target.log" kept="build/fuzz/corpus/$target" dictionary="tests/$room/${name}_fuzz.dict"
  mkdir -p "$kept"
  ((seed == 0)) || kept=$(mktemp -d) # what other runs have discovered would make it another run
  options=(-seed="$seed" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -malloc_limit_mb=1024 -print_final_stats=1
    -artifact_prefix="build/fuzz/findings/$target-")
  [ ! -e "$dictionary" ] || options+=(-dict="$dictionary")
  "build/fuzz/bin/$target" "${options[@]}" "$kept" "tests/$room/corpus/$name" >"$log" 2>&1 || status=$?
  ((seed == 0)) || rm -r -- "$kept"
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
  edges=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | cut -d' ' -f2 || true)
  if ((status == 0)); then
    say "$target: ${executions:-0} executions in $seconds s, ${edges:-0} edges covered, no finding"
    return 0
  fi
  what=$(grep -m 1 -E 'ERROR: |runtime error: |uncaught exception|what\(\):' "$log" || tail -n 1 "$log")
  input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
  say "$target: ${executions:-?} executions, ${edges:-0} edges covered, FINDING (status $status): $what
    input ${input:-none}, log $log" # in one piece: another target may end at the same moment
  return 1
}
export -f fuzz say
export seed seconds

for source in tests/*/*_fuzz.cpp; do
  room=$(basename "$(dirname "$source")") name=$(basename "$source" _fuzz.cpp)
  ((${#wanted[@]} == 0)) || [[ " ${wanted[*]} " == *" fuzz_${room}_${name} "* ]] || continue
  printf '%s\0' "$source"
done | xargs -0 -n 1 -P "$(nproc)" bash -euo pipefail -c 'fuzz "$1"' fuzz || exit 1
