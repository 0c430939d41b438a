/* record_internal.h - names that the writer and the reader of a record share. */
#pragma once

#include <stdint.h>

#define RECORD_EVENTS "events"
#define RECORD_NAME_SIZE 20

void record_log_name(uint32_t vertex, char name[RECORD_NAME_SIZE]);
