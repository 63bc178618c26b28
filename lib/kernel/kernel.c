/* kernel.c: which CPU this is, and the table for it. */
#include "kernel/kernel.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/attention_tile.h"
#include "kernel/int8.h"
#include "kernel/qrow.h"
#include "kernel/tile.h"
#include "kernel/unpack.h"
#include "kernel/vec.h"

#if defined(__x86_64__)
#include <cpuid.h>
#define MM_X86 1
#else
#define MM_X86 0
#endif

#if MM_X86
static uint64_t xgetbv0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* Intel SDM vol. 1, 13.3 and vol. 2, CPUID: the OS must save the registers. */
static unsigned detect_x86(void)
{
    unsigned a, b, c, d, b7, c7, d7, a71 = 0, x, y, z;
    unsigned cpu = 0;
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F DQ BW VL */

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27)) /* OSXSAVE */
        return 0;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
        return 0;
    if (a >= 1 && !__get_cpuid_count(7, 1, &a71, &x, &y, &z))
        a71 = 0;
    const uint64_t os = xgetbv0();
    if ((os & 6) != 6) /* XMM, YMM */
        return 0;
    if ((b7 & 1u << 5) && (c & 1u << 12) && (c & 1u << 29)) /* AVX2 FMA F16C */
        cpu |= MM_CPU_AVX2;
    if ((cpu & MM_CPU_AVX2) && (a71 & 1u << 4))
        cpu |= MM_CPU_AVXVNNI;
    if ((os & 0xe6) != 0xe6 || !(cpu & MM_CPU_AVX2) || (b7 & avx512) != avx512)
        return cpu;
    cpu |= MM_CPU_AVX512;
    if ((c7 & 1u << 11) && (c7 & 1u << 1)) /* AVX512_VNNI, AVX512_VBMI */
        cpu |= MM_CPU_VNNI;
    if (a71 & 1u << 5)
        cpu |= MM_CPU_BF16;
    return cpu;
}
#endif

unsigned mm_cpu_detect(void)
{
    unsigned cpu = 0;
#if MM_X86
    cpu = detect_x86();
#endif
    const char *mask = getenv("MM_CPU");
    if (mask && strcmp(mask, "scalar") == 0)
        return 0;
    if (mask && strcmp(mask, "avx2") == 0)
        cpu &= MM_CPU_AVX2;
    if (mask && strcmp(mask, "avxvnni") == 0)
        cpu &= MM_CPU_AVX2 | MM_CPU_AVXVNNI;
    if (!cpu || (mask && strcmp(mask, "blas") == 0))
        cpu = MM_CPU_BLAS;
    return cpu;
}

void mm_kern_init(struct mm_kern *k, unsigned cpu)
{
    memset(k, 0, sizeof(*k));
    mm_vec_init_c(k);
    mm_attention_tile_init_c(k);
    mm_qrow_init_c(k);
    mm_tile_init_c(k);
    mm_unpack_init_c(k);
    if (cpu & MM_CPU_BLAS)
        mm_tile_init_blas(k);
#if MM_X86
    if (cpu & MM_CPU_AVX2) {
        mm_vec_init_avx2(k);
        mm_attention_tile_init_avx2(k);
        mm_qrow_init_avx2(k);
        mm_tile_init_avx2(k);
        mm_unpack_init_avx2(k);
        mm_int8_init_avx2(k);
    }
    if ((cpu & MM_CPU_AVX2) && (cpu & MM_CPU_AVXVNNI))
        mm_int8_init_avxvnni(k);
    /* These files are compiled for VNNI and VBMI too: Ice Lake and Zen 4 on. */
    if ((cpu & MM_CPU_AVX512) && (cpu & MM_CPU_VNNI)) {
        mm_vec_init_avx512(k);
        mm_attention_tile_init_avx512(k);
        mm_qrow_init_avx512(k);
        mm_tile_init_avx512(k);
        mm_unpack_init_avx512(k);
        mm_pairs_init_avx512(k);
    }
#endif
}

static struct mm_kern table;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_init(void)
{
    mm_kern_init(&table, mm_cpu_detect());
}

const struct mm_kern *mm_kern(void)
{
    pthread_once(&table_once, table_init);
    return &table;
}
