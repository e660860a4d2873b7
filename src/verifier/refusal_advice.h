// verifier: the advices of refusal_hint.cc that are more than a sentence with words filled in. Internal to the two.
#pragma once
#include <string>
#include <vector>

#include "verifier/refusal_probe.h"

namespace skep::advice {

/// What an advice is made of.
struct Case {
  const VerifierEnv& env;
  const RefusalProbe& probe;
  const Refusal& refusal;
  std::vector<std::string> words;  ///< what the pattern's stars stand for

  s64 number(std::size_t i) const { return std::atoll(words[i].c_str()); }
  /// The register that the sentence's first "R" names, as it was; null: none.
  const RegState* reg() const {
    std::size_t at = 0;
    const s32 r = named_register(refusal.sentence, &at);
    return r < 0 || probe.failed_frame() == nullptr ? nullptr : &probe.failed_reg(static_cast<u32>(r));
  }
  bool says(std::string_view text) const { return refusal.sentence.find(text) != std::string::npos; }
};

std::string negative_value(const Case& c);
std::string unbounded_value(const Case& c);
std::string outside_map_value(const Case& c);
std::string outside_map_key(const Case& c);
std::string outside_memory(const Case& c);
std::string return_range(const Case& c);
std::string scalar_access(const Case& c);
std::string or_null(const Case& c);
std::string packet(const Case& c);
std::string pointer_operator(const Case& c);
std::string modified_ptr(const Case& c);
std::string ctx_access(const Case& c);
std::string helper_types(const Case& c);
std::string argument_type(const Case& c);
std::string leak(const Case& c);
std::string not_written(const Case& c);
std::string stack_bytes(const Case& c);
std::string too_long(const Case& c);
std::string stack_too_large(const Case& c);

}  // namespace skep::advice
