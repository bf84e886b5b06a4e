#include "train/config/foreign_keys.h"
#include "core/check.h"
#include "train/config/fields.h"

namespace train {
namespace {

std::vector<std::pair<std::string_view, std::string_view>> const words{
    {"learning_rate", "optimizer.lr"},
    {"base_lr", "optimizer.lr"},
    {"rate", "optimizer.lr"},
    {"wd", "optimizer.weight_decay"},
    {"decay", "optimizer.weight_decay"},
    {"opt", "optimizer.kind"},
    {"opt_eps", "optimizer.eps"},
    {"epsilon", "optimizer.eps"},
    {"beta1", "optimizer.betas"},
    {"beta2", "optimizer.betas"},
    {"opt_betas", "optimizer.betas"},
    {"clip", "optimizer.max_grad_norm"},
    {"clip_grad", "optimizer.max_grad_norm"},
    {"grad_clip", "optimizer.max_grad_norm"},
    {"max_norm", "optimizer.max_grad_norm"},
    {"gradient_clip_val", "optimizer.max_grad_norm"},
    {"accumulate", "optimizer.accumulation_steps"},
    {"gradient_acc", "optimizer.accumulation_steps"},
    {"grad_accum_steps", "optimizer.accumulation_steps"},
    {"gradient_accumulation_steps", "optimizer.accumulation_steps"},
    {"accumulate_grad_batches", "optimizer.accumulation_steps"},
    {"sched", "schedule.kind"},
    {"scheduler", "schedule.kind"},
    {"lr_scheduler", "schedule.kind"},
    {"warmup", "schedule.warmup_steps"},
    {"warmup_epoch", "schedule.warmup_steps"},
    {"warmup_epochs", "schedule.warmup_steps"},
    {"min_lr", "schedule.final_lr"},
    {"eta_min", "schedule.final_lr"},
    {"decay_rate", "schedule.gamma"},
    {"decay_milestones", "schedule.milestones"},
    {"batch", "data.global_batch_size"},
    {"batch_size", "data.global_batch_size"},
    {"train_batch_size", "data.global_batch_size"},
    {"num_workers", "data.workers"},
    {"prefetch_factor", "data.prefetch_batches"},
    {"num_classes", "data.classes"},
    {"hflip", "data.augment.horizontal_flip"},
    {"mirror", "data.augment.horizontal_flip"},
    {"data_dir", "data.path"},
    {"root", "data.path"},
    {"rec", "data.path"},
    {"dataset", "data.kind"},
    {"backbone", "model.trunk"},
    {"network", "model.trunk"},
    {"arch", "model.trunk"},
    {"embedding_size", "model.features"},
    {"feature_dim", "model.features"},
    {"embedding_dim", "model.features"},
    {"drop", "model.dropout"},
    {"sync_bn", "model.batch_norm"},
    {"margin_list", "head.kind"},
    {"loss", "head.kind"},
    {"s", "head.scale"},
    {"m", "head.margin"},
    {"smoothing", "head.label_smoothing"},
    {"sample_rate", "head.sampling.rate"},
    {"interclass_filtering_threshold", "head.interclass_filter"},
    {"fp16", "precision"},
    {"amp", "precision"},
    {"dtype", "precision"},
    {"accelerator", "device"},
    {"num_epoch", "run.epochs"},
    {"max_epochs", "run.epochs"},
    {"max_steps", "run.steps"},
    {"output", "run.out"},
    {"output_dir", "run.out"},
    {"log_every_n_steps", "run.log_every"},
    {"check_val_every_n_epoch", "run.eval_every_epochs"},
    {"pretrained", "init.from"},
};

/// Visitor that lists every key with its path; see fields.h.
class Keys {
 public:
  Keys(std::string path, std::vector<std::string>& all) : path_(std::move(path)), all_(all) {}

  template <class T>
  void field(char const* key, T const&, Range const&, char const*) {
    add(key);
  }
  template <class T>
  void field(char const* key, T const&, char const*) {
    add(key);
  }
  void code_point(char const* key, uint32_t, char const*) { add(key); }
  template <class Enum>
  void choice(char const* key, Enum, char const*) {
    add(key);
  }
  template <class Struct>
  void list(char const* key, std::vector<Struct>&, char const*) {
    add(key);
  }
  template <class Struct>
  void section(char const* key, Struct& value, char const* = nullptr) {
    Keys inner(path_ + key + ".", all_);
    fields(inner, value);
  }

 private:
  void add(char const* key) { all_.push_back(path_ + key); }

  std::string path_;
  std::vector<std::string>& all_;
};

std::vector<std::string> all_keys() {
  std::vector<std::string> all;
  Experiment experiment;
  Keys keys("", all);
  fields(keys, experiment);
  return all;
}

}  // namespace

std::vector<std::pair<std::string_view, std::string_view>> const& foreign_keys() { return words; }

std::string key_meant_by(std::string_view word) {
  for (auto const& [theirs, ours] : words)
    if (theirs == word) return std::string(ours);
  std::string only;
  for (auto const& key : all_keys()) {
    if (key != word && !key.ends_with(core::join('.', word))) continue;
    if (!only.empty()) return "";
    only = key;
  }
  return only;
}

}  // namespace train
