#include "verifier/log.h"

#include <algorithm>
#include <limits>

namespace skep {

Status VerifierLog::check_attr(u32 level, bool has_buffer, u32 size) {
  if (has_buffer != (size != 0)) return Errno(EINVAL);
  if (has_buffer && level == 0) return Errno(EINVAL);
  if ((level & ~BPF_LOG_MASK) != 0) return Errno(EINVAL);
  if (size > std::numeric_limits<u32>::max() >> 2) return Errno(EINVAL);
  return ok_status();
}

void VerifierLog::put(u64 at, std::string_view bytes) {
  if (buffer_.size() < at + bytes.size()) buffer_.resize(at + bytes.size());
  bytes.copy(buffer_.data() + at, bytes.size());
}

void VerifierLog::write(std::string_view message) {
  if (!needed()) return;
  std::string with_nul(message);
  with_nul.push_back('\0');
  len_max_ = std::max(len_max_, end_ + with_nul.size());
  if ((level_ & BPF_LOG_FIXED) != 0)
    write_fixed(with_nul);
  else
    write_rolling(with_nul);
}

void VerifierLog::write_fixed(std::string_view with_nul) {
  if (end_ < size_) {
    const u64 room = std::min<u64>(size_ - end_, with_nul.size());
    put(end_, with_nul.substr(0, room - 1));
    put(end_ + room - 1, std::string_view("", 1));
  }
  end_ += with_nul.size() - 1;
}

void VerifierLog::write_rolling(std::string_view with_nul) {
  const u64 new_end = end_ + with_nul.size();
  if (new_end - start_ >= size_) start_ = new_end - size_;
  end_ = new_end - 1;
  if (size_ == 0) return;
  // The message's tail that fits, around the buffer's end if need be.
  const std::string_view tail = with_nul.substr(with_nul.size() - std::min<u64>(with_nul.size(), size_));
  const u64 at = (new_end - tail.size()) % size_;
  const u64 first = std::min<u64>(tail.size(), size_ - at);
  put(at, tail.substr(0, first));
  put(0, tail.substr(first));
}

void VerifierLog::reset(u64 pos) {
  if (!needed() || pos > end_) return;
  end_ = pos;
  start_ = std::min(start_, end_);
  if (size_ == 0) return;
  // Linux puts the NUL one byte further in fixed mode; the byte before it shows through until the next message.
  const u64 nul = (level_ & BPF_LOG_FIXED) != 0 ? end_ + 1 : pos % size_;
  if (nul < size_) put(nul, std::string_view("", 1));
}

VerifierLog::Outcome VerifierLog::finish() && {
  if (!needed()) return {{}, 0, 0};
  if (size_ != 0 && start_ != 0) {
    buffer_.resize(size_);
    std::rotate(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(start_ % size_), buffer_.end());
  }
  const u32 true_size = static_cast<u32>(std::min<u64>(len_max_, std::numeric_limits<u32>::max()));
  return {std::move(buffer_), true_size, size_ != 0 && len_max_ > size_ ? ENOSPC : 0};
}

}  // namespace skep
