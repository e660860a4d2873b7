// agent: the way from a diverted syscall into C++ and back. Reached through slot 0 of the patched libc's slot page.
//
// In: rax = number, rcx = address of a `syscall` instruction to go on with, r11 free, everything else as at the site.
// Out, one of
//   pass      jmp *rcx with every other register as it was: the kernel does the call at the original place, so that restarts (RIP - 2),
//             vfork's two returns, thread cancellation and unwinding see the program's own code;
//   answered  rax = result, jmp rcx + 2;
//   watched   our own `syscall` here, in a frame that unwinders understand, then C++ once more, then jmp rcx + 2. Never for calls
//             whose child shares our stack (vfork, CLONE_VM).
        .text
        .hidden skep_interest_local
        .hidden skep_interest_session
        .hidden skep_trap_c
        .hidden skep_exit_c
        .hidden skep_stack_take
        .hidden skep_short_bpf
        .hidden skep_stack_give

// Frame below the red zone; struct TrapFrame in agent/trap.h. Offsets are asserted there.
#define F_R15 0
#define F_R14 8
#define F_R13 16
#define F_R12 24
#define F_RBP 32
#define F_RBX 40
#define F_R11 48
#define F_R10 56
#define F_R9 64
#define F_R8 72
#define F_RAX 80
#define F_RCX 88
#define F_RDX 96
#define F_RSI 104
#define F_RDI 112
#define F_SP 120
#define F_FLAGS 128
#define F_ACTION 136
#define F_COOKIE 144
#define F_STACK 152
#define F_RET 160
#define F_MASK 168
#define F_NOTE 176
#define F_CHANGED 192
#define FRAME_SIZE 224
#define RED_ZONE 128

        .globl skep_trap_entry
        .hidden skep_trap_entry
        .type skep_trap_entry, @function
        .p2align 4
skep_trap_entry:
        .cfi_startproc
        // On from the agent's stack to the program's, which may lie below it: debuggers let only signal frames do that.
        .cfi_signal_frame
        // A function called from the site, whose return address is in rcx: cancellation may unwind from any instruction here.
        .cfi_def_cfa rsp, 0
        .cfi_escape 0x16, 16, 2, 0x72, 2        // rip = rcx + 2
        cmp     $511, %rax
        ja      1f
        mov     skep_interest_session(%rip), %r11
        movzbl  (%r11,%rax), %r11d
        // r11d: what probes want; or what this process itself needs
        test    %r11d, %r11d
        jne     2f
        lea     skep_interest_local(%rip), %r11
        cmpb    $0, (%r11,%rax)
        jne     8f
1:      jmp     *%rcx
8:      cmp     $321, %eax              // bpf(2): most calls are look-ups, and those take a shorter way
        je      6f
2:      // Save. The frame lies under the red zone; rsp is stepped down first so that a signal cannot hit it.
        .cfi_remember_state
        .cfi_remember_state
        .cfi_remember_state
        lea     -(RED_ZONE + FRAME_SIZE)(%rsp), %rsp
        .cfi_def_cfa_offset RED_ZONE + FRAME_SIZE
        mov     %r15, F_R15(%rsp)
        mov     %r14, F_R14(%rsp)
        mov     %r13, F_R13(%rsp)
        mov     %r12, F_R12(%rsp)
        mov     %rbp, F_RBP(%rsp)
        mov     %rbx, F_RBX(%rsp)
        mov     %r10, F_R10(%rsp)
        mov     %r9, F_R9(%rsp)
        mov     %r8, F_R8(%rsp)
        mov     %rax, F_RAX(%rsp)
        mov     %rcx, F_RCX(%rsp)
        mov     %rdx, F_RDX(%rsp)
        mov     %rsi, F_RSI(%rsp)
        mov     %rdi, F_RDI(%rsp)
        lea     2(%rcx), %r11
        mov     %r11, F_RET(%rsp)
        lea     (RED_ZONE + FRAME_SIZE)(%rsp), %r11
        mov     %r11, F_SP(%rsp)
        .cfi_offset rip, F_RET - (RED_ZONE + FRAME_SIZE)
        movq    $0, F_ACTION(%rsp)
        movq    $0, F_NOTE(%rsp)
        movq    $0, F_CHANGED(%rsp)
        cld
        mov     %rsp, %rbx              // the frame, across calls and stacks
        .cfi_def_cfa_register rbx
        .cfi_offset rbx, F_RBX - (RED_ZONE + FRAME_SIZE)
        mov     %rsp, %rdi
        and     $-16, %rsp
        call    skep_stack_take         // -> top of an agent stack, or 0: stay on this one
        test    %rax, %rax
        je      3f
        mov     %rax, %rsp
