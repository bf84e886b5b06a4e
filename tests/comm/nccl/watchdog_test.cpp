#include "comm/nccl/watchdog.h"
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

using Catch::Contains;
using comm::Clock;
using comm::Watchdog;
using std::chrono::seconds;

namespace {

struct FakeTransport final : comm::Transport {
  std::string wrong;
  int aborted = 0;
  std::string error() override { return wrong; }
  void end() override { ++aborted; }
};

struct FakeCollective final : comm::WatchedCollective {
  explicit FakeCollective(std::string name) : name_(std::move(name)) {}
  std::string name() const override { return name_; }
  bool begun() const override { return begun_; }
  bool ended() const override {
    if (broken) core::fail("the GPU is lost");
    return ended_;
  }
  void begin() { begun_ = true; }
  void end() { begun_ = ended_ = true; }

  std::string name_;
  bool begun_ = false, ended_ = false, broken = false;
};

/// A watchdog with a timeout of 10 s, whose clock the test sets.
struct Watching {
  FakeTransport transport;
  Watchdog watch{transport, seconds(10)};
  void look_at(int second) { watch.look(Clock::time_point{} + seconds(second)); }
  std::shared_ptr<FakeCollective> start(std::string const& name) {
    auto collective = std::make_shared<FakeCollective>(name);
    watch.add(collective);
    return collective;
  }
};

}  // namespace

TEST_CASE("watchdog: collective ends in time -> dropped, no error") {
  Watching w;
  auto const first = w.start("first");
  first->begin();
  w.look_at(0);
  w.look_at(10);
  first->end();
  w.look_at(11);
  CHECK(first.use_count() == 1);
  w.look_at(1000);
  CHECK_NOTHROW(w.watch.check());
  CHECK(w.transport.aborted == 0);
}

TEST_CASE("watchdog: collective exceeds the timeout -> Timeout names it and the previous one") {
  Watching w;
  w.start("all_reduce of f32 on rank 1 of 4")->end();
  auto const second = w.start("all_gather of i64 on rank 1 of 4");
  second->begin();
  w.look_at(5);
  w.look_at(15);
  CHECK_NOTHROW(w.watch.check());
  w.look_at(16);
  CHECK_THROWS_AS(w.watch.check(), comm::Timeout);
  CHECK_THROWS_WITH(w.watch.check(), Contains("all_gather of i64 on rank 1 of 4 (after all_reduce "
                                              "of f32 on rank 1 of 4): still running after 10 s"));
  CHECK(w.transport.aborted == 1);
}

TEST_CASE("watchdog: timeout -> counts from when the device reaches the collective") {
  Watching w;
  auto const first = w.start("first"), second = w.start("second");
  w.look_at(0);
  w.look_at(100);  // the device still computes
  first->begin();
  second->begin();
  w.look_at(101);
  w.look_at(111);
  first->end();
  w.look_at(112);  // the timeout of the second one starts here
  w.look_at(122);
  CHECK_NOTHROW(w.watch.check());
  w.look_at(123);
  CHECK_THROWS_WITH(w.watch.check(), Contains("second (after first)"));
}

TEST_CASE("watchdog: timeout 0 -> no limit") {
  FakeTransport transport;
  Watchdog watch(transport, Clock::duration::zero());
  auto const collective = std::make_shared<FakeCollective>("first");
  collective->begin();
  watch.add(collective);
  watch.look(Clock::time_point{});
  watch.look(Clock::time_point{} + std::chrono::hours(1000));
  CHECK_NOTHROW(watch.check());
}

TEST_CASE("watchdog: transport error -> aborts everything and throws its message") {
  Watching w;
  std::shared_ptr<FakeCollective> collective;
  std::string name;
  SECTION("with a collective in flight") {
    collective = w.start("all_reduce of f32 on rank 0 of 2");
    name = "all_reduce of f32 on rank 0 of 2: ";
  }
  SECTION("with none") {}
  w.look_at(0);
  CHECK_NOTHROW(w.watch.check());
  w.transport.wrong = "NCCL: remote process exited";
  w.look_at(1);
  CHECK_THROWS_WITH(w.watch.check(), Catch::Equals(name + "NCCL: remote process exited"));
  CHECK(w.transport.aborted == 1);
}

TEST_CASE("watchdog: querying the device throws -> failure") {
  Watching w;
  w.start("first")->broken = true;
  w.look_at(0);
  CHECK_THROWS_WITH(w.watch.check(), Contains("the GPU is lost"));
  CHECK(w.transport.aborted == 1);
}

TEST_CASE("watchdog: several failures -> first reason kept, one abort, later collectives fail") {
  Watching w;
  auto const under_way = w.start("first");
  w.watch.fail(std::make_exception_ptr(core::Error("cause")));
  w.watch.fail(std::make_exception_ptr(core::Error("consequence")));
  w.transport.wrong = "another consequence";
  w.look_at(0);
  CHECK_THROWS_WITH(w.watch.check(), "cause");
  CHECK(w.transport.aborted == 1);
  CHECK(under_way.use_count() == 1);
  CHECK(w.start("second").use_count() == 1);
}

TEST_CASE("watchdog: abort -> reason is set before waiting threads continue") {
  struct Checking final : comm::Transport {
    Watchdog* watch = nullptr;
    bool known = false;
    std::string error() override { return "gone"; }
    void end() override {  // what a waiting host would do, in another thread
      std::thread([this] {
        try {
          watch->check();
        } catch (core::Error const&) {
          known = true;
        }
      }).join();
    }
  } transport;
  Watchdog watch(transport, seconds(1));
  transport.watch = &watch;
  watch.look(Clock::time_point{});
  CHECK(transport.known);
}

TEST_CASE("watchdog: add and look from two threads -> safe") {
  FakeTransport transport;
  Watchdog watch(transport, seconds(1));
  struct Now final : comm::WatchedCollective {
    std::string name() const override { return "now"; }
    bool begun() const override { return true; }
    bool ended() const override { return true; }
  };
  std::atomic<bool> stop = false;
  std::thread looking([&] {
    while (!stop) watch.look(Clock::now());
  });
  auto const now = std::make_shared<Now const>();
  for (int i = 0; i < 1000; ++i) {
    watch.add(now);
    watch.check();
  }
  stop = true;
  looking.join();
  watch.look(Clock::now());
  CHECK(now.use_count() == 1);
}
