//===- state.cpp - Streams, memory and orders of the fake driver ----------===//

#include "fake.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

using namespace fake;

thread_local Context *fake::current = nullptr;

Driver &fake::driver() {
  static auto *instance = new Driver;
  return *instance;
}

Driver::Driver() {
  streams.push_back(std::make_unique<Stream>());
  streams[0]->number = 0;
}

unsigned char *Driver::contents() {
  if (bytes)
    return bytes;
  auto *wanted = reinterpret_cast<void *>(base);
  // Reserved, never readable: host code that follows a device's pointer ends the process, as it would with a GPU.
  void *reserved =
      mmap(wanted, space, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (reserved != wanted)
    abort();
  bytes = static_cast<unsigned char *>(
      mmap(nullptr, space, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return bytes;
}

Result Driver::enter(const char *name, bool needsContext) {
  ++calls[name];
  if (failIn > 0 && failName == name && --failIn == 0)
    return failWith;
  if (!initialised && std::string(name) != "cuInit")
    return notInitialised;
  if (needsContext && !current)
    return invalidContext;
  return sticky;
}

Stream *Driver::stream(void *handle) {
  auto number = reinterpret_cast<uintptr_t>(handle);
  if (number <= 1) // null, or CU_STREAM_LEGACY
    return streams[0].get();
  for (auto &stream : streams)
    if (stream.get() == handle)
      return stream.get();
  return nullptr;
}

Result Driver::enqueue(Stream *stream, std::function<Result()> run, const std::vector<OpPtr> &before) {
  auto op = std::make_shared<Op>();
  op->run = std::move(run);
  op->before = before;
  auto follow = [&](Stream *other) {
    if (other->last && !other->last->done)
      op->before.push_back(other->last);
  };
  follow(stream);
  if (stream == streams[0].get())
    for (auto &other : streams)
      if (other->blocking)
        follow(other.get());
  if (stream->blocking)
    follow(streams[0].get());
  stream->last = op;
  return success;
}

/// Does what an operation waits for, and then itself. While the interpreter runs, Python may collect garbage and so
/// call the driver again: what is under way ends first. Other threads wait for their turn; they may call whatever does not
/// wait, since the interpreter wants Python's lock, which they may hold.
Result Driver::complete(const OpPtr &op) {
  if (running && runner == std::this_thread::get_id())
    return sticky;
  idle.wait(mutex, [&] { return !running; });
  std::vector<OpPtr> stack{op};
  while (!stack.empty()) {
    OpPtr top = stack.back();
    if (!top || top->done) {
      stack.pop_back();
      continue;
    }
    bool ready = true;
    for (const OpPtr &before : top->before)
      if (!before->done) {
        stack.push_back(before);
        ready = false;
      }
    if (!ready)
      continue;
    stack.pop_back();
    top->done = true;
    top->before.clear();
    if (sticky != success || !top->run)
      continue;
    running = true;
    runner = std::this_thread::get_id();
    mutex.unlock();
    Result result = top->run();
    mutex.lock();
    running = false;
    sticky = result;
    idle.notify_all();
    // Another thread may have taken the turn meanwhile.
    idle.wait(mutex, [&] { return !running; });
  }
  return sticky;
}

Result Driver::completeAll() {
  std::vector<Stream *> order;
  for (auto &stream : streams)
    order.push_back(stream.get());
  if (lastFirst)
    std::reverse(order.begin(), order.end());
  for (Stream *stream : order)
    complete(stream->last);
  return sticky;
}

unsigned char *Driver::at(uint64_t address, size_t size) {
  auto found = allocations.upper_bound(address);
  if (found == allocations.begin())
    return nullptr;
  --found;
  if (!found->second.live || address + size > found->first + found->second.bytes)
    return nullptr;
  return contents() + (address - base);
}
