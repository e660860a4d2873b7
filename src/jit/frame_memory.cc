#include "jit/frame_memory.h"

namespace skep::jit {

void FrameMemory::stored(s64 off, u8 size, ValueId value) noexcept {
  for (u32 i = 0; i < count_;) {
    const Entry& e = entries_[i];
    if (e.off < off + size && off < e.off + e.size)
      entries_[i] = entries_[--count_];
    else
      ++i;
  }
  loaded(off, size, value);
}

void FrameMemory::loaded(s64 off, u8 size, ValueId value) noexcept {
  if (count_ < MAX) {
    entries_[count_++] = {off, size, value};
    return;
  }
  entries_[oldest_] = {off, size, value};
  oldest_ = (oldest_ + 1) % MAX;
}

ValueId FrameMemory::load(s64 off, u8 size) const noexcept {
  for (u32 i = 0; i < count_; ++i)
    if (entries_[i].off == off && entries_[i].size >= size) return entries_[i].value;
  return NONE;
}

}  // namespace skep::jit
