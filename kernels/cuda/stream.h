// What the contracts of this folder share. All pointers are device pointers, aligned to 16 bytes unless a contract says
// otherwise. Launchers take the stream last, return when the work is queued, and throw core::device_error with the
// kernel's name if the launch fails (an error while it runs comes out of a later call, as CUDA has it). A launch of no
// work does nothing. E: float or Bf16, sums in float or wider, in an order that does not depend on the grid. No
// launcher allocates or synchronises: a CUDA graph may capture each of them. Headers hold no CUDA types.
#pragma once

struct CUstream_st;

namespace thinktune::kernels::cuda {

using Stream = CUstream_st*;  // cudaStream_t

// Throws core::device_error if the last launch of this thread failed.
void check_launch(const char* kernel);

// Throws core::internal_error: a launcher was called with what its contract excludes.
[[noreturn]] void refuse(const char* kernel, const char* what);

}  // namespace thinktune::kernels::cuda
