#pragma once
#include <sys/types.h>

/// Starts a program in a folder with files as its stdin, stdout and stderr.
/// Returns the process, or the negative number of an error.
pid_t dms_spawn(const char *program, char *const arguments[], char *const environment[], const char *folder,
                const char *input, const char *output, const char *errors);
