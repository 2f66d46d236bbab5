#!/usr/bin/env bash
# The CUDA build (preset cuda) on a machine that needs no GPU: kernels for all architectures, the program, and those tests that
# differ from the plain CPU build's: of the rooms with files of their own for CUDA (*_cuda.cpp), and whole runs of the program. All
# other files are the same objects in both builds. Tests that need a GPU skip; of kernels_cuda_test that one is run which says what a
# launch does without a driver. On a machine that has a GPU scripts/gpu_check.sh runs them all.
#
# Exit status: 77 if there is no nvcc here.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

[ -x /usr/local/cuda/bin/nvcc ] || command -v nvcc >/dev/null || { say "no CUDA build: nvcc is not here (CUDA 13.0 toolkit)"; exit 77; }
scripts/setup.sh --cuda --tests
build cuda thinktune kernels_cuda_test kernels_benchmark ops_test ops_simt_test comm_test infer_test train_test cli_test algo_test optim_test
build/cuda/bin/thinktune --version
say "running tests of the CUDA build"
ctest --preset cuda --no-tests=error -R '^(ops|comm|infer)\.|^(train|algo|optim)\..*Cuda|^kernels_cuda\.CudaLaunch|^cli\.(Commands|BadRun)\.'
