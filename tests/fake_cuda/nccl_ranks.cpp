// The stand-in for NCCL itself: what it computes, refuses and reports.
#include <catch2/catch.hpp>
#include <nccl.h>
#include <numeric>
#include <thread>
#include "comm/mpi/communicator.h"
#include "core/cpu/device.h"
#include "core/cuda/device.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/fake_cuda/nccl.h"
#include "tests/support/fake_cuda/streams.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

namespace fake_cuda = tests::fake_cuda;
using Catch::Contains;
using core::Tensor;
using fake_cuda::Failure;
using std::chrono::milliseconds;

namespace {

/// A communicator of all ranks on streams of the GPU that the tests use.
struct Group {
  comm::Mpi hosts{tests::ranks().session};
  core::cuda::Cuda& gpu = dynamic_cast<core::cuda::Cuda&>(tests::device());
  ncclComm_t comm = nullptr;
  int rank = hosts.rank(), size = hosts.size();
  cudaStream_t stream = gpu.communication_stream();

  Group() {
    ncclUniqueId id{};
    core::cpu::Cpu host(1);
    if (rank == 0) ncclGetUniqueId(&id);
    Tensor bytes(host, {sizeof id}, core::Dtype::u8);
    host.upload(&id, bytes);
    hosts.broadcast(bytes, 0)->wait();
    host.download(bytes, &id);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    CHECK(ncclCommInitRankConfig(&comm, size, id, rank, &config) == ncclInProgress);
    CHECK(settle() == ncclSuccess);
    gpu.synchronize();
  }
  ~Group() {
    if (comm != nullptr) ncclCommAbort(comm);
    hosts.barrier();
    CHECK(ends(milliseconds(1000)));
  }
  Group(Group const&) = delete;
  Group& operator=(Group const&) = delete;

