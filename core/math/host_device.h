#pragma once

/// Marks the formulas of core/math, which the CPU and the GPU share.
#ifdef __CUDACC__
#define COLONNADE_HD __host__ __device__
#else
#define COLONNADE_HD
#endif
