#!/usr/bin/env bash
# Proves on a machine with a GPU what the other machines could not: builds with CUDA, runs the kernels' and the device's tests, a
# whole training run, and measures steps. Every section is run, whatever became of those before it, and reported: time of each
# phase, tokens/s, MFU, memory. Needs the CUDA 13.0 toolkit and a driver.
#
#   scripts/gpu_check.sh                     builds, then all of it; report in build/gpu_check/report.md
#   scripts/gpu_check.sh --quick             without what takes long: under 8 minutes where it is built
#   scripts/gpu_check.sh --build FOLDER      takes a build that is there (FOLDER/bin), for instance one carried here
#   scripts/gpu_check.sh --torch FOLDER      builds with the LibTorch of these site-packages (folders torch and nvidia), for machines
#                                            without a network; nothing is installed
#   scripts/gpu_check.sh --model MODEL       runs and measures with this model (default: SmolLM2-135M where it is, else a random one of
#                                            its shape, and a random one of 3B where it fits)
#   scripts/gpu_check.sh --rehearse          on a machine without a GPU: the same on the CPU, what needs a GPU left out
#
# Exit status 1 if a section failed; every log is in build/gpu_check.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

folder="" model="" torch="" quick=0 rehearse=0
while (($#)); do
  case "$1" in
    --build) folder=${2:?"--build needs a folder"}; shift 2 ;;
    --model) model=${2:?"--model needs a path"}; shift 2 ;;
    --torch) torch=${2:?"--torch needs a folder"}; shift 2 ;;
    --quick) quick=1; shift ;;
    --rehearse) rehearse=1; shift ;;
    *) stop "gpu_check.sh does not know '$1'; it takes --quick, --build FOLDER, --torch FOLDER, --model MODEL, --rehearse or nothing" ;;
  esac
done
if ((rehearse)); then
  gpu="no GPU (a rehearsal on the CPU)" device=cpu gpus=0 memory_mib=0
else
  gpu=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null | head -n 1) || gpu=""
  [ -n "$gpu" ] || stop "nvidia-smi shows no GPU here (--rehearse: the same on the CPU)"
  device=cuda gpus=$(nvidia-smi --list-gpus | wc -l)
  memory_mib=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -n 1)
  export THINKTUNE_TEST_GPU=1 # tests that need a GPU fail where they would skip
fi

logs=build/gpu_check
rm -rf "$logs"
mkdir -p "$logs"
sections="$logs/sections.tsv"

# section KIND NAME TITLE COMMAND…: runs the command, its output in a log; a section that hangs is ended after limit_s seconds.
limit_s=900
section() {
  local kind=$1 name=$2 title=$3 begin=$SECONDS result=passed status=0
  shift 3
  say "$name: $title"
  timeout --kill-after=10 "$limit_s" "$@" >"$logs/$name.log" 2>&1 || status=$?
  ((status == 0)) || { result=failed; echo "error: exit status $status$( ((status == 124)) && echo ", timed out after $limit_s s" || true)" >>"$logs/$name.log"; }
  printf '%s\t%s\t%s\t%s\t%s\n' "$kind" "$name" "$result" "$((SECONDS - begin))" "$title" >>"$sections"
  say "$name: $result, $((SECONDS - begin)) s"
  [ "$result" = passed ]
}
left_out() { # NAME REASON
  say "$1: left out, $2"
  printf 'test\t%s\tleft out\t0\t%s\n' "$1" "$2" >>"$sections"
}

# --- The build: of the machine's own architecture where there is time for no more.
build_all() {
  local options=()
  if [ -n "$torch" ]; then options+=(-DTHINKTUNE_SITE_PACKAGES="$torch"); else scripts/setup.sh --cuda --tests; fi
  ((quick)) && options+=(-DCMAKE_CUDA_ARCHITECTURES=native)
  cmake --preset cuda "${options[@]}"
  cmake --build --preset cuda
}
export -f build_all say stop
export torch quick
if [ -z "$folder" ]; then
  folder=build/cuda
  limit_s=7200 section test build "configure and compile" bash -euo pipefail -c build_all || true
fi
bin="$folder/bin"

{
  echo "# thinktune on $gpu"
  echo
  { "$bin/thinktune" --version 2>&1 || echo "there is no $bin/thinktune"; } | sed 's/^/    /'
  echo "    $(git rev-parse --short HEAD 2>/dev/null || echo "no git"), $(date -u +%Y-%m-%dT%H:%MZ), $(nproc) cores$( ((quick)) && echo ", --quick" || true)"
} >"$logs/about.txt"

