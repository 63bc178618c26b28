/* child.h: a filter run as a child: one text to it, its lines back. */
#ifndef MM_NET_CHILD_H
#define MM_NET_CHILD_H

#include <stddef.h>

#include "base/err.h"

typedef int (*mm_child_line)(void *user, const char *line, size_t n, struct mm_err *e);

/* mm_child_run: start argv[0] (found in PATH), give it text[n] to read on descriptor 3 to
 * its end, call fn for each line of its standard output, wait for it.  Its standard
 * input is empty.  A child that reads only part of the text or writes before it
 * has read all is not for this.  fn may return a negative code to stop.
 * MM_EMISSING: cannot be started, or ended with a status that is not 0 (MM_ENOENT for
 * 66); MM_EIO: killed.  SIGPIPE is ignored while the text is written. */
MM_MUST_CHECK int mm_child_run(char *const argv[], const char *text, size_t n, mm_child_line fn,
                               void *user, struct mm_err *e);

#endif
