// The text of the CUDA kernels, for the CPU.
#include "support/simt/cuda.h"
//
#include "kernels/cuda/attention.cu"
#include "kernels/cuda/layers.cu"
#include "kernels/cuda/logits.cu"
#include "kernels/cuda/update.cu"
