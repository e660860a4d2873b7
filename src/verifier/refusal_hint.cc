// verifier: what would satisfy Linux: one or two sentences for each class of refusals, with this program's numbers.
#include "verifier/refusal_advice.h"

namespace skep {
namespace {

struct Rule {
  std::string_view pattern;
  const char* advice;  ///< {N}: the text of the pattern's star N
  std::string (*make)(const advice::Case&) = nullptr;
};

// The first that fits. Patterns are parts of Linux's words, see match_words().
constexpr Rule RULES[] = {
    {"invalid access to map value, value_size=* off=* size=*", nullptr, advice::outside_map_value},
    {"invalid access to map key, key_size=* off=* size=*", nullptr, advice::outside_map_key},
    {"invalid access to memory, mem_size=* off=* size=*", nullptr, advice::outside_memory},
    {"invalid access to packet, off=* size=*, R*(id=*,off=*,r=*)", nullptr, advice::packet},
    {"R* offset is outside of the packet",
     "R{0} plus its offset is not known to lie in the packet: check the offset's bounds, then p + offset + size "
     "against data_end."},
    {"R* min value is negative", nullptr, advice::negative_value},
    {"R* unbounded memory access", nullptr, advice::unbounded_value},
    {"math between * pointer and register with unbounded min value",
     "The number that is added has no lower bound here. Check it against 0 as well (if (i < 0) return 0), or keep it in an "
     "unsigned "
     "variable and check its upper bound."},
    {"value * makes * pointer be out of bounds",
     "The number that is added may be {0}, which is too far from any {1}. Check both of its bounds before."},
    {"math between * pointer and * is not allowed", "{1} is too far from any {0}: no offset of 512 MiB and more is taken."},
    {"R* invalid mem access 'scalar'", nullptr, advice::scalar_access},
    {"R* invalid mem access '*_or_null_*'", nullptr, advice::or_null},
    {"R* invalid mem access '*_or_null'", nullptr, advice::or_null},
    {"R* invalid mem access '*'", "R{0} ({1}) cannot be read or written directly; hand it to the helpers that take it."},
    {"R* pointer arithmetic on * prohibited, null-check it first", nullptr, advice::or_null},
    {"Possibly NULL pointer passed", nullptr, advice::or_null},
    {"R* pointer arithmetic on * prohibited", "A {1} pointer cannot be moved: use it as it came."},
    {"R* pointer arithmetic with * operator prohibited", nullptr, advice::pointer_operator},
    {"R* bitwise operator * on pointer prohibited", nullptr, advice::pointer_operator},
    {"R* 32-bit pointer arithmetic prohibited", nullptr, advice::pointer_operator},
    {"R* pointer arithmetic prohibited", nullptr, advice::pointer_operator},
    {"R* partial copy of pointer", nullptr, advice::pointer_operator},
    {"R* sign-extension part of pointer", nullptr, advice::pointer_operator},
    {"R* tried to subtract pointer from scalar", "A number minus a pointer is no pointer: exchange the two sides."},
    {"R* pointer * pointer prohibited",
     "Two pointers can only be subtracted, and only by programs with CAP_PERFMON; {1} of them is not taken."},
    {"same insn cannot be used with different pointers",
     "Two paths come here with pointers of different kinds, and the instruction can be made for one "
     "only. Access each in its own branch, and keep the compiler from joining them: barrier_var()."},
    {"dereference of modified * ptr R* off=* disallowed", nullptr, advice::modified_ptr},
    {"variable * access var_off=* disallowed", nullptr, advice::modified_ptr},
    {"negative offset * ptr R* off=* disallowed", nullptr, advice::modified_ptr},
    {"invalid bpf_context access off=* size=*", nullptr, advice::ctx_access},
    {"R* cannot write into *", "{1} is read-only."},
    {"write into map forbidden", "The map has BPF_F_RDONLY_PROG: programs may only read it."},
    {"read from map forbidden", "The map has BPF_F_WRONLY_PROG: programs may only write it."},
    {"Unreleased reference id=* alloc_insn=*", nullptr, advice::leak},
    {"would lead to reference leak",
     "Give back what was taken (bpf_ringbuf_submit(), bpf_sk_release() ...) before this call: it may not return."},
    {"arg * is an unacquired reference", "What is given back here was not taken on this path, or was given back before."},
    {"R* must be referenced when passed to release function",
     "R{0} was not taken by the function that this one belongs to, or was given back before."},
    {"R* must have zero offset when passed to release func", "Pass the pointer as it came, not one moved into the object."},
    {"R* !read_ok", nullptr, advice::not_written},
    {"invalid* stack* off *+* size *", nullptr, advice::stack_bytes},
    {"invalid variable-offset* stack R*",
     "The index into the variable on the stack is not bounded: check it against the variable's length first, as an "
     "unsigned number."},
    {"invalid unbounded variable-offset* stack R*",
     "The index into the variable on the stack is not bounded: check it against the variable's length "
     "first, as an unsigned number."},
    {"invalid* stack R* off=* size=*",
     "The {3} bytes at fp{2} are not all inside the frame, which lies from fp-512 to fp-1: the variable is smaller than "
     "what is read or written."},
    {"corrupt spilled pointer on stack",
     "A pointer that lies on the stack is overwritten in part. Write all eight bytes of it, or none."},
    {"invalid size of register", "A pointer on the stack must be stored and loaded with all its eight bytes."},
    {"misaligned * access off *+*+*+* size *",
     "Accesses of {5} bytes must lie at multiples of {5}. Read it byte by byte (__builtin_memcpy), or align the "
     "member."},
    {"misaligned *access off *+*+* size *",
     "Accesses of {4} bytes must lie at multiples of {4}. Read it byte by byte (__builtin_memcpy), or align the "
     "member."},
    {"infinite loop detected", nullptr, advice::too_long},
    {"BPF program is too large", nullptr, advice::too_long},
    {"is too complex", nullptr, advice::too_long},
    {"back-edge from insn * to *", nullptr, advice::too_long},
    {"combined stack size of * calls is *. Too large", nullptr, advice::stack_too_large},
    {"stack size of subprog * is *. Too large", nullptr, advice::stack_too_large},
    {"tail_calls are not allowed when call stack",
     "A function with a tail call may have at most 256 bytes of stack above it: make the tail call from the "
     "program itself, or use less stack in its callers."},
    {"the call stack of * frames is too deep",
     "At most 8 functions may be active at once, the program included: let the compiler inline some "
     "(static __always_inline), and do not recurse."},
    {"should have been in [*, *]", nullptr, advice::return_range},
    {"leaks addr as return value", "The program returns a pointer: return a number."},
    {"leaks addr into",
     "Addresses of the kernel may not reach where others read them: store what the pointer points to, not the pointer."},
    {"cannot return stack pointer",
     "A variable on the callee's stack is gone when it returns: let the caller own it and pass its address."},
    {"program of this type cannot use helper *#*", nullptr, advice::helper_types},
    {"invalid func *#*", nullptr, advice::helper_types},
    {"cannot call GPL-restricted function",
     "The helper is for programs with a licence that is compatible with the GPL: char LICENSE[] SEC(\"license\") = "
     "\"GPL\"."},
    {"non-GPL compatible program",
     "This is for programs with a licence that is compatible with the GPL: char LICENSE[] SEC(\"license\") = \"GPL\"."},
    {"might sleep in a non-sleepable prog",
     "The helper may sleep: only programs loaded as sleepable may call it, such as SEC(\"lsm.s/...\"), "
     "SEC(\"fentry.s/...\"), SEC(\"iter.s/...\")."},
    {"program must be sleepable", "Load the program as sleepable: SEC(\"lsm.s/...\"), SEC(\"fentry.s/...\"), SEC(\"iter.s/...\")."},
    {"cannot pass map_type * into func *#*",
     "{1}() does not take a map of type {0}: use another kind of map, or the helper that belongs to this one."},
    {"R* type=* expected=*", nullptr, advice::argument_type},
    {"R* is not a known constant'", "The value must be the same on every path: pass a constant, such as sizeof."},
    {"R* must be a known constant", "The value must be the same on every path: pass a constant, such as sizeof."},
    {"zero-sized read", "The size may be 0 here, and this argument takes none: let its lower bound be 1 (if (n == 0) return 0)."},
    {"R* does not point to a readonly map'", "The text must lie in .rodata: static const char fmt[] = ..., not on the stack."},
    {"not allowed while holding a lock",
     "Between bpf_spin_lock() and bpf_spin_unlock() nothing may be called: do it before or after."},
    {"bpf_spin_unlock is missing", "The lock is still held where this path ends: unlock on every path."},
    {"bpf_rcu_read_unlock is missing",
     "The RCU read section is still open where this path ends: bpf_rcu_read_unlock() on every path."},
    {"bpf_preempt_enable", "Preemption is still disabled where this path ends: bpf_preempt_enable() on every path."},
    {"cannot overwrite referenced dynptr",
     "The dynptr holds a reference: submit or discard it before its variable is used for something else."},
    {"Expected an initialized dynptr as arg #*", "Argument {0} is a dynptr that was not made on this path, or was given back."},
    {"calling kernel function * is not allowed", "Programs of this type may not call {0}()."},
    {"cannot find address for kernel function *", "There is no kernel function {0} here."},
    {"access beyond struct * at off *",
     "The structure {0} ends before: its type differs from the one that the program was compiled with; let CO-RE "
     "relocate the access (BPF_CORE_READ, or preserve_access_index)."},
    {"only read is supported", "Memory of the kernel may only be read."},
    {"only read from * is supported", "{0} may only be read."},
    {"cannot write into packet", "Programs of this type may not write packets."},
    {"helper access to the packet is not allowed",
     "Programs of this type may not hand packet memory to this helper: copy it to the stack first."},
    {"frame pointer is read only", "R10 is the frame pointer: copy it to another register and change that one."},
    {"unreachable insn *",
     "No path reaches instruction {0}: remove it, or the jump that goes around it. Compilers leave such after "
     "__builtin_unreachable()."},
    {"jump out of range from insn * to *", "Jumps must stay inside their function: the target {1} is outside."},
    {"last insn is not an exit or jmp",
     "The function must end in exit or a jump back: from C, a return is missing, or what follows is said to be "
     "unreachable."},
    {"div by zero", "The divisor is the constant 0."},
    {"invalid shift *", "The distance {0} is not smaller than the operand's width."},
    {"unknown opcode *", "{0} is no instruction of Linux 6.12: was the program built for a newer kernel, or is it data?"},
    {"* uses reserved fields",
     "Parts of the instruction that have no meaning ({0}) must be zero: a loader has not relocated it, or the program is for a "
     "newer kernel."},
    {"R* is invalid", "There are R0 to R10."},
    {"invalid access to map value pointer, value_size=* off=*",
     "The offset {1} is not inside the map's value, which has {0} bytes: the map and the "
     "program's data section do not belong together."},
    {"direct value offset of * is not allowed", "The offset {0} is far outside of any map's value."},
    {"fd * is not pointing to valid bpf_map",
     "{0} is not the fd of a map: the loader has to create the map and put its fd into the instruction."},
    {"store to referenced kptr disallowed", "A reference in a map is exchanged by bpf_kptr_xchg(), not stored."},
    {"kptr access",
     "A pointer to a kernel object in a map is loaded and stored as a whole: eight bytes at its own, constant offset."},
    {"kptr cannot be accessed indirectly",
     "The value holds a pointer to a kernel object: it cannot be handed to helpers as plain memory. Copy the other "
     "members one by one."},
    {"BPF_ST imm must be 0", "Only NULL may be stored to a pointer to a kernel object in a map."},
    {"kptr isn't referenced kptr", "bpf_kptr_xchg() is for members declared __kptr; this one is untrusted or none."},
    {"doesn't have constant offset",
     "The address of this member must be the same on every path: take it from the value directly, not by an index."},
    {"cannot spill pointers to stack into stack frame of the caller",
     "A callee may put numbers into its caller's variables, not pointers: return the "
     "pointer instead."},
    {"jump into the middle of ldimm64 insn *", "Instruction {0} takes two slots, and a jump goes to the second."},
    {"call to invalid destination", "The call's target is not the start of a function of this program."},
    {"Tracing programs must provide btf_id", "The section's name must tell what to attach to: SEC(\"fentry/FUNCTION\")."},
    {"* is not sleepable", "{0} may not be attached to by a sleepable program: use the section without .s."},
    {"can be sleepable", "Programs of this type cannot be loaded as sleepable: use the section without .s."},
    {"BPF_ATOMIC stores into R* * is not allowed",
     "Atomic operations are for the stack, map values and other memory of the program's own; {1} is none."},
    {"uses invalid atomic opcode",
     "The atomic operations are add, and, or, xor, each with or without fetch, xchg and cmpxchg, of 4 or 8 bytes."},
    {"R6 != pointer to skb", "LD_ABS and LD_IND read the packet of the context in R6: copy the context there first."},
    {"instructions not allowed for this program type",
     "Only socket filters and traffic control programs may use LD_ABS and LD_IND: use bpf_skb_load_bytes(), or "
     "packet pointers."},
    {"* cannot be accessed directly by load/store",
     "The bytes of a {0} in a map's value are its helpers' alone: access the other members one by one."},
    {"off * doesn't point to 'struct *' that is at *", "Pass the address of the member itself: the {1} lies at {2}, not at {0}."},
    {"bpf_spin_unlock without taking a lock", "On this path no lock was taken: bpf_spin_lock() on every path to here."},
    {"Caller passes invalid args into func#* ('*')",
     "{1}() is global: it is judged by its prototype alone, and each caller must fulfil that. Pass what the prototype "
     "says, or make it static to have it judged with its callers."},
    {"missing btf func_info", "Global functions and callbacks need BTF: compile with -g."},
};

}  // namespace

std::string refusal_hint(const VerifierEnv& env, const RefusalProbe& probe, const Refusal& refusal) {
  advice::Case c{env, probe, refusal, {}};
  if (refusal.cut) return advice::too_long(c);
  for (const Rule& rule : RULES) {
    if (!match_words(refusal.sentence, rule.pattern, &c.words)) continue;
    if (rule.make != nullptr) return rule.make(c);
    std::string out = rule.advice;
    for (std::size_t i = 0; i < c.words.size(); ++i) {
      const std::string mark = fmt::format("{{{}}}", i);
      for (std::size_t at = 0; (at = out.find(mark, at)) != std::string::npos; at += c.words[i].size())
        out.replace(at, mark.size(), c.words[i]);
    }
    return out;
  }
  return {};
}

}  // namespace skep
