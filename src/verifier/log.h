// verifier: the log of BPF_PROG_LOAD (and BPF_BTF_LOAD), byte for byte as Linux leaves it in the user's buffer.
// Linux: kernel/bpf/log.c
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "btf/log.h"
#include "uapi/bpf.h"

namespace skep {

/// Text goes into a model of the user's buffer. Rolling (default): the newest bytes survive. BPF_LOG_FIXED: the oldest do.
class VerifierLog final : public BtfLog {
 public:
  /// What a log's attributes must fulfil: EINVAL. Linux: log.c:bpf_verifier_log_attr_valid()
  static Status check_attr(u32 level, bool has_buffer, u32 size);

  /// size 0: no buffer, only the true size is counted. REQUIRES: check_attr() holds.
  VerifierLog(u32 level, u32 size) noexcept : level_(level), size_(size) {}

  bool needed() const noexcept { return level_ != 0; }
  u32 level() const noexcept { return level_; }
  bool prints_insns() const noexcept { return (level_ & (BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2)) != 0; }

  /// Where the next byte goes, and the way back there: forgets what was written since. REQUIRES: pos <= position().
  u64 position() const noexcept { return end_; }
  void reset(u64 pos);

  struct Outcome {
    std::string bytes;  ///< to be copied to the start of the user's buffer; ends in a NUL if anything was written
    u32 true_size;      ///< log_true_size: what a buffer that keeps everything would need, with the NUL
    int error;          ///< 0 or ENOSPC; replaces the verdict, whatever that was
  };
  /// Ends the log. Linux: log.c:bpf_vlog_finalize()
  Outcome finish() &&;

 private:
  void write(std::string_view message) override;
  void write_fixed(std::string_view with_nul);
  void write_rolling(std::string_view with_nul);
  void put(u64 at, std::string_view bytes);

  u32 level_, size_;
  u64 start_ = 0, end_ = 0;  ///< logical positions of the text that is kept
  u64 len_max_ = 0;
  std::string buffer_;  ///< the user's buffer as far as it was touched
};

}  // namespace skep
