// jit: machine code as it grows: jumps between labels are put in last, in their shortest forms. Internal to the room.
#pragma once
#include <xbyak/xbyak.h>

#include <vector>

#include "base/types.h"

namespace skep::jit {

/// Plain memory for xbyak: never executable.
class PlainMemory : public Xbyak::Allocator {
 public:
  u8* alloc(std::size_t size) override;
  void free(u8* p) override;
  bool useProtect() const override { return false; }
};

class CodeBuffer : private PlainMemory, public Xbyak::CodeGenerator {
 public:
  using Label = u32;
  /// A place in the code. It moves when jumps get their sizes: final() says where to.
  struct Mark {
    u32 at = 0, items = 0;
  };

  /// This thread's, empty. Making one takes longer than compiling a small program, so a thread keeps its last one, if that is not
  /// large. Only the newest of a thread's may be used.
  static CodeBuffer& fresh();

  Label new_label();
  void bind(Label label) { labels_[label] = mark(); }
  Mark mark() const { return {static_cast<u32>(getSize()), static_cast<u32>(items_.size())}; }
  void jump(Label to) { add_item(JUMP, to); }
  /// `cc`: the machine's number of the condition.
  void jump_if(u8 cc, Label to) { add_item(cc, to); }
  /// The next instruction stands at a multiple of 16, if that takes few bytes.
  void align_loop() { add_item(ALIGN, 0); }
  void call_label(Label to);
  void lea_label(const Xbyak::Reg64& reg, Label to);

  /// Afterwards nothing is added. False: too much code.
  bool finish();
  Mark label(Label l) const { return labels_[l]; }
  u32 final(Mark m) const { return m.at + shift_[m.items]; }
  const std::vector<u8>& bytes() const { return bytes_; }
  std::vector<u8> take_bytes() { return std::move(bytes_); }

 private:
  static constexpr std::size_t BEGINNING = 64 << 10, MAX_KEPT = 1 << 20;
  CodeBuffer();
  void restart();

  static constexpr u8 JUMP = 16, ALIGN = 17;
  struct Item {
    u32 at;
    Label label;
    u8 kind;  ///< a condition, JUMP or ALIGN
    bool near;
    u8 size;
  };
  struct Relative {  ///< a 32-bit displacement
    Mark at;
    Label label;
  };

  void add_item(u8 kind, Label label) { items_.push_back({static_cast<u32>(getSize()), label, kind, false, 0}); }
  void lay_out();
  bool widen(bool all);
  void write();
  void write_jump(const Item& item, u32 index);

  std::vector<Mark> labels_;
  std::vector<Item> items_;
  std::vector<Relative> relatives_;
  std::vector<u32> shift_;  ///< bytes that the first n items take
  std::vector<u8> bytes_;
};

}  // namespace skep::jit
