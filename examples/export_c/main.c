/* Runs an exported program: 2 * x + y for arrays of any length, without Python.
 *
 *   python export.py out
 *   cc -std=c11 -Iout main.c out/axpy.o out/tilewright_rt.c -lm -o axpy && ./axpy
 */
#include "axpy.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int64_t n = argc > 1 ? atoll(argv[1]) : 5;
  if (n < 1) {
    fprintf(stderr, "usage: %s [length]\n", argv[0]);
    return 2;
  }
  float *x = malloc(n * sizeof(float)), *y = malloc(n * sizeof(float));
  if (!x || !y)
    return 1;
  for (int64_t i = 0; i < n; ++i) {
    x[i] = (float)i;
    y[i] = 1.0f;
  }

  /* An array is a pointer, its dims and its strides in elements. */
  int64_t dims[1] = {n}, strides[1] = {1};
  TwArg in[AXPY_INPUTS] = {{x, dims, strides}, {y, dims, strides}};

  /* The shapes function says how large the outputs are, and how much temporary
     memory the call needs. */
  int64_t sizes[AXPY_SHAPES];
  if (axpy_shapes(in, sizes) != TW_OK)
    return 1;
  float *z = malloc(sizes[0] * sizeof(float));
  if (!z)
    return 1;
  TwArg out[AXPY_OUTPUTS] = {{z, sizes, strides}};

  TwHost host;
  tw_host_init(&host);
  int32_t status = tw_call(&host, axpy_main, in, out, sizes[AXPY_SHAPES - 1]);
  if (status != TW_OK) {
    fprintf(stderr, "axpy failed: status %d, location %d\n", status,
            host.error_location);
    return 1;
  }
  for (int64_t i = 0; i < sizes[0] && i < 8; ++i)
    printf("%g ", z[i]);
  printf("\n");
  free(x);
  free(y);
  free(z);
  return 0;
}
