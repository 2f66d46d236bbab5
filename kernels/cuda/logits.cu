#include "kernels/cuda/sample_tokens.cuh"
#include "kernels/cuda/token_logprob.cuh"
