// progtypes: contexts of cgroup hooks beside packets and sockets: addresses, devices, sysctls, socket options.
// Linux: filter.c:sock_addr_is_valid_access(), cgroup.c:cgroup_dev_is_valid_access(), sysctl_is_valid_access(),
// cg_sockopt_is_valid_access() and their convert functions
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

#define ADDR(member) SKEP_UAPI(bpf_sock_addr, member)
#define KADDR(member) SKEP_KERN(SockAddrKern, member)

constexpr u64 INET4 = for_attach(BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET4_GETPEERNAME,
                                 BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP4_RECVMSG);
constexpr u64 INET6 = for_attach(BPF_CGROUP_INET6_BIND, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_INET6_GETPEERNAME,
                                 BPF_CGROUP_INET6_GETSOCKNAME, BPF_CGROUP_UDP6_SENDMSG, BPF_CGROUP_UDP6_RECVMSG);
constexpr u64 SENDMSG4 = for_attach(BPF_CGROUP_UDP4_SENDMSG), SENDMSG6 = for_attach(BPF_CGROUP_UDP6_SENDMSG);

/// Stored behind a pointer.
constexpr CtxConv stored(CtxConv c) { return c.saving_at(KADDR(tmp_reg)); }
constexpr CtxConv user_addr6 = stored(via(KADDR(uaddr), SKEP_KERN(SockaddrIn6, sin6_addr.s6_addr32[0])).as_accessed());
constexpr CtxConv source_addr6 = stored(via(KADDR(t_ctx), SKEP_KERN(In6Addr, s6_addr32[0])).as_accessed());
/// Where eight bytes of an IPv6 address may begin: its halves, or what is left of them where the uapi has it at an odd word.
constexpr CtxField half(u32 off) { return field({off, off + 8}).reads(8, 4).writes(8).only_at_start(); }

constexpr CtxField SOCK_ADDR_FIELDS[] = {
    word(ADDR(user_family)).is(via(KADDR(uaddr), SKEP_KERN(SockaddrIn, sin_family))),
    narrow(ADDR(user_ip4)).writes(4).only_for(INET4).is(stored(via(KADDR(uaddr), SKEP_KERN(SockaddrIn, sin_addr)))),
    narrow(ADDR(user_ip6)).writes(4).only_for(INET6).is(user_addr6),
    half(ADDR(user_ip6[0]).off).only_for(INET6),
    half(ADDR(user_ip6[2]).off).only_for(INET6),
    narrow(ADDR(user_port)).writes(4).is(stored(via(KADDR(uaddr), SKEP_KERN(SockaddrIn6, sin6_port)))),
    word(ADDR(family)).is(via(KADDR(sk), SKEP_KERN(Sock, sk_common.skc_family))),
    word(ADDR(type)).is(via(KADDR(sk), SKEP_KERN(Sock, sk_type))),
    word(ADDR(protocol)).is(via(KADDR(sk), SKEP_KERN(Sock, sk_protocol))),
    narrow(ADDR(msg_src_ip4)).writes(4).only_for(SENDMSG4).is(stored(via(KADDR(t_ctx), {0, 4}))),
    narrow(ADDR(msg_src_ip6)).writes(4).only_for(SENDMSG6).is(source_addr6),
    half(ADDR(msg_src_ip6[1]).off).only_for(SENDMSG6),
    dword(ADDR(sk)).as(PTR_TO_SOCKET).is(at(KADDR(sk))),
};

// The context is the uapi's own structure.
constexpr CtxField CGROUP_DEV_FIELDS[] = {
    narrow(SKEP_UAPI(bpf_cgroup_dev_ctx, access_type)),
    word(SKEP_UAPI(bpf_cgroup_dev_ctx, major)),
    word(SKEP_UAPI(bpf_cgroup_dev_ctx, minor)),
};

#define KSYSCTL(member) SKEP_KERN(SysctlKern, member)
constexpr CtxField SYSCTL_FIELDS[] = {
    narrow(SKEP_UAPI(bpf_sysctl, write)).is(at(KSYSCTL(write))),
    narrow(SKEP_UAPI(bpf_sysctl, file_pos)).writes(4).is(via(KSYSCTL(ppos), {0, 4}).saving_at(KSYSCTL(tmp_reg))),
};

#define OPT(member) SKEP_UAPI(bpf_sockopt, member)
#define KOPT(member) SKEP_KERN(SockoptKern, member)
constexpr u64 GET = for_attach(BPF_CGROUP_GETSOCKOPT), SET = for_attach(BPF_CGROUP_SETSOCKOPT);
constexpr CtxField SOCKOPT_FIELDS[] = {
    dword(OPT(sk)).as(PTR_TO_SOCKET).is(at(KOPT(sk))),
    dword(OPT(optval)).as(PTR_TO_PACKET).is(at(KOPT(optval))),
    dword(OPT(optval_end)).as(PTR_TO_PACKET_END).is(at(KOPT(optval_end))),
    word(OPT(level)).is(at(KOPT(level))),
    field(OPT(level)).writes(4).only_for(SET),
    word(OPT(optname)).is(at(KOPT(optname))),
    field(OPT(optname)).writes(4).only_for(SET),
    word(OPT(optlen)).writes(4).is(at(KOPT(optlen))),
    word(OPT(retval)).writes(4).only_for(GET)
        .is(via(KOPT(current_task), SKEP_KERN(TaskCtx, bpf_ctx), SKEP_KERN(CgRunCtx, retval)).saving_at(KOPT(tmp_reg))),
};

}  // namespace

CtxKind sock_addr_ctx() { return {sizeof(bpf_sock_addr), true, SOCK_ADDR_FIELDS}; }
CtxKind cgroup_dev_ctx() { return {sizeof(bpf_cgroup_dev_ctx), false, CGROUP_DEV_FIELDS}; }
CtxKind sysctl_ctx() { return {sizeof(bpf_sysctl), true, SYSCTL_FIELDS}; }
CtxKind sockopt_ctx() { return {sizeof(bpf_sockopt), true, SOCKOPT_FIELDS}; }

}  // namespace skep
