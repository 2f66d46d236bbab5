// What stands between the products of a layer, and the weights' way into them. A file of this kind lists the kernels of
// one translation unit: nvcc takes its time for each of them anew.
#include "kernels/cuda/dequantize.cuh"
#include "kernels/cuda/glu.cuh"
#include "kernels/cuda/rms_norm.cuh"
#include "kernels/cuda/rope.cuh"
