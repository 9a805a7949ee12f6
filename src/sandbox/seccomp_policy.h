#pragma once

/* Which system calls exist for user code: an allow-list, compiled by libseccomp before any fork. */

enum seccomp_policy { SECCOMP_POLICY_TEMPLATE, SECCOMP_POLICY_CELL };

/* Appends the filter's instructions to fd at its offset. 0 or negative errno. */
int seccomp_policy_write(enum seccomp_policy policy, int fd);
