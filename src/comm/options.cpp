#include "thinktune/comm/options.h"

namespace thinktune::comm {

void describe(core::Fields& f, CommOptions& o) {
  f.number("timeout_s", o.timeout_s, core::between(1.0, 86400.0),
           "seconds after which a collective operation that has not completed ends the run, on every rank. It must be "
           "longer than one rank may wait for another: while it reads the model, samples longer answers, or writes a "
           "checkpoint");
  f.choice(
      "shard", o.shard, kShardNames,
      "what is divided over the ranks instead of being held by each: none, optimizer (AdamW's moments and, with "
      "bf16, the f32 master weights; ZeRO-1), gradients (also the gradients; ZeRO-2) or parameters (also the weights "
      "that compute, and the teacher's: a model larger than one rank's memory trains; ZeRO-3)");
  f.choice(
      "gather", o.gather, kGatherNames,
      "with shard = parameters, how the weights come together: keep (all of them, when they have changed, in memory "
      "kept for them), whole (all of them, once for sampling and each other phase without gradient, and layer by layer "
      "in the update, which has the memory to itself; a GPU records its decode steps anew in each phase), layer (layer "
      "by layer in every pass: little memory, and all weights travel for every token, in decode steps that are not "
      "recorded) or auto (the first of these that fits the device's memory)");
  f.boolean("fixed_order", o.fixed_order,
            "sum gradients in an order that does not depend on the number of ranks. On the CPU weights and losses are "
            "then the same, bit for bit, for any number of ranks with the same number of threads; on a GPU an update "
            "of the same rollouts is, but products round by how many sequences are sampled together, so that "
            "a rollout may part. Costs one exchange of the gradients a micro-batch, and divides work between ranks "
            "only by whole micro-batches");
  f.integer("bucket_mib", o.bucket_mib, {1, 4096},
            "gradients are exchanged in buckets of this many MiB, each as soon as the backward pass has filled it");
}

void validate(const CommOptions& options) { core::check_ranges(options, "comm"); }

}  // namespace thinktune::comm
