/* fuzz_npy: arrays of NumPy, alone and in a zip archive.
 *
 * covers: lib/weights/npy.c
 * covers: lib/weights/zip.c
 * seeds: tests/golden/weights/npy/files
 * seeds: tests/golden/weights/malformed/files/npy
 */
#include "ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_ckpt(data, size, NULL);
    return 0;
}
