// posix_spawn in another folder: Swift's Glibc module leaves out what is not POSIX.

#define _GNU_SOURCE
#include "CSpawn.h"

#include <fcntl.h>
#include <spawn.h>

pid_t dms_spawn(const char *program, char *const arguments[], char *const environment[], const char *folder,
                const char *input, const char *output, const char *errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, folder);
  posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  pid_t process;
  int code = posix_spawn(&process, program, &actions, 0, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  return code == 0 ? process : -code;
}
