/* fuzz_torch: a PyTorch zip archive: members and what becomes of them.
 *
 * covers: lib/weights/zip.c
 * covers: lib/weights/torch.c
 * seeds: tests/golden/weights/containers/files
 * seeds: tests/golden/weights/malformed/files/torch
 * seeds: tests/golden/clip/openai-pt/model
 */
#include "ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_ckpt(data, size, NULL);
    return 0;
}