3:      mov     %rbx, %rdi
        call    skep_trap_c             // fills action, rax
        mov     %rbx, %rsp
        mov     %rbx, %rdi
        and     $-16, %rsp
        call    skep_stack_give
        mov     %rbx, %rsp
        .cfi_def_cfa_register rsp
        mov     F_ACTION(%rsp), %r11
        cmp     $2, %r11
        je      4f
        mov     F_R15(%rsp), %r15
        mov     F_R14(%rsp), %r14
        mov     F_R13(%rsp), %r13
        mov     F_R12(%rsp), %r12
        mov     F_RBP(%rsp), %rbp
        mov     F_R10(%rsp), %r10
        mov     F_R9(%rsp), %r9
        mov     F_R8(%rsp), %r8
        mov     F_RAX(%rsp), %rax
        mov     F_RCX(%rsp), %rcx
        mov     F_RDX(%rsp), %rdx
        mov     F_RSI(%rsp), %rsi
        mov     F_RDI(%rsp), %rdi
        mov     F_RBX(%rsp), %rbx
        lea     (RED_ZONE + FRAME_SIZE)(%rsp), %rsp
        .cfi_restore_state
        test    %r11d, %r11d
        je      1b
        add     $2, %rcx
        jmp     *%rcx

// bpf(2), which no probe watches: skep_short_bpf() does it, on the program's stack, with what C++ does not keep saved here; or says that
// it cannot, and the call goes on at 2 as if nothing had been.
#define S_RBX 0
#define S_RCX 8
#define S_RDX 16
#define S_RSI 24
#define S_RDI 32
#define S_R8 40
#define S_R9 48
#define S_R10 56
#define S_RET 64
#define SHORT_SIZE 80
6:      .cfi_restore_state
        lea     -(RED_ZONE + SHORT_SIZE)(%rsp), %rsp
        .cfi_def_cfa_offset RED_ZONE + SHORT_SIZE
        mov     %rbx, S_RBX(%rsp)
        mov     %rcx, S_RCX(%rsp)
        mov     %rdx, S_RDX(%rsp)
        mov     %rsi, S_RSI(%rsp)
        mov     %rdi, S_RDI(%rsp)
        mov     %r8, S_R8(%rsp)
        mov     %r9, S_R9(%rsp)
        mov     %r10, S_R10(%rsp)
        lea     2(%rcx), %r11
        mov     %r11, S_RET(%rsp)
        .cfi_offset rip, S_RET - (RED_ZONE + SHORT_SIZE)
        mov     %rsp, %rbx
        .cfi_def_cfa_register rbx
        .cfi_offset rbx, S_RBX - (RED_ZONE + SHORT_SIZE)
        mov     %rsp, %rcx
        and     $-16, %rsp
        cld
        call    skep_short_bpf          // -> rax: result, rdx: done
        mov     %rbx, %rsp
        .cfi_def_cfa_register rsp
        mov     %rdx, %r11
        mov     S_RCX(%rsp), %rcx
        mov     S_RDX(%rsp), %rdx
        mov     S_RSI(%rsp), %rsi
        mov     S_RDI(%rsp), %rdi
        mov     S_R8(%rsp), %r8
        mov     S_R9(%rsp), %r9
        mov     S_R10(%rsp), %r10
        mov     S_RBX(%rsp), %rbx
        lea     (RED_ZONE + SHORT_SIZE)(%rsp), %rsp
        .cfi_restore_state
        test    %r11d, %r11d
        je      7f
        add     $2, %rcx
        jmp     *%rcx
7:      mov     $321, %eax
        jmp     2b
        .cfi_endproc

