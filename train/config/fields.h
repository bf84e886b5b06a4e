#pragma once
#include "train/config/experiment.h"
#include "train/config/scalars.h"

/// The keys of an experiment, each with its values and meaning: `fields(visitor, struct)` passes
/// them to a visitor that reads, writes or documents experiments.
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
  v.field("out", c.out, "folder of the run; default: runs/ and the name of the file");
  v.field("epochs", c.epochs, at_least(0), "passes over the training data; 0: not set");
  v.field("steps", c.steps, at_least(0),
          "training steps; 0: not set. The first limit reached ends the run");
  v.field("log_every", c.log_every, at_least(1),
          "steps between lines of metrics.jsonl and the console");
  v.field("eval_every_epochs", c.eval_every_epochs, at_least(0),
          "epochs between evaluations; 0: only at the end");
  v.choice("progress", c.progress,
           "console output: one line that is redrawn, or plain lines; auto: by the terminal");
  v.field("threads", c.threads, between(1, 4096).or_word("auto"),
          "compute threads of a rank; auto: the cores of the host, divided by its ranks");
  v.field("timeout", c.timeout, at_least(0),
          "seconds to wait for other ranks in a collective before the run ends; 0: no limit");
  v.field("profile", c.profile,
          "measure the phases of a step and the bytes sent between ranks; printed at the end");
  v.choice("cuda_graph", c.cuda_graph,
           "GPU: capture a step once and replay it; auto: if the experiment allows it");
  v.field("tf32", c.tf32, "GPU: f32 products and convolutions may round to TF32");
  v.field("deterministic", c.deterministic,
          "GPU: use only bitwise-reproducible algorithms, even if slower");
}

template <class V>
void fields(V& v, AugmentConfig& c) {
  v.field("translate", c.translate, between(0, 0.5),
          "largest shift in either direction, as a fraction of the side");
  v.field("rotation", c.rotation, between(0, 180),
          "largest rotation in either direction, in degrees");
  v.field("scale", c.scale, below(0, 1),
          "zoom factor in [1 - scale, 1 + scale], drawn for each axis");
  v.field("shear", c.shear, between(0, 1), "shear factor in [-shear, shear]");
  v.field("blur_sigma", c.blur_sigma, between(0, 16),
          "largest standard deviation of a Gaussian blur, in pixels");
  v.field("noise_std", c.noise_std, between(0, 1),
          "largest standard deviation of Gaussian noise; pixels are in [0, 1]");
  v.field("contrast", c.contrast, below(0, 1),
          "largest relative change of contrast and brightness");
  v.field("horizontal_flip", c.horizontal_flip, "swap left and right with probability 1/2");
}

template <class V>
void fields(V& v, Face& c) {
  v.field("path", c.path, "font file; a bare name is searched in the system's font folders");
  v.field("index", c.index, between(0, 65535), "index of the face in a collection (.ttc)");
  v.field("name", c.name, "name in reports; default: the name of the file");
}

template <class V>
void fields(V& v, GlyphsConfig& c) {
  v.list("train", c.train, "training fonts");
  v.list("test", c.test, "evaluation fonts, one split each");
  v.code_point("first", c.first, "first code point");
  v.code_point("last", c.last, "last code point, inclusive");
  v.field("classes", c.classes, at_least(1).or_word("all"),
          "number of code points: the first ones that qualify");
  v.field("min_fonts", c.min_fonts, at_least(1),
          "training fonts that must contain a code point for it to qualify");
  v.field("size", c.size, between(8, 256), "height and width of an image, in pixels");
  v.field("cache", c.cache, "folder for rendered images; default: .cache/glyphs");
}

template <class V>
void fields(V& v, WordsConfig& c) {
  v.field("lists", c.lists,
          "files with one word per line; a bare name is searched in /usr/share/dict");
  v.list("train", c.train, "training fonts");
  v.list("test", c.test, "evaluation fonts, one split each");
  v.field("classes", c.classes, at_least(1).or_word("all"),
          "number of words, chosen at random; a smaller set is a prefix of a larger one");
  v.field("height", c.height, between(8, 256),
          "height of an image, and of the font's em, in pixels");
  v.field("width", c.width, between(8, 1024),
          "width of an image, in pixels; longer words are scaled down");
  v.field("eval_samples", c.eval_samples, at_least(1).or_word("all"),
          "evaluated words of each test font, evenly spaced over the classes");
}

