// What the contracts of this folder share. Launchers take the stream last, return when the work is queued, and throw
// core::device_error with the kernel's name if the launch fails; an error while it runs comes out of a later call, as
// CUDA has it. All pointers are device pointers. Headers hold no CUDA types.
#pragma once

struct CUstream_st;

namespace thinktune::kernels::cuda {

using Stream = CUstream_st*;  // cudaStream_t

// Throws core::device_error if the last launch of this thread failed.
void check_launch(const char* kernel);

}  // namespace thinktune::kernels::cuda
