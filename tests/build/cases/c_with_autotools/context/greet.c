#include "config.h"
#include <stdio.h>
void greet(const char *name)
{
#ifdef HAVE_NONSENSE
    name = "nonsense";
#endif
    printf("hello, %s\n", name);
}
