#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>
#include "core/math/margin.h"
#include "layers/head/options.h"

/// The schema of an experiment file, with defaults. Each field of these structs is a key of the
/// same name. fields.h defines the meaning and valid values of each key, once for reading, for
/// writing and for docs/configuration.md.
namespace train {

enum class DeviceChoice { automatic, cpu, cuda };
enum class CudaGraph { automatic, on, off };
enum class Progress { automatic, line, plain };
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
enum class OptimizerKind { sgd, adam, adamw, lars };
enum class Schedule { constant, cosine, step, linear, polynomial };
enum class InitHead { automatic, skip };
enum class DataKind { synthetic, safetensors, idx, glyphs, words };

struct RunConfig {
  std::string out;
  int64_t epochs = 0;
  int64_t steps = 0;
  int64_t log_every = 20;
  int64_t eval_every_epochs = 1;
  Progress progress = Progress::automatic;
  std::optional<int> threads;
  double timeout = 600;
  bool profile = false;
  CudaGraph cuda_graph = CudaGraph::automatic;
  bool tf32 = false;
  bool deterministic = false;
  bool operator==(RunConfig const&) const = default;
};

/// Random augmentation of a training image, keyed by (seed, epoch, sample). All 0: none.
struct AugmentConfig {
  double translate = 0;
  double rotation = 0;
  double scale = 0;
  double shear = 0;
  double blur_sigma = 0;
  double noise_std = 0;
  double contrast = 0;
  bool horizontal_flip = false;
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
  std::optional<int64_t> classes;
  int min_fonts = 2;
  int size = 32;
  std::string cache;
  bool operator==(GlyphsConfig const&) const = default;
};

struct WordsConfig {
  std::vector<std::string> lists;
  std::vector<Face> train, test;
  std::optional<int64_t> classes;
  int height = 32, width = 128;
  std::optional<int64_t> eval_samples;
  bool operator==(WordsConfig const&) const = default;
};

struct DataConfig {
  DataKind kind = DataKind::synthetic;
  int64_t global_batch_size = 0;
  bool shuffle = true;
  int workers = 1;
  int prefetch_batches = 4;
  AugmentConfig augment;
  std::vector<double> mean{0.0};
  std::vector<double> std{1.0};
  // safetensors, idx
  std::string path;
  std::string eval_path;
  int64_t ignore_index = -100;
  std::optional<int64_t> classes;
  // synthetic
  int64_t samples = 0;
  int64_t height = 32, width = 32, channels = 3;
  GlyphsConfig glyphs;
  WordsConfig words;
  bool operator==(DataConfig const&) const = default;
};

struct ModelConfig {
  Trunk trunk = Trunk::small;
  std::optional<int64_t> features;
  BatchNormKind batch_norm = BatchNormKind::local;
  double dropout = 0;
  int64_t width = 32;
  int64_t depth = 1;
  int64_t kernel = 3, stride = 1;
  bool operator==(ModelConfig const&) const = default;
};

/// Class sampling (Partial FC).
struct SamplingConfig {
  double rate = 1;
  double full_after = 1;
  bool log_q = false;
  layers::UnsampledRows unsampled_rows = layers::UnsampledRows::lazy;
  bool operator==(SamplingConfig const&) const = default;
};

struct HeadConfig {
  HeadKind kind = HeadKind::softmax;
  bool bias = false;
  double scale = 64;
  std::optional<double> margin;
  double m1 = 1, m2 = 0, m3 = 0;
  core::math::MarginGradient margin_gradient = core::math::MarginGradient::exact;
  double adaface_h = 0.333;
  double interclass_filter = 1;
  double label_smoothing = 0, z_loss = 0;
  std::string class_weights;
  SamplingConfig sampling;
  layers::Storage storage = layers::Storage::f32;
  std::optional<int64_t> chunk;
  layers::Logits logits = layers::Logits::automatic;
  layers::Passes passes = layers::Passes::two;
  std::optional<int> shards;
  double init_std = 0.01;
  bool operator==(HeadConfig const&) const = default;
};

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::sgd;
  double lr = 0.1;
  double momentum = 0.9;                    // sgd, lars
  std::array<double, 2> betas{0.9, 0.999};  // adam, adamw
  double eps = 1e-8;                        // adam, adamw
  double trust_coefficient = 0.001;         // lars
  double weight_decay = 5e-4;
  bool nesterov = false;
  bool decay_norm_and_bias = false;
  std::optional<double> max_grad_norm;
  int accumulation_steps = 1;
  bool operator==(OptimizerConfig const&) const = default;
};

struct ScheduleConfig {
  Schedule kind = Schedule::constant;
  int64_t warmup_steps = 0;
  double final_lr = 0;
  double power = 2;
  std::vector<int64_t> milestones;
  double gamma = 0.1;
  bool operator==(ScheduleConfig const&) const = default;
};

struct CheckpointConfig {
  int64_t every_steps = 0;
  int64_t keep_last = 3;
  bool initial = false;
  bool operator==(CheckpointConfig const&) const = default;
};

struct InitConfig {
  std::string from;
  bool grow_classes = false;
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

/// Reads an experiment file (docs/configuration.md). "key=value" settings override its keys.
/// Throws: ConfigError with all errors of the file and the settings; MissingInput if the file
/// cannot be read.
Experiment read_experiment(std::string const& path, std::vector<std::string> const& settings = {});

/// Parses an experiment from a text. `name`: name of the text in messages.
/// Throws: ConfigError with all errors.
Experiment parse_experiment(std::string const& name, std::string const& text,
                            std::vector<std::string> const& settings = {});

/// Returns the experiment with absolute paths: data, class weights, initial weights, and those
/// fonts and word lists whose path contains a folder. Bare names of fonts and lists are kept.
Experiment with_absolute_paths(Experiment experiment);

/// Returns the experiment as YAML with all keys. Reads back equal.
std::string to_yaml(Experiment experiment);

/// Returns the reference of all keys with values, default and meaning, as Markdown:
/// docs/configuration.md.
std::string configuration_reference();

}  // namespace train
