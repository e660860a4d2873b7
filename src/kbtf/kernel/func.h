// kbtf: how a function's prototype gets into BTF: by a definition without a body to speak of. The BPF target passes five arguments
// at most; parameters from the sixth on go to a function of the same name with __more behind it, which kbtf/make_kbtf.cc puts
// together.
#pragma once
#define FUNC(...) \
  __VA_ARGS__ { __builtin_unreachable(); }
#define KFUNC(...) __attribute__((btf_decl_tag("bpf_kfunc"))) FUNC(__VA_ARGS__)
#define MORE(name, ...) FUNC(void name##__more(__VA_ARGS__))
