/* What the installer carries; payload.hpp names each piece. */

.macro piece name, path
    .section .rodata
    .balign 16
    .global payload_\name\()_begin
    .global payload_\name\()_end
payload_\name\()_begin:
    .incbin "\path"
payload_\name\()_end:
.endm

    piece agent, PAYLOAD_AGENT
    piece config, PAYLOAD_CONFIG
    piece agent_service, PAYLOAD_AGENT_SERVICE
    piece front_service, PAYLOAD_FRONT_SERVICE
    piece front_socket, PAYLOAD_FRONT_SOCKET
    piece front_control_socket, PAYLOAD_FRONT_CONTROL_SOCKET
    piece jupyter_service, PAYLOAD_JUPYTER_SERVICE
    piece sysusers, PAYLOAD_SYSUSERS

    .section .note.GNU-stack, "", @progbits
