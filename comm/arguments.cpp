#include "comm/arguments.h"
#include <algorithm>
#include "core/device.h"

namespace comm {
namespace {

/// The call whose arguments are checked. Prefix of messages: "all_gather on rank 1 of 4: ".
struct Call {
  char const* collective;
  Communicator const& ranks;
};

std::ostream& operator<<(std::ostream& out, Call const& call) {
  return out << call.collective << " on rank " << call.ranks.rank() << " of " << call.ranks.size()
             << ": ";
}

/// "(2, 0, 3)"
core::Shape list(Counts const& counts) { return core::Shape(counts.begin(), counts.end()); }

void check_tensor(Call const& call, core::Tensor const& t) {
  core::check(static_cast<bool>(t), "", call, "a tensor argument is empty (default-constructed)");
}

void check_counts(Call const& call, Counts const& counts) {
  if (std::ssize(counts) != call.ranks.size())
    core::fail("", call, "one count per rank is required, but the counts are ", list(counts));
  if (std::any_of(counts.begin(), counts.end(), [](int64_t n) { return n < 0; }))
    core::fail("", call, "counts must not be negative: ", list(counts));
}

/// Checks that `t` has `rows` rows, as required by `counts`.
void check_rows(Call const& call, core::Tensor const& t, char const* name, int64_t rows,
                Counts const& counts) {
  check_tensor(call, t);
  if (t.shape().empty() || t.shape()[0] != rows)
    core::fail("", call, name, " has shape ", t.shape(), "; expected ", rows, " rows for counts ",
               list(counts));
}

/// Checks that rows of `a` and `b` have the same shape and dtype.
void check_alike(Call const& call, core::Tensor const& a, core::Tensor const& b) {
  bool const rows_alike =
      std::equal(a.shape().begin() + 1, a.shape().end(), b.shape().begin() + 1, b.shape().end());
  core::check(rows_alike && a.dtype() == b.dtype(), "", call, "rows of ", a.dtype(), " ", a.shape(),
              " and ", b.dtype(), " ", b.shape(), " differ in dtype or row shape");
}

int64_t own(Call const& call, Counts const& counts) {
  return counts[static_cast<size_t>(call.ranks.rank())];
}

int64_t sum(Call const& call, Counts const& counts) { return begin_of(counts, call.ranks.size()); }

}  // namespace

void check_all_reduce(Communicator const& ranks, core::Tensor const& t) {
  Call const call{"all_reduce", ranks};
  check_tensor(call, t);
  core::check(t.dtype() != core::Dtype::bf16 && t.dtype() != core::Dtype::u8, "", call, t.dtype(),
              " ", t.shape(), " cannot be reduced; convert it to f32 or i32 first");
}

void check_all_gather(Communicator const& ranks, core::Tensor const& mine, Counts const& counts,
                      core::Tensor const& all) {
  Call const call{"all_gather", ranks};
  check_counts(call, counts);
  check_rows(call, mine, "mine", own(call, counts), counts);
  check_rows(call, all, "all", sum(call, counts), counts);
  check_alike(call, mine, all);
}

void check_reduce_scatter(Communicator const& ranks, core::Tensor const& all, Counts const& counts,
                          core::Tensor const& mine) {
  Call const call{"reduce_scatter", ranks};
  check_counts(call, counts);
  check_rows(call, all, "all", sum(call, counts), counts);
  check_rows(call, mine, "mine", own(call, counts), counts);
  check_alike(call, all, mine);
  core::check(all.dtype() == core::Dtype::f32 || all.dtype() == core::Dtype::f64, "", call,
              all.dtype(), " ", all.shape(), " cannot be summed; convert it to f32 first");
}

void check_all_to_all(Communicator const& ranks, core::Tensor const& out, Counts const& send,
                      core::Tensor const& in, Counts const& receive) {
  Call const call{"all_to_all", ranks};
  check_counts(call, send);
  check_counts(call, receive);
  check_rows(call, out, "out", sum(call, send), send);
  check_rows(call, in, "in", sum(call, receive), receive);
  check_alike(call, out, in);
  core::check(own(call, send) == own(call, receive), "", call, "this rank sends itself ",
              own(call, send), " rows but expects to receive ", own(call, receive));
}

void check_broadcast(Communicator const& ranks, core::Tensor const& t, int root) {
  Call const call{"broadcast", ranks};
  check_tensor(call, t);
  core::check(root >= 0 && root < ranks.size(), "", call, "root is out of range: ", root);
}

void check_device(Communicator const& ranks, Collective what, core::Tensor const& t, bool reachable,
                  char const* place) {
  if (reachable) return;
  core::fail("", Call{name(what), ranks}, t.dtype(), " ", t.shape(), " is on ",
             t.device().describe(), ", but this communicator requires tensors in ", place,
             "; open a communicator for that device (comm/open.h)");
}

}  // namespace comm