# --- Tests.
tests() { # NAME TITLE PROGRAM FILTER
  local name=$1 title=$2 program=$3 filter=$4
  if [ -x "$bin/$program" ]; then
    # A filter that no test matches, or whose tests all skip, as for want of goldens, proves nothing. In a rehearsal those
    # that need a GPU skip.
    section test "$name" "$title" bash -c 'set -o pipefail
      "$0" --gtest_filter="$1" | tee /dev/stderr | grep -cE "$2" >/dev/null || { echo "error: no test has passed"; exit 1; }' \
      "$bin/$program" "$filter" "^\[ +(OK$( ((rehearse)) && echo "|SKIPPED" || true))" || true
  else
    left_out "$name" "there is no $bin/$program"
  fi
}
if ((rehearse)); then
  tests kernels "the kernels' tests, over the SIMT layer" kernels_simt_test "$( ((quick)) && echo 'CudaSampling*' || echo '*')"
  tests handing_over "the trainer's way to the kernels, over the SIMT layer" ops_simt_test '*'
else
  tests kernels "the kernels against their twins in double" kernels_cuda_test '*'
fi
# Accesses outside of arrays, and shared memory that threads race for: many times as long as without.
sanitizer=$(PATH="$PATH:/usr/local/cuda/bin" command -v compute-sanitizer) || sanitizer=""
for tool in memcheck racecheck; do
  if ((quick || rehearse)); then continue; fi
  if [ -z "$sanitizer" ] || [ ! -x "$bin/kernels_cuda_test" ]; then
    left_out "kernels_$tool" "there is no compute-sanitizer, or no $bin/kernels_cuda_test"
  else
    limit_s=3600 section test "kernels_$tool" "the kernels under compute-sanitizer, $tool" "$sanitizer" --tool "$tool" --error-exitcode 1 \
      "$bin/kernels_cuda_test" '--gtest_filter=-*RealVocabularies*' || true
  fi
done
tests operations "every operation beside the CPU's in f64" ops_test '*Cuda*:Device.*'
tests loss "the policy loss and its gradient" algo_test '*Cuda*'
tests gradient_norm "the gradients' norm and clip" optim_test '*Cuda*'
((quick)) || tests models "the small models' goldens" model_golden_test '*_cuda'
tests engine "the engine's tokens, pages, recorded steps" infer_test '*Cuda*'
((quick)) || tests engine_golden "the engine's goldens" infer_golden_test '*_cuda'
tests training "whole runs, twice and resumed; NCCL with one rank" train_test '*Cuda*'

# --- A whole run: three steps of the quickstart, stopped, resumed, and measured before and after.
small=${model:-$(model_path)}
if [ ! -e "$small" ] && [ -z "$model" ]; then
  small="$logs/135m"
  section test random_model "a random model of 135M: SmolLM2 is not here" python3 scripts/make_random_model.py "$small" --shape 135m || true
