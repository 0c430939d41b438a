/* fuzz_union.c - operations from bytes, on the union and on a model of it. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/union_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 1u << 16)
        union_model_run(union_model_store(), data, size);
    return 0;
}
