/* The C library of the same tree. */

#include <stdio.h>

#include <tramline.h>

int main(void) {
  printf("tramline %s\n", tramline_version());
  return tramline_abi_version() == TRAMLINE_ABI_VERSION ? 0 : 1;
}
