// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// usage: vsock_peer [PORT]
// Takes or makes bytes on a vsock port, 1024 as an init without arguments. A client sends a command and a length (8 bytes,
// little-endian): 'S' takes so many bytes and answers with one, 'G' gives so many.

#include <linux/vm_sockets.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[256 << 10];

static int Take(int client, uint64_t left) {
  while (left > 0) {
    const ssize_t got = read(client, buffer, left < sizeof(buffer) ? left : sizeof(buffer));
    if (got <= 0) return -1;
    left -= (uint64_t)got;
  }
  return write(client, "!", 1) == 1 ? 0 : -1;
}

static int Give(int client, uint64_t left) {
  while (left > 0) {
    const ssize_t put = write(client, buffer, left < sizeof(buffer) ? left : sizeof(buffer));
    if (put <= 0) return -1;
    left -= (uint64_t)put;
  }
  return 0;
}

static int Serve(int client) {
  struct {
    char command;
    uint64_t length;
  } __attribute__((packed)) request;
  for (size_t got = 0; got < sizeof(request);) {
    const ssize_t part = read(client, (char*)&request + got, sizeof(request) - got);
    if (part <= 0) return -1;
    got += (size_t)part;
  }
  return request.command == 'S' ? Take(client, request.length) : Give(client, request.length);
}

int main(int argc, char** argv) {
  const unsigned port = argc > 1 ? (unsigned)atoi(argv[1]) : 1024;
  const struct sockaddr_vm address = {
      .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  const int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (bind(listener, (const struct sockaddr*)&address, sizeof(address)) != 0) return 1;
  if (listen(listener, 16) != 0) return 1;
  for (;;) {
    const int client = accept(listener, NULL, NULL);
    if (client < 0) return 1;
    while (Serve(client) == 0) {
    }
    close(client);
  }
}
