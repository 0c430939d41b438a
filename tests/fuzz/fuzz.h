/* fuzz.h - what a fuzz target is: one function, called with any bytes.
 *
 * It must return 0 and may not crash, leak, or grow without bound; a promise that does not hold is
 * an assert. libFuzzer calls it with -Dfuzz=enabled, replay.c with the corpus in every test run.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
