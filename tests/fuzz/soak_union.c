/* soak_union.c - the model against the union for as many operations as asked for.
 *
 *     soak_union [operations [first seed]]
 *
 * Each run has its own seed, printed when it fails by the run itself and here on the way, so that
 * `soak_union 1 SEED` repeats it; with SHOW_STEPS or SHOW_CHANGES in the environment it says more.
 * TMPDIR on a memory filesystem makes it several times faster.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/base/cleanup.h"
#include "tests/fuzz/union_model.h"

#define INPUT_SIZE 6000u

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = (*state += 0x9e3779b97f4a7c15ull); /* splitmix64 */

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

int main(int argc, char **argv)
{
    size_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    uint8_t bytes[INPUT_SIZE];

    while (union_model_step_count() < wanted) {
        uint64_t state = seed;

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)next_random(&state);
        (void)fprintf(stderr, "\rseed %" PRIu64, seed);
        union_model_run(union_model_store(), bytes, sizeof(bytes));
        seed++;
    }
    (void)fprintf(stderr, "\r%zu operations, no difference\n", union_model_step_count());
    return 0;
}
