// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Stands where the VMM will stand and says what it sees: one "key=value" a line on stdout. The
// first argument chooses what is done:
//
//   report            everything below, then exit 0
//   sources N...      what descriptors N are, and what can be done with them
//   hog MIB           touches that much memory; "hog=done" when it is still alive
//   forks N           makes up to N children; "forks=M" says how many it got
//   stay              "stay=1", then waits for its stdin to end

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr int kHighestFd = 4096;

void Say(const char* key, const std::string& value) { std::printf("%s=%s\n", key, value.c_str()); }
void Say(const char* key, long long value) { Say(key, std::to_string(value)); }

// 0 when the call worked, else its errno.
int ErrorOf(long result) { return result < 0 ? errno : 0; }

std::string List(const char* path) {
  DIR* directory = ::opendir(path);
  if (directory == nullptr) return "errno " + std::to_string(errno);
  std::string names;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    names += (names.empty() ? "" : ",") + name;
  }
  ::closedir(directory);
  return names;
}

void SayIdentity() {
  uid_t real, effective, saved;
  ::getresuid(&real, &effective, &saved);
  Say("uids", std::to_string(real) + "," + std::to_string(effective) + "," + std::to_string(saved));
  gid_t group, effective_group, saved_group;
  ::getresgid(&group, &effective_group, &saved_group);
  Say("gids", std::to_string(group) + "," + std::to_string(effective_group) + "," +
                  std::to_string(saved_group));
  Say("groups", ::getgroups(0, nullptr));
  Say("pid", ::getpid());
  Say("ppid", ::getppid());
  Say("sid", ::getsid(0));
  Say("setuid_0", ErrorOf(::setuid(0)));
}

void SayCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  ::syscall(SYS_capget, &header, data);
  Say("capabilities", (data[0].effective | data[1].effective | data[0].permitted |
                       data[1].permitted | data[0].inheritable | data[1].inheritable) != 0);
  Say("effective", static_cast<long long>(data[0].effective));
  int bounding = 0;
  int ambient = 0;
  for (int capability = 0; capability < 64; ++capability) {
    if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) ++bounding;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1) ++ambient;
  }
  Say("bounding", bounding);
  Say("ambient", ambient);
  Say("no_new_privs", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  Say("securebits", ::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
}

void SayFiles() {
  Say("root", List("/"));
  Say("proc", ::access("/proc", F_OK) == 0);
  Say("create_in_root", ErrorOf(::open("/file", O_CREAT | O_RDWR, 0600)));
  struct stat root {};
  ::stat("/", &root);
  Say("root_mode", root.st_mode & 07777);
  Say("escape", List(".."));
  Say("mount", ErrorOf(::mount("x", "/", "tmpfs", 0, nullptr)));
  Say("user_namespace", ErrorOf(::unshare(CLONE_NEWUSER)));
  Say("mknod", ErrorOf(::mknod("/null", S_IFCHR | 0666, 0x103)));
  std::string open_fds;
  for (int fd = 0; fd < kHighestFd; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) continue;
    open_fds += (open_fds.empty() ? "" : ",") + std::to_string(fd);
  }
  Say("fds", open_fds);
}

void SayNetwork() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  std::string names;
  int up = 0;
  for (unsigned index = 1; index < 64; ++index) {
    ifreq request{};
    request.ifr_ifindex = static_cast<int>(index);
    if (::ioctl(fd, SIOCGIFNAME, &request) < 0) continue;
    names += (names.empty() ? "" : ",") + std::string(request.ifr_name);
    if (::ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0) ++up;
  }
  Say("interfaces", names);
  Say("interfaces_up", up);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Say("connect", ErrorOf(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address))));
  ::close(fd);
}

void SayLimit(const char* name, int resource) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  Say(name, limit.rlim_max == RLIM_INFINITY ? -1 : static_cast<long long>(limit.rlim_max));
}

