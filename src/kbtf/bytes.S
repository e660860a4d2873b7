// kbtf: the BTF that the build made, as data. SKEP_KERNEL_BTF is its path, from CMake.
	.section .rodata
	.balign 8
	.globl skep_kernel_btf_begin, skep_kernel_btf_end
	.hidden skep_kernel_btf_begin, skep_kernel_btf_end
skep_kernel_btf_begin:
	.incbin SKEP_KERNEL_BTF
skep_kernel_btf_end:
	.section .note.GNU-stack, "", @progbits
