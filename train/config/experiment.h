#pragma once
#include <cstdint>
#include <string>
#include <vector>

/// Everything an experiment file can say, with defaults. The structs are the schema: each field is
/// a key of its name. What a key means and may be is said in fields.h, once for reading, writing
/// and docs/configuration.md.
namespace train {

enum class DeviceChoice { automatic, cpu, cuda };
enum class CudaGraph { automatic, on, off };
enum class Precision { automatic, f32, bf16 };
enum class BatchNormKind { local, sync };
enum class Trunk {
  conv,
  small,
  resnet18,
  resnet34,
  resnet50,
  iresnet18,
  iresnet34,
  iresnet50,
  iresnet100
};
enum class HeadKind {
  softmax,
  normface,
  cosface,
  arcface,
  sphereface,
  combined,
  adaface,
  curricularface,
  row_parallel
};
enum class Logits { automatic, store, recompute };
enum class Plan { two_pass, one_pass };
enum class HeadState { f32, bf16_moments, bf16 };
enum class Slope { exact, straight_through };
enum class Rows { lazy, dense };
enum class OptimizerKind { sgd, adam, adamw, lars };
enum class Schedule { constant, cosine, step, linear, polynomial };
enum class InitHead { automatic, skip };
enum class DataKind { synthetic, arrays, idx, glyphs, words };

struct RunConfig {
  std::string out;
  int64_t epochs = 0;
  int64_t steps = 0;
  int64_t log_every = 20;
  int64_t eval_every_epochs = 1;
  int threads = 0;
  bool profile = false;
  CudaGraph cuda_graph = CudaGraph::automatic;
  bool tf32 = false;
  bool deterministic = false;
  bool operator==(RunConfig const&) const = default;
};

/// Random changes of a training image, keyed by (seed, epoch, sample). All 0: none.
struct AugmentConfig {
  double shift = 0;
  double rotation = 0;
  double scale = 0;
  double shear = 0;
  double blur = 0;
  double noise = 0;
  double contrast = 0;
  bool mirror = false;
  bool operator==(AugmentConfig const&) const = default;
};

struct Face {
  std::string path;
  int index = 0;
  std::string name;
  bool operator==(Face const&) const = default;
};

struct GlyphsConfig {
  std::vector<Face> train, test;
  uint32_t first = 0x4E00, last = 0x9FA5;
  int64_t classes = 0;
  int min_fonts = 2;
  int size = 32;
  std::string cache;
  bool operator==(GlyphsConfig const&) const = default;
};

struct WordsConfig {
  std::vector<std::string> lists;
  std::vector<Face> train, test;
  int64_t classes = 0;
  int height = 32, width = 128;
  int64_t eval_samples = 0;
  bool operator==(WordsConfig const&) const = default;
};

struct DataConfig {
  DataKind kind = DataKind::synthetic;
  int64_t batch = 0;
  bool shuffle = true;
  int threads = 1;
  int queue = 4;
  AugmentConfig augment;
  std::vector<double> mean{0.0};
  std::vector<double> deviation{1.0};
  // arrays, idx
  std::string path;
  std::string eval_path;
  int64_t ignore_index = -100;
  // synthetic
  int64_t classes = 0;
  int64_t samples = 0;
  int64_t height = 32, width = 32, channels = 3;
  GlyphsConfig glyphs;
  WordsConfig words;
  bool operator==(DataConfig const&) const = default;
};

struct ModelConfig {
  Trunk trunk = Trunk::small;
  int64_t features = 0;
  BatchNormKind batch_norm = BatchNormKind::local;
  double dropout = 0;
  int64_t width = 32;
  int64_t depth = 1;
  int64_t kernel = 3, stride = 1;
  bool operator==(ModelConfig const&) const = default;
};

/// Partial FC.
struct SamplingConfig {
  double rate = 1;
  double full_after = 1;
  bool log_q = false;
  Rows rows = Rows::lazy;
  bool operator==(SamplingConfig const&) const = default;
};

struct HeadConfig {
  HeadKind kind = HeadKind::softmax;
  bool bias = false;
  double scale = 64;
  double margin = 0;
  double m1 = 1, m2 = 0, m3 = 0;
  Slope gradient = Slope::exact;
  double h = 0.333;
  double filter = 1;
  double label_smoothing = 0, z_loss = 0;
  std::string class_weights;
  SamplingConfig sampling;
  HeadState state = HeadState::f32;
  int64_t chunk = 0;
  Logits logits = Logits::automatic;
  Plan plan = Plan::two_pass;
  int shards = 0;
  double deviation = 0.01;
  bool grow = false;
  bool operator==(HeadConfig const&) const = default;
};

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::sgd;
  double rate = 0.1, momentum = 0.9;
  double second = 0.999, epsilon = 1e-8;  // adam, adamw
  double eta = 0.001;                     // lars
  double decay = 5e-4;
  bool nesterov = false;
  bool decay_norms = false;
  double clip = 0;
  int accumulate = 1;
  bool operator==(OptimizerConfig const&) const = default;
};

struct ScheduleConfig {
  Schedule kind = Schedule::constant;
  int64_t warmup_steps = 0;
  double final_rate = 0;
  double power = 2;
  std::vector<int64_t> milestones;
  double factor = 0.1;
  bool operator==(ScheduleConfig const&) const = default;
};

struct CheckpointConfig {
  int64_t every = 0;
  int64_t keep = 3;
  bool initial = false;
  bool operator==(CheckpointConfig const&) const = default;
};

struct InitConfig {
  std::string from;
  InitHead head = InitHead::automatic;
  bool operator==(InitConfig const&) const = default;
};

struct Experiment {
  DeviceChoice device = DeviceChoice::automatic;
  Precision precision = Precision::automatic;
  uint64_t seed = 1;
  RunConfig run;
  DataConfig data;
  ModelConfig model;
  HeadConfig head;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  CheckpointConfig checkpoint;
  InitConfig init;
  bool operator==(Experiment const&) const = default;
};

/// Reads an experiment file (docs/configuration.md), with "key=value" settings that replace what it
/// says. Throws ConfigError with every mistake, MissingInput when there is no such file.
Experiment read_experiment(std::string const& path, std::vector<std::string> const& settings = {});

/// The same from a text; `name` is what messages call it.
Experiment parse_experiment(std::string const& name, std::string const& text,
                            std::vector<std::string> const& settings = {});

/// As YAML, every key written out. Reads back equal.
std::string to_yaml(Experiment experiment);

/// Every key with its values, default and meaning, as Markdown: docs/configuration.md.
std::string configuration_reference();

}  // namespace train
