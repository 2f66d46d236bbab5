#!/usr/bin/env bash
# From a fresh machine to a trained model: installs what is missing, builds Release, takes SmolLM2-135M-Instruct, trains it by
# ThinkTuning and by plain GRPO from the same seed, and prints accuracy before and after.
#
#   scripts/quickstart.sh           both runs, into runs/quickstart and runs/quickstart-grpo
#   scripts/quickstart.sh --fresh   removes those two folders first (an unfinished run is otherwise resumed, a finished one kept)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

fresh=0
for argument in "$@"; do
  case "$argument" in
    --fresh) fresh=1 ;;
    *) stop "quickstart.sh does not know '$argument'; it takes --fresh or nothing" ;;
  esac
done

begin=$SECONDS
scripts/setup.sh
set_up_s=$((SECONDS - begin))

begin=$SECONDS
build release thinktune
build_s=$((SECONDS - begin))

begin=$SECONDS
train() { # run folder, settings…
  local folder=$1 resume=()
  shift
  ((fresh)) && rm -rf "$folder"
  if [ -e "$folder/finished" ]; then
    say "$folder is finished; scripts/quickstart.sh --fresh trains it again"
    return 0
  fi
  if [ -d "$folder/checkpoints" ]; then
    resume=(--resume)
  else
    rm -rf "$folder" # stopped before its first checkpoint
  fi
  build/release/bin/thinktune train --config configs/quickstart.json --set model="$(model_path)" --set output="$folder" "$@" "${resume[@]}" ||
    stop "the training run in $folder failed (its messages are above); run scripts/quickstart.sh again to go on from the last checkpoint"
  : >"$folder/finished"
}
say "training by ThinkTuning: 30 steps of 64 rollouts (runs/quickstart)"
train runs/quickstart
say "training by plain GRPO, same seed and data (runs/quickstart-grpo)"
train runs/quickstart-grpo --set guidance.enabled=false --set eval.at_start=false
train_s=$((SECONDS - begin))

say "accuracy on 200 held-out problems (seconds: all training steps of the run)"
build/release/bin/thinktune compare ThinkTuning=runs/quickstart GRPO=runs/quickstart-grpo
say "set-up $set_up_s s, build $build_s s, training and evaluation $train_s s"
say "files of the run: runs/quickstart (metrics.jsonl, rollouts/, tensorboard/, eval.jsonl); the trained model: runs/quickstart/checkpoints/step-30"
