/* scratch.h - a directory for targets whose subject wants files. */
#pragma once

/* One for all inputs, removed when the process ends. Borrowed. */
int fuzz_scratch(void);
