/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this build has sanitizers in it, which need more of the machine than we do. */
#ifndef JAIL_SANITIZED_H
#define JAIL_SANITIZED_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define JAIL_IS_SANITIZED 1
#endif
#endif
#if !defined(JAIL_IS_SANITIZED) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define JAIL_IS_SANITIZED 1
#endif
#ifndef JAIL_IS_SANITIZED
#define JAIL_IS_SANITIZED 0
#endif

#endif
