#pragma once
#include "train/config/experiment.h"
#include "train/config/scalars.h"

/// The keys of an experiment, each with its values and meaning, said once: `fields(visitor,
/// struct)` shows them to whatever reads, writes or documents experiments.
///
/// A visitor has: field(key, number or numbers, Range, meaning), field(key, bool, text or texts,
/// meaning), choice(key, enum, meaning), code_point(key, number, meaning), list(key, structs,
/// meaning) and section(key, struct, word for its defaults or null).
namespace train {

template <>
inline constexpr Names<3> names<DeviceChoice>{"auto", "cpu", "cuda"};
template <>
inline constexpr Names<3> names<CudaGraph>{"auto", "on", "off"};
template <>
inline constexpr Names<3> names<Progress>{"auto", "line", "plain"};
template <>
inline constexpr Names<3> names<Precision>{"auto", "f32", "bf16"};
template <>
inline constexpr Names<2> names<BatchNormKind>{"local", "sync"};
template <>
inline constexpr Names<9> names<Trunk>{"conv",      "small",     "resnet18",
                                       "resnet34",  "resnet50",  "iresnet18",
                                       "iresnet34", "iresnet50", "iresnet100"};
template <>
inline constexpr Names<9> names<HeadKind>{"softmax", "normface",       "cosface",
                                          "arcface", "sphereface",     "combined",
                                          "adaface", "curricularface", "row_parallel"};
template <>
inline constexpr Names<3> names<layers::Logits>{"auto", "store", "recompute"};
template <>
inline constexpr Names<2> names<layers::Passes>{"two", "one"};
template <>
inline constexpr Names<3> names<layers::Storage>{"f32", "bf16_moments", "bf16"};
template <>
inline constexpr Names<2> names<core::math::MarginGradient>{"exact", "straight_through"};
template <>
inline constexpr Names<2> names<layers::UnsampledRows>{"lazy", "dense"};
template <>
inline constexpr Names<4> names<OptimizerKind>{"sgd", "adam", "adamw", "lars"};
template <>
inline constexpr Names<5> names<Schedule>{"constant", "cosine", "step", "linear", "polynomial"};
template <>
inline constexpr Names<2> names<InitHead>{"auto", "skip"};
template <>
inline constexpr Names<5> names<DataKind>{"synthetic", "safetensors", "idx", "glyphs", "words"};

template <class V>
void fields(V& v, RunConfig& c) {
  v.field("out", c.out, "folder of the run; by default runs/ and the name of the file");
  v.field("epochs", c.epochs, at_least(0), "passes over the training set; 0: not set");
  v.field("steps", c.steps, at_least(0),
          "batches; 0: not set. The first limit reached ends the run");
  v.field("log_every", c.log_every, at_least(1), "steps between lines of metrics.jsonl");
  v.field("eval_every_epochs", c.eval_every_epochs, at_least(0), "0: only at the end");
  v.choice("progress", c.progress,
           "console output: one line that is redrawn, or plain lines; auto: by the terminal");
  v.field("threads", c.threads, between(1, 4096).or_word("auto"),
          "compute threads of a rank; auto: the cores of the host, shared out");
  v.field("profile", c.profile,
          "measure a step: its phases, what moves between ranks; tables end the run");
  v.choice("cuda_graph", c.cuda_graph,
           "on a GPU: record a step once and replay it; auto: where nothing forbids it");
  v.field("tf32", c.tf32, "on a GPU: f32 products and convolutions may round to TF32");
  v.field("deterministic", c.deterministic,
          "on a GPU: only algorithms that repeat bit for bit, though they be slower");
}

template <class V>
void fields(V& v, AugmentConfig& c) {
  v.field("translate", c.translate, between(0, 0.5), "up to this share of the side, each way");
  v.field("rotation", c.rotation, between(0, 180), "degrees, each way");
  v.field("scale", c.scale, below(0, 1), "factor in [1 - scale, 1 + scale], each axis its own");
  v.field("shear", c.shear, between(0, 1), "in [-shear, shear]");
  v.field("blur_sigma", c.blur_sigma, between(0, 16), "Gaussian deviation up to this many pixels");
  v.field("noise_std", c.noise_std, between(0, 1),
          "deviation of normal noise up to this, pixels in [0, 1]");
  v.field("contrast", c.contrast, below(0, 1),
          "contrast and brightness change by up to this share");
  v.field("horizontal_flip", c.horizontal_flip, "left and right swapped with probability 1/2");
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
  v.field("classes", c.classes, at_least(1).or_word("all"),
          "the first so many code points that qualify");
  v.field("min_fonts", c.min_fonts, at_least(1), "training fonts that must have a code point");
  v.field("size", c.size, between(8, 256), "pixels a side");
  v.field("cache", c.cache, "folder of rendered sets; by default .cache/glyphs here");
}

template <class V>
void fields(V& v, WordsConfig& c) {
  v.field("lists", c.lists, "files with a word a line; a bare name is one of /usr/share/dict");
  v.list("train", c.train, "fonts to train on");
  v.list("test", c.test, "fonts to evaluate on, each a split of its own");
  v.field("classes", c.classes, at_least(1).or_word("all"),
          "so many of the words, drawn at random; fewer are the first of more");
  v.field("height", c.height, between(8, 256), "pixels; letters have an em of this height");
  v.field("width", c.width, between(8, 1024), "pixels; longer words are shrunk to fit");
  v.field("eval_samples", c.eval_samples, at_least(1).or_word("all"),
          "words of each test font to evaluate, evenly spaced among the classes");
}

template <class V>
void fields(V& v, DataConfig& c) {
  v.choice("kind", c.kind,
           "random images, a safetensors file, MNIST files, characters or words in fonts");
  v.field("global_batch_size", c.global_batch_size, at_least(1),
          "samples of a step, over all ranks");
  v.field("shuffle", c.shuffle, "a new order each epoch");
  v.field("workers", c.workers, between(1, 256), "loader threads of a rank");
  v.field("prefetch_batches", c.prefetch_batches, between(1, 1024), "batches read ahead");
  v.section("augment", c.augment, "none");
  v.field("mean", c.mean, Range{}, "per channel, or one for all, on pixels in [0, 1]");
  v.field("std", c.std, above(0), "images enter as (pixel - mean) / std");
  v.field("path", c.path, "safetensors: the file; idx: folder");
  v.field("eval_path", c.eval_path, "safetensors: file to evaluate on");
  v.field("ignore_index", c.ignore_index, Range{},
          "safetensors, idx: images of this label count neither in the loss nor in scores");
  v.field("classes", c.classes, at_least(1).or_word("auto"),
          "synthetic: any; safetensors, idx: the largest label + 1");
  v.field("samples", c.samples, at_least(0), "synthetic");
  v.field("height", c.height, between(1, 4096), "synthetic; pixels");
  v.field("width", c.width, between(1, 4096), "synthetic; pixels");
  v.field("channels", c.channels, between(1, 1024), "synthetic");
  v.section("glyphs", c.glyphs);
  v.section("words", c.words);
}

template <class V>
void fields(V& v, ModelConfig& c) {
  v.choice("trunk", c.trunk, "docs/trunks.md describes them");
  v.field("features", c.features, between(1, 65536).or_word("auto"),
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
void fields(V& v, SamplingConfig& c) {
  v.field("rate", c.rate, Range{.low = 0, .high = 1, .open_low = true},
          "share of the classes, beside those of the batch, that a step's softmax is over");
  v.field("full_after", c.full_after, between(0, 1),
          "share of the run after which the softmax is over all classes");
  v.field("log_q", c.log_q, "correct logits by the log of a class's chance to be drawn");
  v.choice("unsampled_rows", c.unsampled_rows,
           "what is not drawn waits, or moves by momentum and decay");
}

template <class V>
void fields(V& v, HeadConfig& c) {
  v.choice("kind", c.kind,
           "softmax over dot products; over cosines with a margin; row_parallel: split by feature, "
           "with whole logits");
  v.field("bias", c.bias, "softmax, row_parallel: a bias for each class");
  v.field("scale", c.scale, above(0), "cosines times this are logits");
  v.field("margin", c.margin, at_least(0).or_word("auto"),
          "auto: cosface 0.4, arcface 0.5, sphereface 1.35, adaface 0.4, curricularface 0.5");
  v.field("m1", c.m1, at_least(1), "combined: scale (cos(m1 angle + m2) - m3)");
  v.field("m2", c.m2, at_least(0), "combined");
  v.field("m3", c.m3, at_least(0), "combined");
  v.choice("margin_gradient", c.margin_gradient, "of a margin: its own, or as if there were none");
  v.field("adaface_h", c.adaface_h, at_least(0), "adaface: how much the features' norm counts");
  v.field("interclass_filter", c.interclass_filter, between(-1, 1),
          "other classes with a larger cosine leave the softmax; 1: none");
  v.field("label_smoothing", c.label_smoothing, below(0, 1), "share of a label given to all");
  v.field("z_loss", c.z_loss, at_least(0), "times the square of log-sum-exp, added to the loss");
  v.field("class_weights", c.class_weights,
          "safetensors file with `weights` (classes), f32: of classes in the loss");
  v.section("sampling", c.sampling, "none");
  v.choice("storage", c.storage,
           "weights and optimizer state of f32; f32 weights; no f32 (stochastic rounding)");
  v.field("chunk", c.chunk, at_least(1).or_word("auto"), "classes at a time");
  v.choice("logits", c.logits, "keep the logits of a chunk, or compute them twice");
  v.choice("passes", c.passes,
           "the features' gradient in the second pass over classes, or already in the first");
  v.field("shards", c.shards, at_least(1).or_word("auto"),
          "ranks that hold all classes together; auto: all ranks");
  v.field("init_std", c.init_std, above(0), "of the initial weights");
}

template <class V>
void fields(V& v, OptimizerConfig& c) {
  v.choice("kind", c.kind, "as PyTorch's; lars: sgd with a rate for each layer, for large batches");
  v.field("lr", c.lr, above(0), "peak learning rate, for the whole batch");
  v.field("momentum", c.momentum, below(0, 1),
          "sgd, lars: share of the last change kept in the next");
  v.field("betas", c.betas, below(0, 1), "adam, adamw: decay of the two moments");
  v.field("eps", c.eps, above(0), "adam, adamw: added to the divisor");
  v.field("trust_coefficient", c.trust_coefficient, above(0),
          "lars: a layer's change, as a share of its weights' norm");
  v.field("weight_decay", c.weight_decay, at_least(0),
          "L2 penalty on weights; adamw: apart from the gradient");
  v.field("nesterov", c.nesterov, "sgd, lars: look ahead along the momentum");
  v.field("decay_norm_and_bias", c.decay_norm_and_bias, "decay on norms and biases too");
  v.field("max_grad_norm", c.max_grad_norm, above(0).or_word("none"),
          "largest norm of the whole gradient, trunk and head; longer ones are scaled down");
  v.field("accumulation_steps", c.accumulation_steps, between(1, 65536),
          "parts in which a batch goes through the network, one after another");
}

template <class V>
void fields(V& v, ScheduleConfig& c) {
  v.choice("kind", c.kind, "how the rate falls after the warm-up");
  v.field("warmup_steps", c.warmup_steps, at_least(0), "linear from 0 to the peak");
  v.field("final_lr", c.final_lr, at_least(0),
          "cosine, linear, polynomial: learning rate at the end");
  v.field("power", c.power, above(0), "polynomial");
  v.field("milestones", c.milestones, at_least(1), "step: steps where the rate is multiplied");
  v.field("gamma", c.gamma, Range{.low = 0, .high = 1, .open_low = true}, "step: by this");
}

template <class V>
void fields(V& v, CheckpointConfig& c) {
  v.field("every_steps", c.every_steps, at_least(0),
          "steps between checkpoints; 0: only at the end");
  v.field("keep_last", c.keep_last, at_least(1), "newest checkpoints that stay");
  v.field("initial", c.initial, "one before the first step too");
}

template <class V>
void fields(V& v, InitConfig& c) {
  v.field("from", c.from, "safetensors file with the weights to begin with: docs/trunks.md");
  v.field("grow_classes", c.grow_classes,
          "the file may have fewer classes: they are the first, the others new");
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
