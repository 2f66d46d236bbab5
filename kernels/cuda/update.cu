#include "kernels/cuda/gradient_norm.cuh"
#include "kernels/cuda/policy_loss.cuh"
