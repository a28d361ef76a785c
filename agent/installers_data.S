/* The catalogue, byte for byte; installers.cpp reads it. */

    .section .rodata
    .balign 16
    .global agent_installers_begin
    .global agent_installers_end
agent_installers_begin:
    .incbin INSTALLERS
agent_installers_end:

    .section .note.GNU-stack, "", @progbits