void SayRest(char** environment) {
  utsname host{};
  ::uname(&host);
  Say("hostname", host.nodename);
  Say("environment", environment[0] != nullptr);
  const mode_t mask = ::umask(0);
  Say("umask", mask);
  SayLimit("core", RLIMIT_CORE);
  SayLimit("nofile", RLIMIT_NOFILE);
  SayLimit("fsize", RLIMIT_FSIZE);
  // The first pids of the host are there, if anywhere, and none of them is ours.
  int others = 0;
  for (int pid = 2; pid < 1000; ++pid) others += ::kill(pid, 0) == 0 || errno != ESRCH;
  Say("other_processes", others);
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void SayDirectory(int fd, const std::string& number) {
  const int readable = ::openat(fd, ".", O_RDONLY | O_DIRECTORY);
  DIR* const directory = readable < 0 ? nullptr : ::fdopendir(readable);
  int names = 0;
  while (directory != nullptr && ::readdir(directory) != nullptr) ++names;
  Say(("names " + number).c_str(), names);
  if (directory != nullptr) ::closedir(directory);
  struct stat self {};
  struct stat parent {};
  ::fstat(fd, &self);
  ::fstatat(fd, "../..", &parent, 0);
  Say(("parent is itself " + number).c_str(), SameFile(self, parent));
  const int made = ::openat(fd, "made", O_CREAT | O_EXCL | O_RDWR, 0644);
  Say(("create " + number).c_str(), ErrorOf(made));
  Say(("chmod " + number).c_str(), ErrorOf(::fchmodat(fd, ".", 0755, 0)));
  Say(("device " + number).c_str(), ErrorOf(::openat(fd, "device", O_RDONLY)));
}

void SayFile(int fd, const std::string& number) {
  char text[64] = "";
  const ssize_t size = ::read(fd, text, sizeof(text) - 1);
  Say(("text " + number).c_str(), std::string(text, size < 0 ? 0 : static_cast<size_t>(size)));
  Say(("write " + number).c_str(), ErrorOf(::pwrite(fd, "x", 1, 0)));
  Say(("chmod " + number).c_str(), ErrorOf(::fchmod(fd, 0600)));
}

int Sources(int count, char** numbers) {
  for (int i = 0; i < count; ++i) {
    const int fd = std::atoi(numbers[i]);
    struct stat info {};
    if (::fstat(fd, &info) < 0) {
      Say((std::string("kind ") + numbers[i]).c_str(), "none");
    } else if (S_ISDIR(info.st_mode)) {
      SayDirectory(fd, numbers[i]);
    } else {
      SayFile(fd, numbers[i]);
    }
  }
  return 0;
}

int Hog(long mib) {
  for (long i = 0; i < mib; ++i) {
    char* block = static_cast<char*>(std::malloc(1 << 20));
    if (block == nullptr) break;
    std::memset(block, 1, 1 << 20);
  }
  Say("hog", "done");
  return 0;
}

int Forks(long count) {
  long made = 0;
  for (; made < count; ++made) {
    const pid_t child = ::fork();
    if (child < 0) break;
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  Say("forks", made);
  return 0;  // pid 1 ends, and with it the children
}

int Stay() {
  Say("stay", 1);
  std::fflush(stdout);
  char byte;
  return ::read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv, char** environment) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "hog" && argc == 3) return Hog(std::atol(argv[2]));
  if (what == "forks" && argc == 3) return Forks(std::atol(argv[2]));
  if (what == "stay") return Stay();
  if (what == "sources") return Sources(argc - 2, argv + 2);
  if (what != "report") return 2;
  SayIdentity();
  SayCapabilities();
  SayFiles();
  SayNetwork();
  SayRest(environment);
  for (int i = 2; i < argc; ++i) {
    Say((std::string("list ") + argv[i]).c_str(), List(argv[i]));
    const int fd = ::open((std::string(argv[i]) + "/probe").c_str(), O_CREAT | O_RDWR, 0600);
    Say((std::string("create ") + argv[i]).c_str(), ErrorOf(fd));
  }
  return 0;
}