  /// Waits until no call is in progress; returns its status.
  ncclResult_t settle() const {
    for (;; std::this_thread::yield()) {
      ncclResult_t status{};
      ncclCommGetAsyncError(comm, &status);
      if (status != ncclInProgress) return status;
    }
  }
  ncclResult_t all_reduce(Tensor& t, int64_t count) const {
    return ncclAllReduce(t.raw(), t.raw(), static_cast<size_t>(count), ncclFloat32, ncclSum, comm,
                         stream);
  }
  ncclResult_t all_reduce(Tensor& t) const { return all_reduce(t, t.count()); }
  /// Whether the stream is idle within the time.
  bool ends(milliseconds time) const {
    auto const limit = comm::Clock::now() + time;
    while (cudaStreamQuery(stream) == cudaErrorNotReady) {
      if (comm::Clock::now() > limit) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }
  bool hangs() const { return !ends(milliseconds(50)); }
};

Tensor ones(int64_t count) {
  Tensor t(tests::device(), {count}, core::Dtype::f32);
  std::vector<float> const values(static_cast<size_t>(count), 1.f);
  t.device().upload(values.data(), t);
  t.device().synchronize();
  return t;
}

std::vector<float> values_of(Tensor const& t) {
  std::vector<float> values(static_cast<size_t>(t.count()));
  t.device().download(t, values.data());
  return values;
}

/// The misuses since the last look, one after another.
std::string misuse() {
  std::string all;
  for (auto const& text : fake_cuda::take_misuses()) all += text + '\n';
  return all;
}

/// Applies a patience during its lifetime.
struct Patience {
  explicit Patience(milliseconds time) { fake_cuda::set_patience(time); }
  ~Patience() { fake_cuda::set_patience(std::chrono::seconds(10)); }
  Patience(Patience const&) = delete;
  Patience& operator=(Patience const&) = delete;
};

/// A graph with one all_reduce of `t`.
std::unique_ptr<core::Graph> captured(Group const& group, Tensor& t) {
  return group.gpu.capture([&] {
    core::cuda::Event const before = core::cuda::make_event(), after = core::cuda::make_event();
    core::cuda::follow(group.gpu.stream(), group.stream, before);
    CHECK(group.all_reduce(t) == ncclInProgress);
    CHECK(group.settle() == ncclSuccess);
    core::cuda::follow(group.stream, group.gpu.stream(), after);
  });
}

}  // namespace

TEST_CASE("stand-in for NCCL: data of several pieces, in place -> sums and blocks of all ranks",
          "[ranks][fake_cuda]") {
  Group const group;
  auto const size = static_cast<size_t>(group.size);
  size_t const count = 100003;  // f32: two pieces
  Tensor t = ones(static_cast<int64_t>(count * size));
  auto* const data = reinterpret_cast<float*>(t.raw());
  REQUIRE(group.all_reduce(t) == ncclInProgress);
  REQUIRE(group.settle() == ncclSuccess);
  auto* const mine = data + count * static_cast<size_t>(group.rank);
  CHECK(ncclReduceScatter(data, mine, count, ncclFloat32, ncclSum, group.comm, group.stream) ==
        ncclInProgress);
  CHECK(group.settle() == ncclSuccess);
  CHECK(ncclAllGather(mine, data, count, ncclFloat32, group.comm, group.stream) == ncclInProgress);
  CHECK(group.settle() == ncclSuccess);
  CHECK(group.ends(std::chrono::seconds(5)));
  CHECK(values_of(t) == std::vector<float>(count * size, static_cast<float>(size * size)));
  CHECK(fake_cuda::take_misuses().empty());
}

TEST_CASE("stand-in for NCCL: calls without polling -> misuse, invalid argument",
          "[ranks][fake_cuda]") {
  Group const group;
  Tensor t = ones(3);
  {
    std::scoped_lock const hold(fake_cuda::mutex());  // no call can complete
    CHECK(group.all_reduce(t) == ncclInProgress);
    CHECK(group.all_reduce(t) == ncclInvalidArgument);
  }
  CHECK_THAT(misuse(), Contains("ncclAllReduce before the last call has completed"));
  CHECK(group.settle() == ncclSuccess);
  CHECK(group.ends(std::chrono::seconds(5)));  // before its tensor is freed
}

TEST_CASE("stand-in for NCCL: calls of ranks disagree -> misuse with both, hang until the abort",
          "[ranks][fake_cuda]") {
  Group group;
  if (group.size == 1) return;
  Tensor t = ones(4 * group.size);
  bool const odd = group.rank == 1;
  std::string mine = "ncclAllReduce of 3 f32, sum";
  SECTION("different sizes") {
    if (odd) mine = "ncclAllReduce of 4 f32, sum";
    group.all_reduce(t, odd ? 4 : 3);
  }
  SECTION("different collectives") {
    if (odd) mine = "ncclAllGather of 3 f32";
    if (odd) ncclAllGather(t.raw() + 12, t.raw(), 3, ncclFloat32, group.comm, group.stream);
    if (!odd) group.all_reduce(t, 3);
  }
  SECTION("different roots") {
    mine = core::join("ncclBroadcast of 3 f32, root ", odd ? 1 : 0);
    ncclBroadcast(t.raw(), t.raw(), 3, ncclFloat32, odd ? 1 : 0, group.comm, group.stream);
  }
  CHECK(group.settle() == ncclSuccess);
  CHECK(group.hangs());
  group.hosts.barrier();
  CHECK_THAT(misuse(),
             Contains("disagree") && Contains(core::join("rank ", group.rank, " calls ", mine)));
}

TEST_CASE("stand-in for NCCL: a rank does not call -> hangs; ends with an abort or a revocation",
          "[ranks][fake_cuda]") {
  Group group;
  if (group.size == 1) return;
  Tensor t = ones(3);
  if (group.rank != 1) {
    CHECK(group.all_reduce(t) == ncclInProgress);
    CHECK(group.settle() == ncclSuccess);
    CHECK(group.hangs());
  }
  group.hosts.barrier();
  SECTION("revoked: refuses calls until it is aborted") {
    CHECK(ncclCommRevoke(group.comm, NCCL_REVOKE_DEFAULT) == ncclInProgress);
    CHECK(group.settle() == ncclSuccess);
    CHECK(group.ends(milliseconds(1000)));
    CHECK(group.all_reduce(t) == ncclInvalidUsage);
  }
  SECTION("aborted") { CHECK(ncclCommAbort(std::exchange(group.comm, nullptr)) == ncclSuccess); }
  CHECK(misuse().empty());
}

TEST_CASE("stand-in for NCCL: abort or finalize before the graph dies -> misuse after the patience",
          "[ranks][fake_cuda]") {
  Patience const patience(milliseconds(100));
  Group group;
  Tensor t = ones(3);
  auto graph = captured(group, t);
  graph->replay();
  CHECK(values_of(t) == std::vector<float>(3, static_cast<float>(group.size)));
  group.hosts.barrier();
  SECTION("abort") {
    CHECK(ncclCommAbort(std::exchange(group.comm, nullptr)) == ncclSuccess);
    CHECK_THAT(misuse(), Contains("ncclCommAbort waits for a graph"));
  }
  SECTION("finalize") {
    CHECK(ncclCommFinalize(group.comm) == ncclInProgress);
    CHECK(group.settle() == ncclInternalError);
    CHECK_THAT(misuse(), Contains("ncclCommFinalize waits for a graph"));
  }
  SECTION("after it") {
    graph.reset();
    CHECK(ncclCommFinalize(group.comm) == ncclInProgress);
    CHECK(group.settle() == ncclSuccess);
    CHECK(ncclCommDestroy(std::exchange(group.comm, nullptr)) == ncclSuccess);
    CHECK(misuse().empty());
  }
  graph.reset();
}

TEST_CASE("stand-in for NCCL: failures on demand -> where and how they were ordered",
          "[ranks][fake_cuda]") {
  auto const way = GENERATE(Failure::refused, Failure::reported, Failure::remote, Failure::hang);
  Group group;
  int const failing = group.size - 1;
  bool const here = group.rank == failing;
  Tensor t = ones(3);
  fake_cuda::inject({fake_cuda::collectives() + 2, way, failing});
  CHECK(group.all_reduce(t) == ncclInProgress);
  CHECK(group.settle() == ncclSuccess);
  bool const refused = here && way == Failure::refused, reported = here && way == Failure::reported;
  CHECK(group.all_reduce(t) == (refused ? ncclUnhandledCudaError : ncclInProgress));
  group.settle();
  CHECK(group.hangs() == !(refused || reported));
  auto const status = group.settle();
  CHECK((status != ncclSuccess) == (here && way != Failure::hang));
  if (here && way == Failure::remote) CHECK(status == ncclRemoteError);
  group.hosts.barrier();
  CHECK(misuse().empty());
}

TEST_CASE("stand-in for NCCL: a captured call is to fail after 2 runs -> the third replay hangs",
          "[ranks][fake_cuda]") {
  Group group;
  Tensor t = ones(3);
  fake_cuda::inject({fake_cuda::collectives() + 1, Failure::hang, -1, 2});
  auto graph = captured(group, t);
  for (int i = 0; i < 2; ++i) graph->replay();
  group.gpu.synchronize();
  graph->replay();
  CHECK(cudaStreamQuery(group.gpu.stream()) == cudaErrorNotReady);
  group.hosts.barrier();
  CHECK(ncclCommRevoke(group.comm, NCCL_REVOKE_DEFAULT) == ncclInProgress);
  group.gpu.synchronize();
  graph.reset();
  CHECK(misuse().empty());
}

TEST_CASE("stand-in for NCCL: invalid arguments -> misuse", "[ranks][fake_cuda]") {
  Group group;
  Tensor t = ones(3);
  SECTION("root out of range") {
    CHECK(ncclBroadcast(t.raw(), t.raw(), 1, ncclFloat32, group.size, group.comm, group.stream) ==
          ncclInvalidArgument);
    CHECK_THAT(misuse(), Contains("rank out of range"));
  }
  SECTION("overlap") {
    ncclAllReduce(t.raw(), t.raw() + 4, 2, ncclFloat32, ncclSum, group.comm, group.stream);
    CHECK_THAT(misuse(), Contains("overlap"));
  }
  SECTION("memory of the host") {
    std::vector<float> host(3);
    ncclAllReduce(host.data(), host.data(), 3, ncclFloat32, ncclSum, group.comm, group.stream);
    group.settle();
    CHECK(group.hangs());
    CHECK_THAT(misuse(), Contains("not in live GPU memory"));
  }
  group.settle();
  group.hosts.barrier();
}

TEST_CASE("stand-in for NCCL: destroyed before finalize has completed -> misuse",
          "[ranks][fake_cuda]") {
  Group group;
  CHECK(ncclCommFinalize(group.comm) == ncclInProgress);
  CHECK(ncclCommDestroy(group.comm) == ncclInvalidArgument);
  CHECK_THAT(misuse(), Contains("ncclCommDestroy before the last call has completed"));
  CHECK(group.settle() == ncclSuccess);
  auto const live = fake_cuda::live_communicators();
  CHECK(ncclCommDestroy(std::exchange(group.comm, nullptr)) == ncclSuccess);
  CHECK(fake_cuda::live_communicators() == live - 1);
}
