#include "jit/code_buffer.h"

#include <cstdlib>
#include <cstring>
#include <memory>

namespace skep::jit {
namespace {

constexpr u32 MAX_PADDING = 12;
constexpr std::size_t MAX_CODE = 64 << 20;

void put_nops(u8* at, u32 n) {
  // The forms that Intel's manual recommends, by length.
  static constexpr u8 NOPS[9][9] = {{0x90},
                                    {0x66, 0x90},
                                    {0x0f, 0x1f, 0x00},
                                    {0x0f, 0x1f, 0x40, 0x00},
                                    {0x0f, 0x1f, 0x44, 0x00, 0x00},
                                    {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
                                    {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
                                    {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
                                    {0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00}};
  while (n > 0) {
    const u32 size = n < 9 ? n : 9;
    std::memcpy(at, NOPS[size - 1], size);
    at += size;
    n -= size;
  }
}

void put32(u8* at, u32 x) { std::memcpy(at, &x, 4); }

}  // namespace

u8* PlainMemory::alloc(std::size_t size) { return static_cast<u8*>(std::malloc(size)); }
void PlainMemory::free(u8* p) { std::free(p); }

CodeBuffer::CodeBuffer() : Xbyak::CodeGenerator(BEGINNING, Xbyak::AutoGrow, static_cast<PlainMemory*>(this)) {}

CodeBuffer& CodeBuffer::fresh() {
  static thread_local std::unique_ptr<CodeBuffer> kept;
  if (kept == nullptr || kept->getSize() > MAX_KEPT)
    kept.reset(new CodeBuffer);
  else
    kept->restart();
  return *kept;
}

void CodeBuffer::restart() {
  resetSize();
  labels_.clear();
  items_.clear();
  relatives_.clear();
  shift_.clear();
  bytes_.clear();
}

CodeBuffer::Label CodeBuffer::new_label() {
  labels_.push_back({});
  return static_cast<Label>(labels_.size() - 1);
}

void CodeBuffer::call_label(Label to) {
  db(0xe8);
  relatives_.push_back({mark(), to});
  dd(0);
}

void CodeBuffer::lea_label(const Xbyak::Reg64& reg, Label to) {
  db(reg.getIdx() < 8 ? 0x48 : 0x4c);
  db(0x8d);
  db(((reg.getIdx() & 7) << 3) | 5);
  relatives_.push_back({mark(), to});
  dd(0);
}

void CodeBuffer::lay_out() {
  u32 shift = 0;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    Item& item = items_[i];
    if (item.kind == ALIGN) {
      const u32 padding = (0 - (item.at + shift)) & 15;
      item.size = static_cast<u8>(padding <= MAX_PADDING ? padding : 0);
    } else {
      item.size = !item.near ? 2 : item.kind == JUMP ? 5 : 6;
    }
    shift += item.size;
    shift_[i + 1] = shift;
  }
}

/// Makes those jumps longer that do not reach; `all`: every one. False: there was none.
bool CodeBuffer::widen(bool all) {
  bool changed = false;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    Item& item = items_[i];
    if (item.kind == ALIGN || item.near) continue;
    const s64 distance = static_cast<s64>(final(labels_[item.label])) - (item.at + shift_[i + 1]);
    if (!all && distance == static_cast<s8>(distance)) continue;
    item.near = changed = true;
  }
  return changed;
}

void CodeBuffer::write_jump(const Item& item, u32 index) {
  const u32 end = item.at + shift_[index + 1];
  u8* p = bytes_.data() + end - item.size;
  const u32 distance = final(labels_[item.label]) - end;
  if (!item.near) {
    p[0] = static_cast<u8>(item.kind == JUMP ? 0xeb : 0x70 + item.kind);
    p[1] = static_cast<u8>(distance);
    return;
  }
  if (item.kind == JUMP) {
    *p++ = 0xe9;
  } else {
    *p++ = 0x0f;
    *p++ = static_cast<u8>(0x80 + item.kind);
  }
  put32(p, distance);
}

void CodeBuffer::write() {
  bytes_.resize(getSize() + shift_.back());
  u32 done = 0;
  for (u32 i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    std::memcpy(bytes_.data() + done + shift_[i], getCode() + done, item.at - done);
    done = item.at;
    if (item.kind == ALIGN)
      put_nops(bytes_.data() + done + shift_[i], item.size);
    else
      write_jump(item, i);
  }
  std::memcpy(bytes_.data() + done + shift_.back(), getCode() + done, getSize() - done);
  for (const Relative& r : relatives_) put32(bytes_.data() + final(r.at), final(labels_[r.label]) - (final(r.at) + 4));
}

bool CodeBuffer::finish() {
  shift_.assign(items_.size() + 1, 0);
  if (getSize() > MAX_CODE) return false;
  // Jumps only grow, so this ends; after some rounds all do, so that it ends soon.
  lay_out();
  for (u32 round = 0; widen(round >= 12); ++round) lay_out();
  if (getSize() + shift_.back() > MAX_CODE) return false;
  write();
  return true;
}

}  // namespace skep::jit
