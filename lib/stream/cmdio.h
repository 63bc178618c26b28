/* cmdio.h: what filter programs repeat: operands as one source of records,
 * standard output as a stream, error records, lists of files.
 *
 *     struct mm_input *in;
 *     struct mm_writer *out;
 *     struct mm_rec rec;
 *
 *     mm_output_open(&out, &cmd.err) and mm_input_open(&in, argv + optind, ...);
 *     while ((rc = mm_input_get(in, &rec, &cmd.err)) > 0)
 *         mm_writer_put(out, &rec, &cmd.err);          (what it does not consume)
 *     if (rc == 0)
 *         mm_writer_end(out, &cmd.err);                (only after a complete input)
 *     mm_input_close(in);
 *     mm_writer_close(out);
 *     return mm_cmd_finish(&cmd);
 */
#ifndef MM_STREAM_CMDIO_H
#define MM_STREAM_CMDIO_H

#include "stream/stream.h"

/* The option of every program that reads records; parse it with mm_opt_size. */
enum { MM_OPT_MAX_RECORD = 990, MM_OPT_TRACE, MM_OPT_KEEP_GOING, MM_OPT_FILES_FROM };
#define MM_MAX_RECORD_LONG { "max-record", required_argument, NULL, MM_OPT_MAX_RECORD }
#define MM_TRACE_LONG { "trace", required_argument, NULL, MM_OPT_TRACE }
#define MM_KEEP_GOING_LONG { "keep-going", no_argument, NULL, MM_OPT_KEEP_GOING }
#define MM_FILES_FROM_LONG { "files-from", required_argument, NULL, MM_OPT_FILES_FROM }

struct mm_input;

/* mm_input_open: the streams named by the n operands, one after another; n = 0
 * or "-" is standard input.  Files are opened when they are reached, the first
 * one here.  MM_ENOENT, MM_ENOMEM. */
MM_MUST_CHECK int mm_input_open(struct mm_input **in, char *const *paths, int n,
                                size_t max_record, struct mm_err *e);
void mm_input_close(struct mm_input *in); /* takes NULL */

/* mm_input_get: as mm_reader_get over all files: 1, 0 when the last one ended
 * properly, or an error that names the file. */
MM_MUST_CHECK int mm_input_get(struct mm_input *in, struct mm_rec *rec, struct mm_err *e);

/* Numbering that keeps items of different sections apart: start with { .last = the
 * highest item before, or -1 }. */
struct mm_numbering {
    uint64_t section; /* of the last record */
    int64_t offset;   /* added to the items of this section */
    int64_t last;     /* highest item so far */
    bool started;
};

/* mm_number: set rec's item, if it has one, to its number in a whole of many sections.
 * section: of rec, any count that differs from one to the next.  MM_EDATA, MM_ENOMEM. */
MM_MUST_CHECK int mm_number(struct mm_numbering *n, struct mm_rec *rec, uint64_t section,
                            struct mm_err *e);

/* mm_input_renumber: items of different sections and files are different items.  From
 * now on a section whose items begin at or below one seen before is numbered on
 * from there, so that `cat a.mmt b.mmt` is two items and not one. */
void mm_input_renumber(struct mm_input *in);

/* mm_input_name: the file that the last record came from ("standard input"). */
const char *mm_input_name(const struct mm_input *in);

/* mm_input_is_stream: is this operand a stream, not a checkpoint?  It is one by its
 * first bytes, by the name *.mmt, and when it can be read only once ("-", a pipe) or is
 * empty (a truncated stream). */
bool mm_input_is_stream(const char *path);

/* mm_output_open: a writer to standard output.  MM_EUSAGE if that is a terminal. */
MM_MUST_CHECK int mm_output_open(struct mm_writer **w, struct mm_err *e);

/* mm_writer_error: what --keep-going writes for a failed item: a text record of
 * kind `error` with attributes item, source (NULL: none) and reason; the payload
 * is the reason too. */
MM_MUST_CHECK int mm_writer_error(struct mm_writer *w, int64_t item, const char *source,
                                  const char *reason, struct mm_err *e);

/* mm_rec_is_error: was this record written by mm_writer_error?  Such a record is
 * no part of a prompt: a filter passes it on. */
bool mm_rec_is_error(const struct mm_rec *rec);

/* A list of names for --files-from. */
struct mm_files {
    char **path;
    size_t n, cap;
    char *text; /* what path points into */
};

/* mm_files_from: names from a file ("-": standard input), separated by sep
 * ('\n', or '\0' with -0); empty ones are skipped.  MM_ENOENT, MM_EDATA (more than
 * 256 MiB). */
MM_MUST_CHECK int mm_files_from(struct mm_files *f, const char *path, char sep,
                                struct mm_err *e);
void mm_files_free(struct mm_files *f); /* takes a zeroed one */

#endif
