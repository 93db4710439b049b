// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An init that measures a virtio-fs mount of tag "fs0" and writes one line a figure to the console:
// "figure NAME VALUE". Works in entry "0" of the mount, where there is one, else in its root.

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kMegabytes = 48, kFiles = 400, kSmallBytes = 512 };

static char block[1 << 20];

static double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void Tell(const char* name, double amount, double since) {
  printf("figure %s %.2f\n", name, amount / (Now() - since));
}

static void DropCaches(void) {
  const int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (fd < 0 || write(fd, "3", 1) != 1) printf("error drop_caches\n");
  close(fd);
}

static void WriteBig(void) {
  const double start = Now();
  const int fd = open("big", O_CREAT | O_WRONLY | O_TRUNC, 0644);
  for (int i = 0; i < kMegabytes; ++i) {
    if (write(fd, block, sizeof(block)) != sizeof(block)) printf("error write\n");
  }
  close(fd);
  Tell("write_mib_s", kMegabytes, start);
}

static void ReadBig(const char* name) {
  const double start = Now();
  const int fd = open("big", O_RDONLY);
  for (int i = 0; i < kMegabytes; ++i) {
    if (read(fd, block, sizeof(block)) <= 0) printf("error read\n");
  }
  close(fd);
  Tell(name, kMegabytes, start);
}

static void Small(void (*each)(const char* path), const char* name) {
  const double start = Now();
  for (int i = 0; i < kFiles; ++i) {
    char path[32];
    snprintf(path, sizeof(path), "small/f%d", i);
    each(path);
  }
  Tell(name, kFiles, start);
}

static void Create(const char* path) {
  const int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
  if (write(fd, block, kSmallBytes) != kSmallBytes) printf("error create\n");
  close(fd);
}

static void ReadSmall(const char* path) {
  const int fd = open(path, O_RDONLY);
  if (read(fd, block, kSmallBytes) != kSmallBytes) printf("error small read\n");
  close(fd);
}

static void Stat(const char* path) {
  struct stat info;
  if (stat(path, &info) != 0) printf("error stat\n");
}

static void List(void) {
  const double start = Now();
  DIR* const folder = opendir("small");
  int entries = 0;
  for (struct dirent* entry; (entry = readdir(folder)) != NULL; ++entries) {
    struct stat info;
    fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW);
  }
  closedir(folder);
  Tell("list_entries_s", entries, start);
}

static void Unlink(const char* path) {
  if (unlink(path) != 0) printf("error unlink\n");
}

int main(void) {
  mkdir("/proc", 0755);
  mkdir("/dev", 0755);
  mkdir("/m", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("dev", "/dev", "devtmpfs", 0, NULL);
  if (freopen("/dev/console", "w", stdout) == NULL) return 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (mount("fs0", "/m", "virtiofs", 0, NULL) != 0) printf("error mount\n");
  if (chdir("/m/0") != 0 && chdir("/m") != 0) printf("error chdir\n");
  memset(block, 'x', sizeof(block));
  mkdir("small", 0755);
  WriteBig();
  DropCaches();
  ReadBig("read_mib_s");
  ReadBig("read_again_mib_s");
  Small(Create, "create_files_s");
  DropCaches();
  Small(Stat, "stat_files_s");
  Small(ReadSmall, "read_files_s");
  DropCaches();
  List();
  Small(Unlink, "unlink_files_s");
  unlink("big");
  rmdir("small");
  printf("done\n");
  fflush(stdout);
  reboot(RB_AUTOBOOT);
  return 0;
}
