/* The kernels for every C compiler, one number at a time. */
#include "merge.h"
#define WIDTH 1
#include "block.h"

const Variant plain_variant = TABLE("plain");
