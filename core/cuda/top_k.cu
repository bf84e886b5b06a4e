#include "core/cuda/kernels.h"
#include "core/cuda/tiles.cuh"
#include "core/dispatch.h"
#include "core/math/top_k.h"

namespace core::cuda {
namespace {

/// A class and its score; a double holds f32 and f64 scores exactly.
struct Ranked {
  double score;
  int64_t number;
};

struct Better {
  __device__ Ranked operator()(Ranked const& a, Ranked const& b) const {
    return math::ranks_before(b.score, b.number, a.score, a.number) ? b : a;
  }
};

constexpr int64_t no_class = std::numeric_limits<int64_t>::max();

/// Returns the best of the thread's classes that rank after `last`; -inf and no_class if there is
/// none.
template <class Acc>
__device__ Ranked best_behind(Ranked const& last, Acc const* z, int64_t width, int64_t first) {
  constexpr Acc none = -std::numeric_limits<Acc>::infinity();
  auto const bound = static_cast<Acc>(last.score);
  Acc score = none;
  int64_t number = no_class;
#pragma unroll 8
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    Acc const value = z[c];
    bool const behind = math::ranks_before(bound, last.number, value, first + c);
    // Class numbers are ascending, so the first of equal scores is kept.
    if (behind && value > score) score = value, number = first + c;
  }
  return {score, number};
}

/// One block per row: inserts its classes into the list, best first, until one is not admitted.
/// After an insertion, only the thread that owned the class searches for its next one.
template <class Acc>
__global__ void top_k_kernel(int64_t width, Acc const* z, int64_t first, math::Best<Acc> best) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  int64_t const row = blockIdx.x;
  Acc const* const scores = z + row * width;
  best.scores += row * best.k;
  best.classes += row * best.k;
  Ranked mine = best_behind({infinity, -1}, scores, width, first);
  for (;;) {
    Ranked const winner = reduce_block(mine, Better{});
    auto const score = static_cast<Acc>(winner.score);
    if (!best.admits(score, winner.number)) return;
    __syncthreads();  // all threads have read the list
    if (threadIdx.x == 0) best.insert(score, winner.number);
    if (mine.number == winner.number) mine = best_behind(winner, scores, width, first);
  }
}

}  // namespace

void CudaKernels::top_k(Tensor const& z, int64_t first, Tensor& scores, Tensor& classes) {
  if (scores.count() == 0 || z.count() == 0) return;
  int64_t const width = z.size(1);
  visit_wide(z.dtype(), [&]<class Acc>() {
    math::Best<Acc> const best{scores.data<Acc>(), classes.data<int64_t>(), scores.size(1)};
    constexpr int64_t thread_classes = 8;  // fewer would leave little work between two barriers
    launch(top_k_kernel<Acc>,
           grid_of_blocks(z.size(0), warps_for((width + thread_classes - 1) / thread_classes)),
           stream_, width, z.data<Acc>(), first, best);
  });
}

}  // namespace core::cuda
