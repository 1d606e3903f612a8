// libcuda.h - what libcuda.c adds to the driver's interface.
#pragma once
#include "cuda.h"

// libcuda_status returns what the driver's own cuInit returned, and sets *why to the
// linker's message where no driver could be opened, else to "".
CUresult libcuda_status(const char** why);