template <class V>
void fields(V& v, DataConfig& c) {
  v.choice("kind", c.kind,
           "random images, a safetensors file, MNIST files, rendered characters or words");
  v.field("global_batch_size", c.global_batch_size, at_least(1),
          "samples of a step, over all ranks");
  v.field("shuffle", c.shuffle, "use a new order in each epoch");
  v.field("workers", c.workers, between(1, 256), "threads of a rank that load data");
  v.field("prefetch_batches", c.prefetch_batches, between(1, 1024), "batches loaded in advance");
  v.section("augment", c.augment, "none");
  v.field("mean", c.mean, Range{},
          "mean of the pixels in [0, 1]: one value, or one for each channel");
  v.field("std", c.std, above(0),
          "standard deviation; the network's input is (pixel - mean) / std");
  v.field("path", c.path, "safetensors: file; idx: folder");
  v.field("eval_path", c.eval_path, "safetensors: evaluation file");
  v.field("ignore_index", c.ignore_index, Range{},
          "safetensors, idx: images with this label are excluded from loss and scores");
  v.field("classes", c.classes, at_least(1).or_word("auto"),
          "number of classes; auto: the largest label + 1 (safetensors, idx)");
  v.field("samples", c.samples, at_least(0), "synthetic: number of images");
  v.field("height", c.height, between(1, 4096), "synthetic: height of an image, in pixels");
  v.field("width", c.width, between(1, 4096), "synthetic: width of an image, in pixels");
  v.field("channels", c.channels, between(1, 1024), "synthetic: channels of an image");
  v.section("glyphs", c.glyphs);
  v.section("words", c.words);
}

template <class V>
void fields(V& v, ModelConfig& c) {
  v.choice("trunk", c.trunk, "network before the classifier; docs/trunks.md describes each");
  v.field("features", c.features, between(1, 65536).or_word("auto"),
          "width of the embedding; auto: 128 for small, 512 for iresnets, else given by the trunk");
  v.choice("batch_norm", c.batch_norm, "statistics over the samples of a rank, or of all ranks");
  v.field("dropout", c.dropout, below(0, 1),
          "small, iresnets: probability, before the last linear layer");
  v.field("width", c.width, between(1, 65536), "conv, small: channels of the first convolution");
  v.field("depth", c.depth, between(1, 64), "small: blocks in a stage");
  v.field("kernel", c.kernel, between(1, 255),
          "conv, small: size of the first convolution, in pixels; odd for small");
  v.field("stride", c.stride, between(1, 255), "conv, small: stride of the first convolution");
}

template <class V>
void fields(V& v, SamplingConfig& c) {
  v.field("rate", c.rate, Range{.low = 0, .high = 1, .open_low = true},
          "fraction of negative classes sampled per step (Partial FC); 1: all");
  v.field("full_after", c.full_after, between(0, 1),
          "fraction of the run after which all classes are used");
  v.field("log_q", c.log_q,
          "subtract log(sampling probability) from the logits of sampled classes");
  v.choice("unsampled_rows", c.unsampled_rows,
           "classes not sampled in a step: unchanged, or updated by momentum and weight decay");
}

