// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// usage: spawn_loop COUNT PROGRAM
// Runs PROGRAM COUNT times by fork, exec and wait; prints the nanoseconds of each on a line. The floor of
// what a command can cost inside a guest.

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  for (long left = atol(argv[1]); left > 0; left--) {
    const long long start = Now();
    const pid_t child = fork();
    if (child == 0) {
      execl(argv[2], argv[2], (char*)NULL);
      _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 1;
    printf("%lld\n", Now() - start);
  }
  return 0;
}
