#include <cblas.h>

// Exported by every OpenBLAS, declared by none of its headers.
char *openblas_get_corename(void);
