/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_ARCH_X86_64_FRAME_H
#define CL_ARCH_X86_64_FRAME_H

/* Places in the frame of rt_sigreturn(2), and what the agent does about the call in it; shared by C
 * and assembly. */
#define FRAME_AX 144
#define FRAME_IP 168
#define FRAME_SIGMASK 296

/* Whether a signal that has a handler and waits when the frame is used ends the call with EINTR. */
#define HOME_NEVER 0
#define HOME_ALWAYS 1
#define HOME_WITHOUT_SA_RESTART 2

#endif
