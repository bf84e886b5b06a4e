#include "train/checkpoint/on_all_ranks.h"
#include "core/device.h"

namespace train {
namespace {

using core::Dtype;
using core::Tensor;

Outcome attempt(std::function<std::string()> const& work) {
  try {
    return {0, Exit::done, work()};
  } catch (RunError const& error) {
    return {0, error.exit, error.what()};
  } catch (core::OutOfMemory const& error) {
    return {0, Exit::out_of_memory, error.what()};
  } catch (std::exception const& error) {
    return {0, Exit::internal, error.what()};
  }
}

}  // namespace

std::vector<std::string> gather_texts(comm::Communicator& ranks, core::Device& device,
                                      std::string const& mine) {
  auto const parts = static_cast<size_t>(ranks.size());
  auto const length = static_cast<int64_t>(mine.size());
  comm::Counts lengths(parts);
  Tensor my_length(device, {1}, Dtype::i64), all_lengths(device, {ranks.size()}, Dtype::i64);
  device.upload(&length, my_length);
  ranks.all_gather(my_length, comm::Counts(parts, 1), all_lengths)->wait();
  device.download(all_lengths, lengths.data());

  std::string joined(static_cast<size_t>(comm::begin_of(lengths, ranks.size())), '\0');
  Tensor my_text(device, {length}, Dtype::u8);
  Tensor all(device, {static_cast<int64_t>(joined.size())}, Dtype::u8);
  device.upload(mine.data(), my_text);
  ranks.all_gather(my_text, lengths, all)->wait();
  device.download(all, joined.data());

  std::vector<std::string> texts;
  for (size_t rank = 0; rank < parts; ++rank) {
    auto const begin = static_cast<size_t>(comm::begin_of(lengths, static_cast<int>(rank)));
    texts.push_back(joined.substr(begin, static_cast<size_t>(lengths[rank])));
  }
  return texts;
}

std::vector<Outcome> rank_outcomes(comm::Communicator& ranks, core::Device& device,
                                   std::function<std::string()> const& work) {
  Outcome const mine = attempt(work);
  auto const texts = gather_texts(ranks, device, static_cast<char>(mine.exit) + mine.text);
  std::vector<Outcome> all;
  all.reserve(texts.size());
  for (auto const& text : texts)
    all.push_back({static_cast<int>(all.size()), static_cast<Exit>(text.front()), text.substr(1)});
  return all;
}

std::vector<std::string> on_all_ranks(comm::Communicator& ranks, core::Device& device,
                                      std::function<std::string()> const& work) {
  std::vector<std::string> results;
  for (auto const& outcome : rank_outcomes(ranks, device, work)) {
    if (outcome.exit != Exit::done)
      throw IoError(core::join("rank ", outcome.rank, ": ", outcome.text));
    results.push_back(outcome.text);
  }
  return results;
}

}  // namespace train
