#!/usr/bin/env bash
# Proves on a machine with a GPU what the other machines could not: builds with CUDA, runs the kernels' and the device's tests, a
# whole training run, and measures steps. Writes a report. Needs the CUDA 13.0 toolkit and a driver.
#
#   scripts/gpu_check.sh                     builds, then all of it; report in build/gpu_check/report.md
#   scripts/gpu_check.sh --build FOLDER      takes a build that is there (FOLDER/bin), for instance one carried here
#   scripts/gpu_check.sh --model MODEL       measures with this model (default: SmolLM2-135M, and a random one of 3B where it fits)
#
# Exit status 1 if a test failed; every log is in build/gpu_check.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

folder="" model=""
while (($#)); do
  case "$1" in
    --build) folder=${2:?"--build needs a folder"}; shift 2 ;;
    --model) model=${2:?"--model needs a path"}; shift 2 ;;
    *) stop "gpu_check.sh does not know '$1'; it takes --build FOLDER, --model MODEL or nothing" ;;
  esac
done
gpu=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null | head -n 1) ||
  stop "nvidia-smi shows no GPU here"
[ -n "$gpu" ] || stop "nvidia-smi shows no GPU here"

if [ -z "$folder" ]; then
  scripts/setup.sh --cuda --tests
  build cuda
  folder=build/cuda
fi
[ -x "$folder/bin/thinktune" ] || stop "there is no $folder/bin/thinktune"
logs=build/gpu_check
rm -rf "$logs"
mkdir -p "$logs"
report="$logs/report.md"
export THINKTUNE_TEST_GPU=1 # tests that need a GPU fail where they would skip

failed=0
{
  echo "# thinktune on $gpu"
  echo
  "$folder/bin/thinktune" --version | sed 's/^/    /'
  echo
  echo "## Tests"
  echo
} >"$report"
check() { # name, command…
  local name=$1 begin=$SECONDS result=passed
  shift
  say "$name"
  "$@" >"$logs/$name.log" 2>&1 || { result="FAILED (build/gpu_check/$name.log)"; failed=1; }
  echo "- $name: $result, $(grep -cE '^\[       OK' "$logs/$name.log" || true) tests, $((SECONDS - begin)) s" | tee -a "$report"
}
for test in "$folder"/bin/kernels_cuda_test; do
  [ -x "$test" ] && check kernels "$test"
done
check operations "$folder/bin/ops_test" --gtest_filter='*Cuda*:Device.*'
check models "$folder/bin/model_golden_test" --gtest_filter='*_cuda'
check engine "$folder/bin/infer_test" --gtest_filter='*Cuda*'
check engine_golden "$folder/bin/infer_golden_test" --gtest_filter='*_cuda'
check training "$folder/bin/train_test" --gtest_filter='*Cuda*'

# A whole run: three steps of the quickstart, stopped, resumed, and measured before and after.
small=${model:-$(model_path)}
if [ -e "$small" ]; then
  run=(--config configs/quickstart.json --set "model=$small" --set "output=$logs/run" --set device=cuda --set steps=3
    --set data.arithmetic.num_heldout=32 --set checkpoint.every=2)
  check run "$folder/bin/thinktune" train "${run[@]}" --stop-after 2
  check resume "$folder/bin/thinktune" train "${run[@]}" --resume

  # The same on two GPUs, with everything on each rank and with everything divided, gathered in both ways. With one GPU NCCL has been
  # run by a group of one rank (NcclCuda, above).
  gpus=$(nvidia-smi --list-gpus | wc -l)
  if ((gpus >= 2)); then
    for ranks in none parameters parameters-by-layer; do
      shard=(--set "comm.shard=${ranks%%-*}" --set comm.timeout_s=300)
      [ "$ranks" = parameters-by-layer ] && shard+=(--set comm.gather=layer)
      two=(--config configs/quickstart.json --set "model=$small" --set "output=$logs/$ranks" --set device=cuda --set steps=3
        --set data.arithmetic.num_heldout=32 --set checkpoint.every=2 --nproc 2 "${shard[@]}")
      check "ranks_$ranks" "$folder/bin/thinktune" train "${two[@]}" --stop-after 2
      check "ranks_${ranks}_resumed" "$folder/bin/thinktune" train "${two[@]}" --resume
    done
  else
    echo "- ranks on several GPUs: left out, there is one GPU" | tee -a "$report"
  fi
else
  echo "- run: left out, there is no model at $small" | tee -a "$report"
fi

measure() { # title, arguments of bench…
  local title=$1
  shift
  say "measuring: $title"
  if "$folder/bin/thinktune" bench --device cuda --json "$@" >"$logs/bench.json" 2>"$logs/bench.log"; then
    python3 scripts/bench_report.py "$title" <"$logs/bench.json" | tee -a "$report"
  else
    failed=1
    echo "- $title: FAILED, $(grep -m 1 error "$logs/bench.log")" | tee -a "$report"
  fi
}
printf '\n## Steps\n\n' >>"$report"
[ -e "$small" ] && measure "$(basename "$small"), 8 × 8 answers of at most 128 tokens" --config configs/bench_grpo_step.json --set "model=$small"
memory_mib=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -n 1)
if [ -z "$model" ] && ((memory_mib > 75000)); then
  # Random weights never end a turn: every answer has all its tokens. The entropy term gives every sequence a gradient.
  [ -e "$logs/3b" ] || python3 scripts/make_random_model.py "$logs/3b" --shape 3b
  measure "random 3B, a quarter of the published step: 32 × 5 answers of 1024 tokens" --config configs/paper.json --set "model=$logs/3b" \
    --set "output=$logs/none" --set guidance.enabled=false --set loss.entropy_coefficient=0.001 --set rollout.prompts_per_step=32 \
    --set update.gradient_checkpointing=true --set engine.max_sequences=160 --set engine.kv_cache_mib=16384 --set update.micro_batch_tokens=8192 \
    --set data.generator=arithmetic --steps 1 --warm-up 1
fi
say "report: $report"
exit "$failed"
