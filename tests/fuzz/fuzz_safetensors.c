/* fuzz_safetensors: a safetensors file.
 *
 * covers: lib/weights/safetensors.c
 * seeds: tests/golden/weights/containers/files/t.safetensors
 * seeds: tests/golden/weights/containers/files/handmade.safetensors
 * seeds: tests/golden/weights/malformed/files/safetensors
 */
#include "ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_ckpt(data, size, NULL);
    return 0;
}