// Watched: rsp = frame. To an unwinder this is a function called from the site: return address at F_RET, registers where they were saved.
4:
        .cfi_startproc
        .cfi_signal_frame
        .cfi_def_cfa rsp, RED_ZONE + FRAME_SIZE
        .cfi_offset rip, F_RET - (RED_ZONE + FRAME_SIZE)
        .cfi_offset rbx, F_RBX - (RED_ZONE + FRAME_SIZE)
        mov     F_R15(%rsp), %r15
        mov     F_R14(%rsp), %r14
        mov     F_R13(%rsp), %r13
        mov     F_R12(%rsp), %r12
        mov     F_RBP(%rsp), %rbp
        mov     F_RBX(%rsp), %rbx
        .cfi_restore rbx
        mov     F_R10(%rsp), %r10
        mov     F_R9(%rsp), %r9
        mov     F_R8(%rsp), %r8
        mov     F_RAX(%rsp), %rax
        mov     F_RDX(%rsp), %rdx
        mov     F_RSI(%rsp), %rsi
        mov     F_RDI(%rsp), %rdi
        syscall
        .globl skep_watched_return
        .hidden skep_watched_return
skep_watched_return:
        mov     %rax, F_RAX(%rsp)
        mov     %rbx, F_RBX(%rsp)
        mov     %rsp, %rbx
        .cfi_def_cfa rbx, RED_ZONE + FRAME_SIZE
        .cfi_offset rbx, F_RBX - (RED_ZONE + FRAME_SIZE)
        mov     %rbx, %rdi
        and     $-16, %rsp
        cld
        call    skep_stack_take
        test    %rax, %rax
        je      5f
        mov     %rax, %rsp
5:      mov     %rbx, %rdi
        call    skep_exit_c             // may change F_RAX
        mov     %rbx, %rsp
        mov     %rbx, %rdi
        and     $-16, %rsp
        call    skep_stack_give
        mov     %rbx, %rsp
        .cfi_def_cfa rsp, RED_ZONE + FRAME_SIZE
        mov     F_R10(%rsp), %r10
        mov     F_R9(%rsp), %r9
        mov     F_R8(%rsp), %r8
        mov     F_RAX(%rsp), %rax
        mov     F_RDX(%rsp), %rdx
        mov     F_RSI(%rsp), %rsi
        mov     F_RDI(%rsp), %rdi
        mov     F_RET(%rsp), %rcx
        mov     F_RBX(%rsp), %rbx
        lea     (RED_ZONE + FRAME_SIZE)(%rsp), %rsp
        jmp     *%rcx
        .cfi_endproc
        .size skep_trap_entry, . - skep_trap_entry

// long skep_guarded_copy(void* dst, const void* src, size_t n): 0, or -EFAULT when a byte cannot be read or written. Forward; short
// ones in words, since `rep` takes a while to begin on many processors.
// The SIGSEGV/SIGBUS handler moves a fault between the two labels to skep_guarded_fail.
        .globl skep_guarded_copy
        .hidden skep_guarded_copy
        .type skep_guarded_copy, @function
        .p2align 4
skep_guarded_copy:
        .cfi_startproc
        .globl skep_guarded_begin
        .hidden skep_guarded_begin
skep_guarded_begin:
        mov     %rdx, %rcx
        cmp     $128, %rdx
        ja      5f
        sub     $8, %rcx
        jb      2f
1:      mov     (%rsi), %rax
        mov     %rax, (%rdi)
        add     $8, %rsi
        add     $8, %rdi
        sub     $8, %rcx
        jae     1b
2:      and     $7, %edx
        je      6f
        test    $4, %dl
        je      3f
        mov     (%rsi), %eax
        mov     %eax, (%rdi)
        add     $4, %rsi
        add     $4, %rdi
3:      test    $2, %dl
        je      4f
        movzwl  (%rsi), %eax
        mov     %ax, (%rdi)
        add     $2, %rsi
        add     $2, %rdi
4:      test    $1, %dl
        je      6f
        movzbl  (%rsi), %eax
        mov     %al, (%rdi)
6:      xor     %eax, %eax
        ret
5:      rep movsb
        xor     %eax, %eax
        ret
        .globl skep_guarded_end
        .hidden skep_guarded_end
skep_guarded_end:
        .globl skep_guarded_fail
        .hidden skep_guarded_fail
skep_guarded_fail:
        mov     $-14, %rax
        ret
        .cfi_endproc
        .size skep_guarded_copy, . - skep_guarded_copy

        .globl skep_sigreturn
        .hidden skep_sigreturn
        .type skep_sigreturn, @function
skep_sigreturn:
        mov     $15, %eax
        syscall
        .size skep_sigreturn, . - skep_sigreturn

        .section .note.GNU-stack, "", @progbits
