/* fuzz_legacy: PyTorch files before the zip form: stacked pickles and tar.
 *
 * covers: lib/weights/torch_legacy.c
 * covers: lib/weights/torch_tar.c
 * seeds: tests/golden/weights/containers/files
 * seeds: tests/golden/weights/malformed/files/legacy
 * seeds: tests/fuzz/seeds/legacy
 */
#include "ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_ckpt(data, size, NULL);
    return 0;
}
