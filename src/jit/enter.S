// jit: from C++ into compiled code and out again, at its end or from its middle.
//
// Compiled functions keep the System V convention, so there is nothing to convert. What is added to a plain call: the callee-saved
// registers lie on the stack here, so that a run can be ended from any depth with nothing but the stack pointer that was noted. The frame
// has unwind information; compiled code itself has none that is found at run time (src/jit/README.md).
        .text

// u64 skep_jit_enter(RunCtx* run, u64 ctx, u64* sp, const ProgImage* prog, u64 entry): notes its stack pointer in *sp and for this thread's
// fault handler, calls entry(run, ctx), and ends with skep_jit_ended(run, prog, what it returned). At the stack pointer stand the
// run around this one, run and prog: jit/enter.h:EnterFrame.
        .globl skep_jit_enter
        .hidden skep_jit_enter
        .hidden skep_jit_running
        .hidden skep_jit_ended
        .type skep_jit_enter, @function
        .p2align 4
skep_jit_enter:
        .cfi_startproc
        push    %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        push    %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        push    %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        push    %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        push    %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        push    %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        push    %rcx
        .cfi_adjust_cfa_offset 8
        push    %rdi
        .cfi_adjust_cfa_offset 8
        mov     skep_jit_running@gottpoff(%rip), %rax
        pushq   %fs:(%rax)
        .cfi_adjust_cfa_offset 8
        mov     %rsp, (%rdx)
        mov     %rsp, %fs:(%rax)
        call    *%r8
1:      mov     skep_jit_running@gottpoff(%rip), %rcx
        mov     (%rsp), %rdx
        mov     %rdx, %fs:(%rcx)
        mov     8(%rsp), %rdi
        mov     16(%rsp), %rsi
        mov     %rax, %rdx
        .cfi_remember_state
        add     $24, %rsp
        .cfi_adjust_cfa_offset -24
        pop     %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        pop     %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        pop     %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        pop     %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        pop     %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        pop     %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        jmp     skep_jit_ended
        .cfi_restore_state

// Where a run goes on that ends in the middle: rsp is what was noted. A fault handler puts a thread here.
        .globl skep_jit_left
        .hidden skep_jit_left
skep_jit_left:
        cld
        xor     %eax, %eax
        jmp     1b
        .cfi_endproc
        .size skep_jit_enter, . - skep_jit_enter

// [[noreturn]] void skep_jit_leave(u64 sp)
        .globl skep_jit_leave
        .hidden skep_jit_leave
        .type skep_jit_leave, @function
skep_jit_leave:
        .cfi_startproc
        mov     %rdi, %rsp
        .cfi_undefined rip
        jmp     skep_jit_left
        .cfi_endproc
        .size skep_jit_leave, . - skep_jit_leave

        .section .note.GNU-stack, "", @progbits
