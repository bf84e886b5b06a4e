#pragma once
#include "tests/support/fake_cuda/cudnn_graph.h"

namespace tests::fake_cuda::cudnn {

/// An algorithm. Its numerical notes say how its results deviate from the sums: what a program must
/// exclude is so inaccurate that tests notice it.
struct Engine {
  std::vector<cudnnBackendNumericalNote_t> notes;
  int64_t workspace = 0;  ///< workspace size in bytes
  int input_bits = 53;    ///< significant bits of inputs
  int sum_bits = 53;      ///< significant bits of sums
  bool only_backward = false;
  bool has_plans = true;  ///< false: the heuristic returns it, but no plan can be made

  bool has(cudnnBackendNumericalNote_t note) const;
};

/// All engines; their position is their global index.
std::vector<Engine> const& engines();

/// Returns the engine of an execution plan.
Engine const& engine_of(Descriptor const& plan);

/// Returns the indices of the engines for a pass in a heuristic mode, fastest first.
std::vector<int64_t> heuristic(Pass pass, cudnnBackendHeurMode_t mode);

/// Arguments of cudnnBackendExecute.
class Execution {
 public:
  /// Throws: Refused if the variant pack does not fit the plan.
  Execution(Descriptor const& plan, Descriptor const& pack);

  /// Computes the result, and overwrites the workspace. Memory that is not allocated now is
  /// reported, and nothing is computed.
  void run() const;

 private:
  void check() const;
  void check_workspace() const;
  bool all_live() const;
  void* address(Operand const& operand) const { return addresses_.at(operand.uid); }
  Numbers load(Operand const& operand) const;
  Numbers convolved() const;
  void add(Addition const& addition, Numbers& numbers) const;

  Graph graph_;
  Engine engine_;
  uint64_t plan_;  ///< serial number of the plan
  std::map<int64_t, void*> addresses_;
  void* workspace_;
};

}  // namespace tests::fake_cuda::cudnn
