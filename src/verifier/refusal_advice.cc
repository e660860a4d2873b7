#include "verifier/refusal_advice.h"

#include <algorithm>

#include "isa/func_names.h"
#include "progtypes/func_ids.h"

namespace skep::advice {

static std::string place(const VerifierEnv& env, u32 insn) {
  const SourceLine l = source_line(env, insn);
  if (l.text.empty() && l.file.empty()) return fmt::format("instruction {}", insn);
  return fmt::format("{}:{}", l.file, l.line);
}

static std::string bytes(s64 n) { return fmt::format("{} byte{}", n, n == 1 ? "" : "s"); }

// --- numbers that may be too small or too large
// -----------------------------------------------------------------------------------

std::string negative_value(const Case& c) {
  const RegState* r = c.reg();
  const std::string low = r == nullptr || r->smin_value == S64_MIN ? "" : fmt::format(" (it may be as low as {})", r->smin_value);
  return fmt::format(
      "R{} may be negative here{}. Check its lower bound on this path as well (if (x < 0) return 0), keep it in an unsigned "
      "variable, or mask it: x &= MAX, with MAX one less than a power of two.",
      c.words[0], low);
}

std::string unbounded_value(const Case& c) {
  const RegState* r = c.reg();
  const std::string high = r == nullptr || r->type != SCALAR_VALUE || r->umax_value == U64_MAX
                               ? "nothing bounds R{0} from above"
                               : "R{0} may be as large as " + fmt::format("{}", r->umax_value);
  return fmt::format(
      fmt::runtime(high + " here. Compare it with the size of the memory on this path (if (x > MAX) return 0), in the same "
                          "variable that is used afterwards, or mask it: x &= MAX."),
      c.words[0]);
}

static std::string outside_region(const Case& c, const char* what) {
  const s64 size = c.number(0), off = c.number(1), len = c.number(2);
  std::string out = off < 0
                        ? fmt::format("The access begins {} before the {}", bytes(-off), what)
                        : fmt::format("The access ends {} behind the {}, which has {}", bytes(off + len - size), what, bytes(size));
  if (len > size) return out + fmt::format(": {} never fit into it. Is the type of the access that of the map?", bytes(len));
  if (c.says("max value is outside"))
    return out +
           fmt::format(" when the offset is at its largest. Let it be at most {}: check the index before this line, or mask it.",
                       size - len);
  return out + fmt::format(". Offsets from 0 to {} would be good.", size - len);
}
std::string outside_map_value(const Case& c) { return outside_region(c, "map's value"); }
std::string outside_map_key(const Case& c) { return outside_region(c, "map's key"); }
std::string outside_memory(const Case& c) { return outside_region(c, "memory"); }

std::string return_range(const Case& c) {
  return fmt::format("Programs of type {} must return a value in [{}, {}]: return a constant of that range on this path.",
                     prog_type_name(c.env.prog.type), c.words[0], c.words[1]);
}

// --- pointers
// ---------------------------------------------------------------------------------------------------------------------

std::string scalar_access(const Case& c) {
  for (const RefusalStep& s : c.refusal.steps)
    if (s.what.find("makes R") == 0)
      return fmt::format("R{} was a pointer until {}, which ended what it pointed to. Get the pointer again after it.", c.words[0],
                         place(c.env, static_cast<u32>(s.insn)));
  return fmt::format(
      "R{} is a number to the verifier, not a pointer that it knows the memory of. Addresses of the kernel or of a process are "
      "read by bpf_probe_read_kernel(), bpf_probe_read_user() (BPF_CORE_READ), and arithmetic other than + and - ends a pointer.",
      c.words[0]);
}

std::string or_null(const Case&) {
  return "The pointer may be NULL here. Test it first (if (!p) return 0), on this path and in the same variable that is used "
         "afterwards.";
}

std::string packet(const Case& c) {
  const s64 end = c.number(0) + c.number(1), known = c.number(5);
  const std::string have = known > 0 ? fmt::format("only {} are known to be there", bytes(known)) : "nothing is known to be there";
  return fmt::format(
      "{} from the start of R{} are touched and {}. Compare with data_end first: if (p + {} > data_end) return, with p the pointer "
      "that is used, and not changed since by a helper that moves the packet.",
      bytes(end), c.words[2], have, end);
}

std::string pointer_operator(const Case&) {
  return "Pointers take only + and - with numbers, in 64 bits. Keep the number apart, compute with it, and add it to the pointer "
         "at the end.";
}

std::string modified_ptr(const Case& c) {
  return fmt::format(
      "A {} pointer must be used as it came: fields at constant offsets only. Often the compiler has moved an addition to the "
      "pointer itself: read the field directly, or put barrier_var() around the index.",
      c.words[0]);
}

std::string ctx_access(const Case& c) {
  const bool writes = c.refusal.insn >= 0 && bpf_class(c.env.insns[static_cast<u32>(c.refusal.insn)].code) != BPF_LDX;
  if (ctx_access_is_by_btf(c.env.prog))
    return fmt::format(
        "The context is an array of 8 byte arguments, here argument {} was asked for: it is not there, or not of this size.",
        c.number(0) / 8);
  const AccessType type = writes ? BPF_WRITE : BPF_READ;
  std::string good;
  int n = 0;
  for (s64 d = 0; d <= 64 && n < 4; d += 1)
    for (const s64 off : {c.number(0) - d, c.number(0) + d}) {
      if (off < 0 || (d == 0 && off != c.number(0))) continue;
      std::string sizes;
      for (const u32 size : {1u, 2u, 4u, 8u}) {
        CtxAccessInfo info;
        std::string log;
        if (off % size == 0 && is_valid_ctx_access(static_cast<s32>(off), size, type, c.env.prog, &info, &log))
          sizes += fmt::format("{}{}", sizes.empty() ? "" : "/", size);
      }
      if (!sizes.empty() && n++ < 4) good += fmt::format("{}{} (size {})", good.empty() ? "" : ", ", off, sizes);
      if (d == 0) break;
    }
  const u32 size = ctx_size(c.env.prog.type);
  return fmt::format("The context of {} programs{} cannot be {} so. {}", prog_type_name(c.env.prog.type),
                     size != 0 ? fmt::format(" ({})", bytes(size)) : "", writes ? "written" : "read",
                     good.empty() ? "Nothing near may be." : fmt::format("Near by these offsets may be: {}.", good));
}

// --- helpers
// ----------------------------------------------------------------------------------------------------------------------

std::string helper_types(const Case& c) {
  const s64 id = c.number(c.words.size() - 1);
  std::string types;
  for (u32 t = BPF_PROG_TYPE_UNSPEC + 1; t < MAX_BPF_PROG_TYPE_; ++t) {
    ProgTraits prog = c.env.prog;
    prog.type = t;
    prog.expected_attach_type = 0;
    if (get_func_proto(id, prog) != nullptr) types += fmt::format("{}{}", types.empty() ? "" : ", ", prog_type_name(t));
  }
  if (types.empty()) return fmt::format("Linux 6.12 has no helper {} that programs of any type may call.", id);
  return fmt::format("{}() is not for programs of type {}. Types that may call it: {}.", func_id_name(id),
                     prog_type_name(c.env.prog.type), types);
}

std::string argument_type(const Case& c) {
  if (c.words[1].find("or_null") != std::string::npos && c.words[2].find("or_null") == std::string::npos) return or_null(c);
  if (c.words[1] == "scalar")
    return fmt::format(
        "Argument {} must be a pointer ({}), and is a number. Pass the address of a variable or of a map's value, or the pointer "
        "as "
        "its helper returned it.",
        c.words[0], c.words[2]);
  return fmt::format(
      "Argument {} is of kind {}; it must be one of: {}. Copy what it points to into a variable on the stack, or pass another "
      "pointer.",
      c.words[0], c.words[1], c.words[2]);
}

static const char* releaser(s32 helper) {
  switch (helper) {
    case func::ringbuf_reserve:
      return "bpf_ringbuf_submit() or bpf_ringbuf_discard()";
    case func::ringbuf_reserve_dynptr:
      return "bpf_ringbuf_submit_dynptr() or bpf_ringbuf_discard_dynptr()";
    case func::sk_lookup_tcp:
    case func::sk_lookup_udp:
    case func::skc_lookup_tcp:
      return "bpf_sk_release()";
    default:
      return "its release function";
  }
}

std::string leak(const Case& c) {
  const u32 insn = static_cast<u32>(c.number(1));
  const bool here = insn < c.env.insn_cnt();
  const bpf_insn* taken = here ? &c.env.insns[insn] : nullptr;
  return fmt::format(
      "What {}{} took is still held where this path ends{}. Give it back by {} on this path too; the jumps shown lead to it.",
      taken != nullptr && is_helper_call(*taken) ? fmt::format("{}() at ", func_id_name(taken->imm)) : "",
      here ? place(c.env, insn) : "an earlier instruction",
      c.refusal.insn >= 0 ? fmt::format(" ({})", place(c.env, static_cast<u32>(c.refusal.insn))) : "",
      taken != nullptr && is_helper_call(*taken) ? releaser(taken->imm) : "its release function");
}

// --- what was never written
// -------------------------------------------------------------------------------------------------------

std::string not_written(const Case& c) {
  for (const RefusalStep& s : c.refusal.steps)
    if (s.what.find("not kept over calls") != std::string::npos)
      return fmt::format(
          "Calls leave R1 to R5 without a value ({}). Keep what is needed afterwards in R6 to R9 or on the stack; from C: declare "
          "the "
          "function that is called with its arguments.",
          place(c.env, static_cast<u32>(s.insn)));
  if (c.words[0] == "0") return "R0 is the return value and was not set: return a value on every path (return 0).";
  return fmt::format("R{} has no value on this path: initialise the variable where it is declared.", c.words[0]);
}

std::string stack_bytes(const Case& c) {
  const s64 off = c.number(2), i = c.number(3), size = c.number(4);
  return fmt::format(
      "Byte {} of the {} at fp{} was never written on this path. Initialise the whole variable (= {{}}), padding between its "
      "members "
      "included: __builtin_memset(&v, 0, sizeof v).",
      i, bytes(size), off);
}

// --- as a whole
// -------------------------------------------------------------------------------------------------------------------

std::string too_long(const Case& c) {
  std::string where;
  for (const RefusalStep& s : c.refusal.steps)
    if (s.insn >= 0) {
      where = fmt::format(" (the jump at {} is part of it)", place(c.env, static_cast<u32>(s.insn)));
      break;
    }
  return "The walk does not see an end" + where +
         ". Give the loop a constant bound that its counter is compared with, or use bpf_loop(), bpf_for() or may_goto (can_loop), "
         "whose bodies "
         "are walked once or twice instead of once a round.";
}

std::string stack_too_large(const Case& c) {
  u32 largest = 0;
  for (u32 i = 0; i < c.env.subprog_cnt; ++i)
    if (c.env.subprogs[i].stack_depth > c.env.subprogs[largest].stack_depth) largest = i;
  const std::string name = subprog_name(c.env, largest);
  return fmt::format(
      "A chain of calls has 512 bytes of stack, each frame rounded up to 16. {} alone takes {}: move large variables into a "
      "per-CPU "
      "array map, or call fewer functions from one another.",
      name.empty() ? fmt::format("The function at {}", c.env.subprogs[largest].start) : name + "()",
      bytes(c.env.subprogs[largest].stack_depth));
}

}  // namespace skep::advice
