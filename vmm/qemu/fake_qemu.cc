// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Stands in for QEMU in tests: takes QEMU's command line, speaks QMP as QEMU does, and plays the
// story that the guest's command line (-append) asks for:
//   story=serve    answers commands until it is killed
//   story=reset    the guest writes "last words" to its console and resets the machine
//   story=panic    QEMU shuts down for a reason of its own
//   story=crash    complains on stderr and aborts
//   story=refuse   complains on stderr and exits with 1
//   story=babble   says what is no QMP
//   story=device   breaks the protocol on its first vhost-user socket, and goes on
// Without one (-incoming) it serves.
// It exits with 2 when it was given a descriptor that its command line does not name.

#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace {

std::vector<std::string> g_arguments;

// The value behind `option`, where there are several the one that begins with `prefix`; "" for
// none.
std::string ValueOf(const std::string& option, const std::string& prefix = "") {
  for (size_t i = 0; i + 1 < g_arguments.size(); ++i) {
    if (g_arguments[i] == option && g_arguments[i + 1].rfind(prefix, 0) == 0)
      return g_arguments[i + 1];
  }
  return "";
}

int NumberBehind(const std::string& text, const std::string& key) {
  const size_t at = text.find(key);
  return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + key.size());
}

int SocketOf(const std::string& id) {
  return NumberBehind(ValueOf("-chardev", "socket,id=" + id + ","), ",fd=");
}

void Say(int fd, const std::string& text) {
  if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) std::exit(3);
}

// Every descriptor that is open and that no argument names.
bool HasStrayDescriptors() {
  std::set<int> known = {0, 1, 2};
  for (const std::string& argument : g_arguments) {
    known.insert(NumberBehind(argument, ",fd="));
    known.insert(NumberBehind(argument, "/proc/self/fd/"));
    // The state that it waits for is named later, by its monitor.
    if (argument == "-incoming") return false;
  }
  DIR* const directory = ::opendir("/proc/self/fd");
  known.insert(::dirfd(directory));
  bool stray = false;
  while (const dirent* const entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') stray |= known.count(std::atoi(entry->d_name)) == 0;
  }
  ::closedir(directory);
  return stray;
}

std::string IdOf(const std::string& command) {
  return std::to_string(NumberBehind(command, "\"id\":"));
}

// Answers each line until the other end hangs up.
void Serve(int monitor) {
  const bool incoming = !ValueOf("-incoming").empty();
  FILE* const lines = ::fdopen(monitor, "r");
  char line[4096];
  while (std::fgets(line, sizeof(line), lines) != nullptr) {
    const std::string command = line;
    if (command.find("qmp_capabilities") != std::string::npos) {
      Say(monitor, "{\"return\": {}}\r\n");
    } else if (command.find("balloon") != std::string::npos) {
      const std::string bytes = std::to_string(
          std::strtoull(command.c_str() + command.find("\"value\":") + 8, nullptr, 10));
      Say(monitor, "{\"return\": {}, \"id\": " + IdOf(command) + "}\r\n" +
                       "{\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": " + bytes +
                       "}}\r\n");
    } else if (command.find("migrate-set-capabilities") != std::string::npos ||
               command.find("getfd") != std::string::npos ||
               (incoming && command.find("\"cont\"") != std::string::npos)) {
      Say(monitor, "{\"return\": {}, \"id\": " + IdOf(command) + "}\r\n");
    } else if (command.find("\"migrate") != std::string::npos) {
      // From here or to here: a state of four bytes is one, whatever they are.
      const int state = NumberBehind(command, "\"fd:");
      char bytes[8];
      const bool whole = state <= 0 || ::read(state, bytes, sizeof(bytes)) == 4;
      Say(monitor, "{\"return\": {}, \"id\": " + IdOf(command) + "}\r\n" +
                       "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"" +
                       (whole ? "completed" : "failed") + "\"}}\r\n");
    } else if (command.find("stop") != std::string::npos) {
      Say(monitor, "{\"event\": \"STOP\"}\r\n{\"return\": {}, \"id\": " + IdOf(command) + "}\r\n");
    } else {
      Say(monitor, "{\"id\": " + IdOf(command) +
                       ", \"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}}\r\n");
    }
  }
}

int Play(const std::string& story) {
  const int monitor = SocketOf("qmp");
  if (story == "refuse") {
    std::fputs("qemu: cannot set up guest memory\n", stderr);
    return 1;
  }
  if (story == "babble") {
    Say(monitor, "220 mail.example ESMTP\r\n");
    ::pause();
  }
  Say(monitor, "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n");
  if (story == "reset" || story == "panic") {
    Say(SocketOf("console"), "last words");
    Say(monitor,
        std::string("{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"") +
            (story == "reset" ? "guest-reset" : "host-error") + "\"}}\r\n");
    return 0;
  }
  if (story == "crash") {
    std::fputs("qemu: assertion failed\n", stderr);
    std::abort();
  }
  if (story == "device") Say(SocketOf("vhost0"), std::string(64, '\xff'));
  Serve(monitor);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  g_arguments.assign(argv, argv + argc);
  if (HasStrayDescriptors()) return 2;
  const std::string guest = ValueOf("-append");
  const size_t story = guest.find("story=");
  return Play(story == std::string::npos ? "serve" : guest.substr(story + 6));
}
