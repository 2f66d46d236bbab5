#include "kernels/cuda/decode_attention.cuh"
