#pragma once

/// Marks the functions of core/math, which are compiled for both the CPU and the GPU.
#ifdef __CUDACC__
#define COLONNADE_HD __host__ __device__
#else
#define COLONNADE_HD
#endif