fi
train() { # NAME arguments…; instead=exec: in place of this shell
  local name=$1
  shift
  ${instead:-} "$bin/thinktune" train --config configs/quickstart.json --set "model=$small" --set "output=$logs/$name" --set device="$device" --set steps=3 \
    --set data.arithmetic.num_heldout=16 --set checkpoint.every=2 "$@"
}
# Two ranks, as a launcher of others starts them; rank 1 gets a signal after its first step. Rank 0 must end by itself, and
# say which rank, step and operation it was.
lose_rank() { # SIGNAL
  local signal=$1 timeout_s=30 port=$((20000 + RANDOM % 10000)) name="lost_$1" rank pids=() status=0 begin
  trap 'kill -s KILL "${pids[@]}" 2>/dev/null || true' RETURN
  for rank in 0 1; do
    instead=exec WORLD_SIZE=2 RANK=$rank LOCAL_RANK=$rank LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port \
      train "$name" --set steps=1000 --set comm.timeout_s=$timeout_s $lost_shard >"$logs/$name.rank$rank" 2>&1 &
    pids[rank]=$!
  done
  until [ -s "$logs/$name/metrics.jsonl" ]; do
    kill -0 "${pids[0]}" && kill -0 "${pids[1]}" || { cat "$logs/$name".rank*; return 1; }
    sleep 0.2
  done
  kill -s "$signal" "${pids[1]}"
  begin=$SECONDS
  wait "${pids[0]}" || status=$?
  kill -s KILL "${pids[1]}" || true
  tail -n 5 "$logs/$name.rank0"
  echo "rank 0 has ended with status $status, $((SECONDS - begin)) s after SIG$signal"
  ((status != 0 && status < 128 && SECONDS - begin <= timeout_s + 10)) || { echo "error: it must end by itself, and in time"; return 1; }
  grep -qE 'rank 0, step [0-9]+: the .+ (failed|has not completed) after .+; rank 1 is dead or stopped' "$logs/$name.rank0" ||
    { echo "error: it does not say which rank, step and operation"; return 1; }
}
export -f train lose_rank
export bin small logs device
if [ -x "$bin/thinktune" ] && [ -e "$small" ]; then
  section run run "the quickstart's first steps, with $(basename "$small")" bash -c 'train run --stop-after 2' || true
  section test resume "the run goes on from its checkpoint" bash -c 'train run --resume' || true
  section test no_graphs "the same step without CUDA graphs, to the bit" bash -c '
    train no_graphs --set engine.cuda_graphs=false --stop-after 1 && python3 scripts/gpu_report.py --same-step "$logs/run" "$logs/no_graphs"' || true
  # The same on two GPUs, with everything on each rank and with everything divided, gathered in each way. With one GPU NCCL has been
  # run by a group of one rank (NcclCuda, above).
  if ((gpus >= 2)); then
    section test ranks_doctor "doctor's sums and copies over NCCL" bash -c 'set -o pipefail
      "$bin/thinktune" doctor --quick --nproc 2 --config configs/quickstart.json --set "model=$small" --set device=cuda | tee /dev/stderr |
        grep -c "^ok  *ranks .* over NCCL" >/dev/null' || true
    section test ranks_fixed_order "one rank and two in a fixed order: the same update to the bit, of the same rollouts" bash -c '
      for n in 1 2; do
        train "fixed_$n" $( ((n > 1)) && echo "--nproc $n") --set comm.fixed_order=true --set comm.timeout_s=300 --set report.rollouts_every=1 --stop-after 1
      done && python3 scripts/gpu_report.py --same-update "$logs/fixed_1" "$logs/fixed_2"' || true
    for ranks in none gradients parameters-keep parameters-whole parameters-layer; do
      export shard="--set comm.shard=${ranks%%-*} --set comm.timeout_s=300"
      [[ $ranks == *-* ]] && shard+=" --set comm.gather=${ranks#*-}"
      export ranks
      section run "ranks_$ranks" "two ranks over NCCL, comm.shard=${ranks/-/, comm.gather=}" bash -c 'train "ranks_$ranks" --nproc 2 $shard --stop-after 2' || true
      ((quick)) || section test "ranks_${ranks}_resumed" "and resumed" bash -c 'train "ranks_$ranks" --nproc 2 $shard --resume' || true
    done
  else
    left_out ranks "several ranks over NCCL need several GPUs, here are $gpus"
  fi
  if ((gpus >= 2 || (rehearse && !quick))); then
    # Weights that come together layer by layer: the ranks meet all the time.
    export lost_shard="--set comm.shard=parameters --set comm.gather=layer"
    section test lost_killed "a rank that is killed" bash -c 'lose_rank KILL' || true
    section test lost_stopped "a rank that is stopped" bash -c 'lose_rank STOP' || true
  else
    left_out lost "a rank that is lost needs several GPUs, here are $gpus"
  fi
else
  left_out run "there is no $bin/thinktune, or no model at $small"
fi

# --- Steps, measured.
measure() { # NAME TITLE, arguments of bench…
  local name=$1 title=$2
  shift 2
  section bench "$name" "$title" bash -c 'json=$1; shift; "$bin/thinktune" bench --device "$device" --json "$@" >"$json"' bash "$logs/$name.json" "$@" || true
}
if [ -x "$bin/thinktune" ] && [ -e "$small" ]; then
  measure bench_small "$(basename "$small"), 8 × 8 answers of at most 128 tokens" --config configs/bench_grpo_step.json --set "model=$small" \
    --steps "$( ((quick)) && echo 1 || echo 3)"
fi
if [ -x "$bin/thinktune" ] && [ -z "$model" ] && ((memory_mib > 75000)) && ((!quick)); then
  # Random weights never end a turn: every answer has all its tokens. The entropy term gives every sequence a gradient.
  section test random_3b "a random model of 3B" python3 scripts/make_random_model.py "$logs/3b" --shape 3b || true
  measure bench_3b "random 3B, a quarter of the published step: 32 × 5 answers of 1024 tokens" --config configs/paper.json --set "model=$logs/3b" \
    --set "output=$logs/none" --set guidance.enabled=false --set loss.entropy_coefficient=0.001 --set rollout.prompts_per_step=32 \
    --set update.gradient_checkpointing=true --set engine.max_sequences=160 --set engine.kv_cache_mib=16384 --set update.micro_batch_tokens=8192 \
    --set data.generator=arithmetic --steps 1 --warm-up 1
fi

status=0
python3 scripts/gpu_report.py "$logs" || status=1
sed -n '1,/^## Times/p' "$logs/report.md"
say "report: $logs/report.md"
exit "$status"
