#include "tests/support/fake_cuda/cudnn_execution.h"
#include <algorithm>
#include <random>
#include "tests/support/fake_cuda/fake_cuda.h"

namespace tests::fake_cuda::cudnn {

using core::join;

namespace {

bool overlap(void const* x, size_t x_bytes, void const* y, size_t y_bytes) {
  auto const first = reinterpret_cast<uintptr_t>(x), second = reinterpret_cast<uintptr_t>(y);
  return first < second + y_bytes && second < first + x_bytes;
}

bool aligned(void const* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) == 0;
}

bool live(void const* data, size_t bytes, std::string const& what) {
  bool const holds = on_gpu(data, bytes);
  if (!holds) misuse(join("cuDNN: ", what, ", ", bytes, " bytes, is not in live GPU memory"));
  return holds;
}

/// Returns the engine descriptor of a plan.
Descriptor const& engine_descriptor(Descriptor const& plan) {
  return plan.link(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).link(CUDNN_ATTR_ENGINECFG_ENGINE);
}

/// Changes the last bits of f32 sums, differently for each seed.
void disturb(uint64_t seed, Numbers& sums) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> noise(-0x1p-22, 0x1p-22);
  for (double& sum : sums) sum *= 1 + noise(random);
}

}  // namespace

bool Engine::has(cudnnBackendNumericalNote_t note) const {
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

std::vector<Engine> const& engines() {
  static std::vector<Engine> const all{
      {{CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, 0, 53, 53, true},
      {{CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, 5000, 11},
      {{CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS}, 0, 4},
      {{CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION},
       3000,
       53,
       4},
      {{CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4}, 1 << 16, 13},
      {{}, 0, 53, 53, false, false},
      {{}, (int64_t{1} << 30) + 256},
      {{CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, 777},
      {{CUDNN_NUMERICAL_NOTE_FFT}, 4096},
      {{}, 0},
  };
  return all;
}

std::vector<int64_t> heuristic(Pass pass, cudnnBackendHeurMode_t mode) {
  auto const last = static_cast<int64_t>(engines().size()) - 1;
  if (mode == CUDNN_HEUR_MODE_FALLBACK) return {last};
  std::vector<int64_t> found;
  for (int64_t i = 0; i < last; ++i)
    if (pass != Pass::forward || !engines()[static_cast<size_t>(i)].only_backward)
      found.push_back(i);
  return found;
}

Engine const& engine_of(Descriptor const& plan) {
  auto const index = engine_descriptor(plan).value<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  return engines().at(static_cast<size_t>(index));
}

Execution::Execution(Descriptor const& plan, Descriptor const& pack)
    : graph_(graph_of(engine_descriptor(plan).link(CUDNN_ATTR_ENGINE_OPERATION_GRAPH))),
      engine_(engine_of(plan)),
      plan_(plan.serial()),
      workspace_(pack.value<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE)) {
  auto const uids = pack.values<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  auto const pointers = pack.values<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  for (size_t i = 0; i < uids.size(); ++i) addresses_[uids[i]] = pointers[i];
  check();
}

void Execution::check() const {
  auto const operands = graph_.operands();
  Operand const& result = operands.back();
  require(addresses_.size() == operands.size(),
          join("the variant pack has ", addresses_.size(), " tensors, the plan ", operands.size()));
  for (Operand const& operand : operands) {
    require(addresses_.contains(operand.uid), join("no address of tensor ", operand.uid));
    require(aligned(address(operand), operand.alignment),
            join("tensor ", operand.uid, " is not aligned to ", operand.alignment, " bytes"),
            CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
    require(operand.uid == result.uid || !overlap(address(operand), operand.tensor.bytes(),
                                                  address(result), result.tensor.bytes()),
            join("tensor ", operand.uid, " overlaps the result"));
  }
  check_workspace();
}

void Execution::check_workspace() const {
  if (engine_.workspace == 0) return;
  require(workspace_ != nullptr, "the workspace is a null pointer",
          CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  require(aligned(workspace_, 256), "the workspace is not aligned to 256 bytes",
          CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
  for (Operand const& operand : graph_.operands())
    require(!overlap(workspace_, static_cast<size_t>(engine_.workspace), address(operand),
                     operand.tensor.bytes()),
            join("the workspace overlaps tensor ", operand.uid));
}

bool Execution::all_live() const {
  for (Operand const& operand : graph_.operands())
    if (!live(address(operand), operand.tensor.bytes(), join("tensor ", operand.uid))) return false;
  return engine_.workspace == 0 ||
         live(workspace_, static_cast<size_t>(engine_.workspace), "the workspace");
}

Numbers Execution::load(Operand const& operand) const {
  Numbers numbers = operand.tensor.load(address(operand));
  round_to(engine_.input_bits, numbers);
  return numbers;
}

Numbers Execution::convolved() const {
  auto const [first, second] = graph_.pass == Pass::forward         ? std::pair{graph_.x, graph_.w}
                               : graph_.pass == Pass::backward_data ? std::pair{graph_.y, graph_.w}
                                                                    : std::pair{graph_.x, graph_.y};
  Numbers sums = convolve(graph_.pass, graph_.geometry(), load(first), load(second));
  round_to(engine_.sum_bits, sums);
  if (engine_.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) disturb(plan_, sums);
  for (double& sum : sums) sum *= graph_.alpha;
  if (graph_.beta != 0) {
    Operand const& result = graph_.convolved();
    Numbers const kept = result.tensor.load(address(result));
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += graph_.beta * kept[i];
  }
  return sums;
}

void Execution::add(Addition const& addition, Numbers& numbers) const {
  Strided bias = addition.bias.tensor;
  for (size_t i = 0; i < bias.size.size(); ++i)
    if (bias.size[i] == 1) bias.stride[i] = 0;
  bias.size = addition.result.tensor.size;
  Numbers const added = bias.load(address(addition.bias));
  round_to(significant_bits(graph_.convolved().tensor.dtype), numbers);
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = addition.x_factor * numbers[i] + addition.bias_factor * added[i];
}

void Execution::run() const {
  if (!all_live()) return;
  if (engine_.workspace > 0)
    std::memset(workspace_, 0xFF, static_cast<size_t>(engine_.workspace));  // NaN
  Numbers numbers = convolved();
  if (graph_.addition) add(*graph_.addition, numbers);
  graph_.result().tensor.store(numbers, address(graph_.result()));
}

}  // namespace tests::fake_cuda::cudnn
