#include "verifier/state.h"

#include <bit>
#include <new>

namespace skep {
namespace {

constexpr std::size_t CHUNK = 256 * 1024;
constexpr u32 MIN_CLASS = 5;  // 32 bytes

/// Size classes are powers of two.
u32 class_of(std::size_t bytes) noexcept {
  return std::max<u32>(MIN_CLASS, static_cast<u32>(std::bit_width(bytes - 1)));
}

}  // namespace

StatePool::StatePool() = default;
StatePool::~StatePool() = default;  // everything in it is trivially destructible

void* StatePool::take(u32 size_class) {
  if (FreeNode* node = free_[size_class]; node != nullptr) {
    free_[size_class] = node->next;
    return node;
  }
  const std::size_t bytes = std::size_t{1} << size_class;
  if (static_cast<std::size_t>(end_ - at_) < bytes) {
    const std::size_t chunk = std::max(CHUNK, bytes);
    chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(chunk));
    at_ = chunks_.back().get();
    end_ = at_ + chunk;
    bytes_ += chunk;
  }
  void* out = at_;
  at_ += bytes;
  return out;
}

void StatePool::give(void* memory, u32 size_class) {
  free_[size_class] = new (memory) FreeNode{free_[size_class]};
}

/// Room for n or more; *cap gets how many.
template <typename T>
T* StatePool::take_array(u32 n, u32* cap) {
  const u32 c = class_of(n * sizeof(T));
  *cap = static_cast<u32>((std::size_t{1} << c) / sizeof(T));
  return static_cast<T*>(take(c));
}

VerifierState* StatePool::new_state() { return new (take(class_of(sizeof(VerifierState)))) VerifierState{}; }
ExploredState* StatePool::new_explored() { return new (take(class_of(sizeof(ExploredState)))) ExploredState{}; }
FuncState* StatePool::new_func() { return new (take(class_of(sizeof(FuncState)))) FuncState{}; }

/// For copy_func() to write all of.
FuncState* StatePool::new_func_to_fill() {
  auto* func = static_cast<FuncState*>(take(class_of(sizeof(FuncState))));
  func->refs = nullptr;
  func->stack = nullptr;
  func->refs_cap = func->stack_cap = 0;
  return func;
}

void StatePool::free_func(FuncState* f) {
  if (f == nullptr) return;
  if (f->refs != nullptr) give(f->refs, class_of(f->refs_cap * sizeof(RefState)));
  if (f->stack != nullptr) give(f->stack, class_of(f->stack_cap / BPF_REG_SIZE * sizeof(StackSlot)));
  give(f, class_of(sizeof(FuncState)));
}

void StatePool::free_contents(VerifierState& state) {
  for (FuncState*& f : state.frame) {
    free_func(f);
    f = nullptr;
  }
}

void StatePool::free_state(VerifierState* state) {
  free_contents(*state);
  give(state, class_of(sizeof(VerifierState)));
}

void StatePool::free_explored(ExploredState* state) {
  free_contents(state->state);
  give(state, class_of(sizeof(ExploredState)));
}

void StatePool::grow_stack(FuncState& f, u32 size) {
  size = (size + BPF_REG_SIZE - 1) / BPF_REG_SIZE * BPF_REG_SIZE;
  if (size <= f.allocated_stack) return;
  if (size > f.stack_cap) {
    u32 slots = 0;
    StackSlot* bigger = take_array<StackSlot>(size / BPF_REG_SIZE, &slots);
    if (f.stack != nullptr) {
      std::memcpy(static_cast<void*>(bigger), f.stack, f.stack_slots() * sizeof(StackSlot));
      give(f.stack, class_of(f.stack_cap / BPF_REG_SIZE * sizeof(StackSlot)));
    }
    f.stack = bigger;
    f.stack_cap = slots * BPF_REG_SIZE;
  }
  std::memset(static_cast<void*>(f.stack + f.stack_slots()), 0, (size - f.allocated_stack) / BPF_REG_SIZE * sizeof(StackSlot));
  f.allocated_stack = size;
}

void StatePool::push_ref(FuncState& f, RefState ref) {
  if (f.acquired_refs == f.refs_cap) {
    u32 cap = 0;
    RefState* bigger = take_array<RefState>(f.acquired_refs + 1, &cap);
    if (f.refs != nullptr) {
      std::memcpy(bigger, f.refs, f.acquired_refs * sizeof(RefState));
      give(f.refs, class_of(f.refs_cap * sizeof(RefState)));
    }
    f.refs = bigger;
    f.refs_cap = cap;
  }
  f.refs[f.acquired_refs++] = ref;
}

void StatePool::copy_func(FuncState& dst, const FuncState& src) {
  if (dst.refs_cap < src.acquired_refs) {
    if (dst.refs != nullptr) give(dst.refs, class_of(dst.refs_cap * sizeof(RefState)));
    dst.refs = take_array<RefState>(src.acquired_refs, &dst.refs_cap);
  }
  if (dst.stack_cap < src.allocated_stack) {
    if (dst.stack != nullptr) give(dst.stack, class_of(dst.stack_cap / BPF_REG_SIZE * sizeof(StackSlot)));
    u32 slots = 0;
    dst.stack = take_array<StackSlot>(src.stack_slots(), &slots);
    dst.stack_cap = slots * BPF_REG_SIZE;
  }
  if (src.acquired_refs != 0) std::memcpy(dst.refs, src.refs, src.acquired_refs * sizeof(RefState));
  if (src.allocated_stack != 0) std::memcpy(static_cast<void*>(dst.stack), src.stack, src.stack_slots() * sizeof(StackSlot));
  RefState* const refs = dst.refs;
  StackSlot* const stack = dst.stack;
  const u32 refs_cap = dst.refs_cap, stack_cap = dst.stack_cap;
  std::memcpy(static_cast<void*>(&dst), &src, sizeof dst);
  dst.refs = refs;
  dst.refs_cap = refs_cap;
  dst.stack = stack;
  dst.stack_cap = stack_cap;
}

void StatePool::copy_state(VerifierState& dst, const VerifierState& src) {
  const std::array<FuncState*, MAX_CALL_FRAMES> frames = dst.frame;
  dst = src;
  dst.frame = frames;
  for (u32 i = 0; i < MAX_CALL_FRAMES; ++i) {
    FuncState*& mine = dst.frame[i];
    if (i > src.curframe) {
      free_func(mine);
      mine = nullptr;
      continue;
    }
    if (mine == nullptr) mine = new_func_to_fill();
    copy_func(*mine, *src.frame[i]);
  }
}

}  // namespace skep
