#include "comm/nccl/communicator.h"
#include <utility>
#include "comm/arguments.h"

namespace comm {
namespace {

struct WatchedCall final : BetweenEvents {
  Collective what;
  core::Dtype dtype;
  int rank, size;

  std::string name() const override {
    return core::join(what, " of ", dtype, " on rank ", rank, " of ", size);
  }
};

class NcclPending final : public Pending {
 public:
  NcclPending(NcclStream& stream, NcclStream::Event done, std::vector<core::Tensor> tensors,
              Moved const& moved)
      : stream_(stream), done_(std::move(done)), tensors_(std::move(tensors)), moved_(moved) {}
  /// Memory is freed in the order of the compute stream, which must therefore wait.
  ~NcclPending() override {
    try {
      order();
    } catch (core::Error const&) {  // the stream is unusable, and so is the memory
    }
  }

  void wait() override {
    stream_.watchdog().check();
    order();
  }

  Moved moved() const override { return moved_; }

 private:
  void order() {
    if (done_) stream_.precede_compute(std::exchange(done_, nullptr));
  }

  NcclStream& stream_;
  NcclStream::Event done_;
  std::vector<core::Tensor> tensors_;
  Moved moved_;
};

/// The current exception with its type kept, prefixed with the name of the collective.
std::exception_ptr in(std::string const& name) {
  try {
    throw;
  } catch (Timeout const& error) {
    return std::make_exception_ptr(Timeout(core::join(name, ": ", error.what())));
  } catch (std::exception const& error) {
    return std::make_exception_ptr(core::Error(core::join(name, ": ", error.what())));
  }
}

}  // namespace

Nccl::Nccl(std::unique_ptr<Communicator> hosts, std::shared_ptr<NcclStream> stream)
    : hosts_(std::move(hosts)),
      stream_(std::move(stream)),
      group_(NcclStream::join(stream_, *hosts_)),
      exceptions_(std::uncaught_exceptions()) {}

Nccl::~Nccl() {
  if (std::uncaught_exceptions() > exceptions_)
    stream_->watchdog().fail(
        std::make_exception_ptr(core::Error("this rank failed with an exception")));
}

PendingPtr Nccl::all_reduce(core::Tensor& t, Reduce how) {
  check_all_reduce(*this, t);
  return start(Collective::all_reduce, {t}, transfers_of_all_reduce(t, how));
}

PendingPtr Nccl::all_gather(core::Tensor const& mine, Counts const& counts, core::Tensor& all) {
  check_all_gather(*this, mine, counts, all);
  return start(Collective::all_gather, {mine, all},
               transfers_of_all_gather(rank(), mine, counts, all));
}

PendingPtr Nccl::reduce_scatter(core::Tensor const& all, Counts const& counts, core::Tensor& mine) {
  check_reduce_scatter(*this, all, counts, mine);
  return start(Collective::reduce_scatter, {all, mine},
               transfers_of_reduce_scatter(rank(), all, counts, mine));
}

PendingPtr Nccl::all_to_all(core::Tensor const& out, Counts const& send, core::Tensor& in,
                            Counts const& receive) {
  check_all_to_all(*this, out, send, in, receive);
  return start(Collective::all_to_all, {out, in}, transfers_of_all_to_all(out, send, in, receive));
}

PendingPtr Nccl::broadcast(core::Tensor& t, int root) {
  check_broadcast(*this, t, root);
  return start(Collective::broadcast, {t}, transfers_of_broadcast(t, root));
}

void Nccl::barrier() {
  stream_->watchdog().check();
  hosts_->barrier();
}

std::unique_ptr<Communicator> Nccl::split(int color) {
  stream_->watchdog().check();
  return std::make_unique<Nccl>(hosts_->split(color), stream_);
}

PendingPtr Nccl::start(Collective what, std::vector<core::Tensor> tensors,
                       Transfers const& transfers) {
  for (core::Tensor const& t : tensors)
    check_device(*this, what, t, &t.device() == &stream_->device(),
                 "the memory of this rank's GPU");
  stream_->watchdog().check();
  auto const collective = std::make_shared<WatchedCall>();
  collective->what = what;
  collective->dtype = tensors.front().dtype();
  collective->rank = rank();
  collective->size = size();
  collective->ready = stream_->follow_compute();
  bool const recording = stream_->recording();
  if (recording) stream_->device().keep_with_graph(group_);
  try {
    group_->enqueue(transfers, stream_->handle());
  } catch (...) {
    // Other ranks may be waiting for this one. If the watchdog detected a failure first, its reason
    // is thrown.
    stream_->watchdog().fail(in(collective->name()));
    stream_->watchdog().check();
  }
  collective->done = stream_->mark();
  if (!recording) stream_->watchdog().add(collective);  // else the replay is watched
  return std::make_unique<NcclPending>(*stream_, collective->done, std::move(tensors),
                                       moved_by(transfers, rank(), size()));
}

}  // namespace comm
