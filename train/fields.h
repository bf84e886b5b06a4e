#pragma once
#include "train/convert.h"
#include "train/experiment.h"

/// The keys of an experiment, each with its values and meaning, said once: `fields(visitor,
/// struct)` shows them to whatever reads, writes or documents experiments.
///
/// A visitor has: field(key, number or numbers, Range, meaning), field(key, bool or text, meaning),
/// choice(key, enum, meaning), code_point(key, number, meaning), list(key, structs, meaning)
/// and section(key, struct, word for its defaults or null).
namespace train {

template <>
inline constexpr Names<3> names<DeviceChoice>{"auto", "cpu", "cuda"};
template <>
inline constexpr Names<3> names<CudaGraph>{"auto", "on", "off"};
template <>
inline constexpr Names<3> names<Precision>{"auto", "f32", "bf16"};
template <>
inline constexpr Names<2> names<BatchNormKind>{"local", "sync"};
template <>
inline constexpr Names<9> names<Trunk>{"conv",      "small",     "resnet18",
                                       "resnet34",  "resnet50",  "iresnet18",
                                       "iresnet34", "iresnet50", "iresnet100"};
template <>
inline constexpr Names<2> names<HeadKind>{"softmax", "row_parallel"};
template <>
inline constexpr Names<3> names<Logits>{"auto", "store", "recompute"};
template <>
inline constexpr Names<1> names<OptimizerKind>{"sgd"};
template <>
inline constexpr Names<5> names<Schedule>{"constant", "cosine", "step", "linear", "polynomial"};
template <>
inline constexpr Names<2> names<InitHead>{"auto", "skip"};
template <>
inline constexpr Names<4> names<DataKind>{"synthetic", "arrays", "idx", "glyphs"};

template <class V>
void fields(V& v, RunConfig& c) {
  v.field("out", c.out, "folder of the run; by default runs/ and the name of the file");
  v.field("epochs", c.epochs, at_least(0), "passes over the training set; 0: not set");
  v.field("steps", c.steps, at_least(0),
          "batches; 0: not set. The first limit reached ends the run");
  v.field("log_every", c.log_every, at_least(1), "steps between lines of metrics.jsonl");
  v.field("eval_every_epochs", c.eval_every_epochs, at_least(0), "0: only at the end");
  v.field("threads", c.threads, between(0, 4096).zero_is("auto"),
          "compute threads of a rank; auto: the cores of the host, shared out");
  v.field("profile", c.profile, "measure the phases of a step; the table ends the run");
  v.choice("cuda_graph", c.cuda_graph,
           "on a GPU: record a step once and replay it; auto: where nothing forbids it");
  v.field("tf32", c.tf32, "on a GPU: f32 products and convolutions may round to TF32");
  v.field("deterministic", c.deterministic,
          "on a GPU: only algorithms that repeat bit for bit, though they be slower");
}

template <class V>
void fields(V& v, AugmentConfig& c) {
  v.field("shift", c.shift, between(0, 0.5), "up to this share of the side, each way");
  v.field("rotation", c.rotation, between(0, 180), "degrees, each way");
  v.field("scale", c.scale, below(0, 1), "factor in [1 - scale, 1 + scale], each axis its own");
  v.field("shear", c.shear, between(0, 1), "in [-shear, shear]");
  v.field("blur", c.blur, between(0, 16), "Gaussian deviation up to this many pixels");
  v.field("noise", c.noise, between(0, 1),
          "deviation of normal noise up to this, pixels in [0, 1]");
  v.field("contrast", c.contrast, below(0, 1),
          "contrast and brightness change by up to this share");
  v.field("mirror", c.mirror, "left and right swapped with probability 1/2");
}

template <class V>
void fields(V& v, Face& c) {
  v.field("path", c.path, "font file; a bare name is looked up in the system's font folders");
  v.field("index", c.index, between(0, 65535), "face within a collection (.ttc)");
  v.field("name", c.name, "as reports call it; by default the file's name");
}

template <class V>
void fields(V& v, GlyphsConfig& c) {
  v.list("train", c.train, "fonts to train on");
  v.list("test", c.test, "fonts to evaluate on, each a split of its own");
  v.code_point("first", c.first, "first code point");
  v.code_point("last", c.last, "last code point, inclusive");
  v.field("classes", c.classes, at_least(0).zero_is("all"),
          "the first so many code points that qualify");
  v.field("min_fonts", c.min_fonts, at_least(1), "training fonts that must have a code point");
  v.field("size", c.size, between(8, 256), "pixels a side");
  v.field("cache", c.cache, "folder of rendered sets; by default .cache/glyphs here");
}

template <class V>
void fields(V& v, DataConfig& c) {
  v.choice("kind", c.kind, "random images, a safetensors file, MNIST files, fonts");
  v.field("batch", c.batch, at_least(1), "samples of a step, over all ranks");
  v.field("shuffle", c.shuffle, "a new order each epoch");
  v.field("threads", c.threads, between(1, 256), "loader threads of a rank");
  v.field("queue", c.queue, between(1, 1024), "batches read ahead");
  v.section("augment", c.augment, "none");
  v.field("mean", c.mean, Range{}, "per channel, or one for all, on pixels in [0, 1]");
  v.field("deviation", c.deviation, above(0), "images enter as (pixel - mean) / deviation");
  v.field("path", c.path, "arrays: safetensors file; idx: folder");
  v.field("eval_path", c.eval_path, "arrays: safetensors file to evaluate on");
  v.field("classes", c.classes, at_least(0).zero_is("auto"),
          "synthetic: any; arrays, idx: the largest label + 1");
  v.field("samples", c.samples, at_least(0), "synthetic");
  v.field("height", c.height, between(1, 4096), "synthetic; pixels");
  v.field("width", c.width, between(1, 4096), "synthetic; pixels");
  v.field("channels", c.channels, between(1, 1024), "synthetic");
  v.section("glyphs", c.glyphs);
}

template <class V>
void fields(V& v, ModelConfig& c) {
  v.choice("trunk", c.trunk, "docs/trunks.md describes them");
  v.field("features", c.features, between(0, 65536).zero_is("auto"),
          "width of what enters the head; auto: 128 for small, 512 for iresnets; else the trunk's");
  v.choice("batch_norm", c.batch_norm, "statistics of a rank, or of all");
  v.field("dropout", c.dropout, below(0, 1), "small, iresnets: before the features");
  v.field("width", c.width, between(1, 65536), "conv, small: channels of the first convolution");
  v.field("depth", c.depth, between(1, 64), "small: blocks of a stage");
  v.field("kernel", c.kernel, between(1, 255),
          "pixels a side of conv's convolution, of small's first (odd)");
  v.field("stride", c.stride, between(1, 255), "of conv's convolution, of small's first");
}

template <class V>
void fields(V& v, HeadConfig& c) {
  v.choice("kind", c.kind, "split by class; or by feature, with whole logits");
  v.field("bias", c.bias, "a bias for each class");
  v.field("chunk", c.chunk, at_least(0).zero_is("auto"), "classes at a time");
  v.choice("logits", c.logits, "keep the logits of a chunk, or compute them twice");
}

template <class V>
void fields(V& v, OptimizerConfig& c) {
  v.choice("kind", c.kind, "stochastic gradient descent");
  v.field("rate", c.rate, above(0), "peak learning rate, for the whole batch");
  v.field("momentum", c.momentum, below(0, 1), "share of the last change kept in the next");
  v.field("decay", c.decay, at_least(0), "L2 penalty on weights");
  v.field("nesterov", c.nesterov, "look ahead along the momentum");
  v.field("decay_norms", c.decay_norms, "decay on norms and biases too");
}

template <class V>
void fields(V& v, ScheduleConfig& c) {
  v.choice("kind", c.kind, "how the rate falls after the warm-up");
  v.field("warmup_steps", c.warmup_steps, at_least(0), "linear from 0 to the peak");
  v.field("final_rate", c.final_rate, between(0, 1),
          "cosine, linear, polynomial: share of the peak at the end");
  v.field("power", c.power, above(0), "polynomial");
  v.field("milestones", c.milestones, at_least(1), "step: steps where the rate is multiplied");
  v.field("factor", c.factor, Range{.low = 0, .high = 1, .open_low = true}, "step: by this");
}

template <class V>
void fields(V& v, CheckpointConfig& c) {
  v.field("every", c.every, at_least(0), "steps between checkpoints; 0: only at the end");
  v.field("keep", c.keep, at_least(1), "newest checkpoints that stay");
  v.field("initial", c.initial, "one before the first step too");
}

template <class V>
void fields(V& v, InitConfig& c) {
  v.field("from", c.from, "safetensors file with the weights to begin with: docs/trunks.md");
  v.choice("head", c.head, "auto: the classifier too, where the file has one; skip: never");
}

template <class V>
void fields(V& v, Experiment& c) {
  v.choice("device", c.device, "auto: the GPU where there is one");
  v.choice("precision", c.precision, "auto: bf16 where the device has units for it");
  v.field("seed", c.seed, at_least(0), "of weights, order and augmentation");
  v.section("run", c.run);
  v.section("data", c.data);
  v.section("model", c.model);
  v.section("head", c.head);
  v.section("optimizer", c.optimizer);
  v.section("schedule", c.schedule);
  v.section("checkpoint", c.checkpoint);
  v.section("init", c.init);
}

}  // namespace train
