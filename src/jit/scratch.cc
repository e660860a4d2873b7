#include "jit/scratch.h"

#include <algorithm>
#include <cstdlib>

namespace skep::jit {

constinit thread_local Scratch::Space Scratch::space_ = {};

Scratch::AtThreadEnd::~AtThreadEnd() {
  if (space_.live != 0) return;  // of an object that lives on, until the process ends: a static one
  for (Chunk* c = space_.newest; c != nullptr;) {
    Chunk* older = c->older;
    ::operator delete(c);
    c = older;
  }
  space_ = {};
}

void Scratch::begin_at(Chunk* chunk) noexcept {
  space_.newest = chunk;
  space_.begin = space_.at = reinterpret_cast<u8*>(chunk) + rounded(sizeof(Chunk));
  space_.end = reinterpret_cast<u8*>(chunk) + chunk->size;
}

void Scratch::refill() {
  static thread_local AtThreadEnd at_thread_end;
  static_cast<void>(at_thread_end);
  static_assert(FIRST_CHUNK >= LARGE + sizeof(Chunk));
  const std::size_t size = space_.newest == nullptr ? FIRST_CHUNK : std::min(space_.newest->size * 2, MAX_KEPT);
  Chunk* chunk = static_cast<Chunk*>(::operator new(size));
  *chunk = {space_.newest, size};
  begin_at(chunk);
}

/// Keeps the newest chunk, which is the largest.
void Scratch::restart() noexcept {
  Chunk* newest = space_.newest;
  for (Chunk* c = newest->older; c != nullptr;) {
    Chunk* older = c->older;
    ::operator delete(c);
    c = older;
  }
  newest->older = nullptr;
  begin_at(newest);
}

/// What is given back to a thread it was not taken by would be counted wrongly, and used twice.
void Scratch::check_older(const u8* p) noexcept {
  for (const Chunk* c = space_.newest; c != nullptr; c = c->older) {
    const u8* begin = reinterpret_cast<const u8*>(c);
    if (p >= begin && p < begin + c->size) return;
  }
  std::abort();
}

}  // namespace skep::jit
