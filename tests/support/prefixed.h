#pragma once
#include <ostream>
#include <streambuf>
#include <string>

namespace tests {

/// During its lifetime, every line of `out` begins with `prefix` and is written in one piece.
class Prefixed final : std::streambuf {
 public:
  Prefixed(std::ostream& out, std::string prefix)
      : out_(out), below_(out.rdbuf(this)), prefix_(std::move(prefix)) {}
  ~Prefixed() override {
    out_.rdbuf(below_);
    if (!line_.empty()) end_line();
  }

 private:
  int overflow(int character) override {
    line_ += static_cast<char>(character);
    if (character == '\n') end_line();
    return character;
  }
  void end_line() {
    std::string const whole = prefix_ + line_;
    below_->sputn(whole.data(), static_cast<std::streamsize>(whole.size()));
    below_->pubsync();
    line_.clear();
  }

  std::ostream& out_;
  std::streambuf* below_;
  std::string prefix_, line_;
};

}  // namespace tests
