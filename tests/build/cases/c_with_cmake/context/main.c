#include <stdio.h>
int part(void);
int main(void) { printf("part is %d\n", part()); return 0; }