template <class V>
void fields(V& v, HeadConfig& c) {
  v.choice(
      "kind", c.kind,
      "loss over dot products (softmax) or cosines (the others); row_parallel: softmax, split by "
      "feature, for comparison");
  v.field("bias", c.bias, "softmax, row_parallel: one bias per class");
  v.field("scale", c.scale, above(0), "factor from cosines to logits");
  v.field(
      "margin", c.margin, at_least(0).or_word("auto"),
      "margin; auto: cosface 0.4, arcface 0.5, sphereface 1.35, adaface 0.4, curricularface 0.5");
  v.field("m1", c.m1, at_least(1), "combined: logit = scale (cos(m1 angle + m2) - m3)");
  v.field("m2", c.m2, at_least(0), "combined: angular margin");
  v.field("m3", c.m3, at_least(0), "combined: cosine margin");
  v.choice("margin_gradient", c.margin_gradient, "gradient of the margin: exact, or 1");
  v.field("adaface_h", c.adaface_h, at_least(0),
          "adaface: weight of the feature norm in the margin");
  v.field("interclass_filter", c.interclass_filter, between(-1, 1),
          "exclude negative classes with a larger cosine from the softmax; 1: none");
  v.field("label_smoothing", c.label_smoothing, below(0, 1),
          "probability distributed over all classes");
  v.field("z_loss", c.z_loss, at_least(0),
          "coefficient of the squared log-sum-exp, added to the loss");
  v.field("class_weights", c.class_weights,
          "safetensors file with `weights` (classes), f32: weight of each class in the loss");
  v.section("sampling", c.sampling, "none");
  v.choice("storage", c.storage,
           "f32; f32 weights with bf16 moments; everything bf16 with stochastic rounding");
  v.field("chunk", c.chunk, at_least(1).or_word("auto"),
          "classes per matrix product; auto: by the cache");
  v.choice("logits", c.logits,
           "store the logits for the second pass, or recompute them; auto: by their memory");
  v.choice("passes", c.passes,
           "passes over the classes before the gradient of the features is complete");
  v.field("shards", c.shards, at_least(1).or_word("auto"),
          "ranks that the classes are split over; auto: all ranks");
  v.field("init_std", c.init_std, above(0), "standard deviation of the initial weights");
}

template <class V>
void fields(V& v, OptimizerConfig& c) {
  v.choice("kind", c.kind,
           "PyTorch's formulas; lars: sgd with a learning rate per layer, for large batches");
  v.field("lr", c.lr, above(0), "peak learning rate, for the global batch");
  v.field("momentum", c.momentum, below(0, 1), "sgd, lars: momentum coefficient");
  v.field("betas", c.betas, below(0, 1), "adam, adamw: decay rates of the two moments");
  v.field("eps", c.eps, above(0), "adam, adamw: term added to the denominator");
  v.field("trust_coefficient", c.trust_coefficient, above(0),
          "lars: learning rate of a layer relative to the norm of its weights");
  v.field("weight_decay", c.weight_decay, at_least(0),
          "L2 penalty; adamw: decoupled from the gradient");
  v.field("nesterov", c.nesterov, "sgd, lars: Nesterov momentum");
  v.field("decay_norm_and_bias", c.decay_norm_and_bias,
          "apply weight decay to normalization parameters and biases");
  v.field("max_grad_norm", c.max_grad_norm, above(0).or_word("none"),
          "clip the gradient of trunk and head to this norm");
  v.field("accumulation_steps", c.accumulation_steps, between(1, 65536),
          "micro-batches per step (gradient accumulation)");
}

template <class V>
void fields(V& v, ScheduleConfig& c) {
  v.choice("kind", c.kind, "decay of the learning rate after the warm-up");
  v.field("warmup_steps", c.warmup_steps, at_least(0),
          "steps of linear warm-up, from 0 to the peak");
  v.field("final_lr", c.final_lr, at_least(0),
          "cosine, linear, polynomial: learning rate at the end");
  v.field("power", c.power, above(0), "polynomial: exponent");
  v.field("milestones", c.milestones, at_least(1),
          "step: steps at which the learning rate is multiplied by gamma");
  v.field("gamma", c.gamma, Range{.low = 0, .high = 1, .open_low = true},
          "step: factor of the learning rate");
}

template <class V>
void fields(V& v, CheckpointConfig& c) {
  v.field("every_steps", c.every_steps, at_least(0),
          "steps between checkpoints; 0: only at the end");
  v.field("keep_last", c.keep_last, at_least(1), "number of checkpoints to keep");
  v.field("initial", c.initial, "also write a checkpoint before the first step");
}

template <class V>
void fields(V& v, InitConfig& c) {
  v.field("from", c.from, "safetensors file with initial weights: docs/trunks.md");
  v.field("grow_classes", c.grow_classes,
          "accept a file with fewer classes: they become the first, the others are new");
  v.choice("head", c.head, "auto: read the classifier too, if the file has one; skip: do not");
}

template <class V>
void fields(V& v, Experiment& c) {
  v.choice("device", c.device, "auto: a GPU if there is one");
  v.choice("precision", c.precision, "auto: bf16 if the device has matrix units for it");
  v.field("seed", c.seed, at_least(0), "seed of weights, data order and augmentation");
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
