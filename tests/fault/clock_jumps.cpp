// To be preloaded: a wall clock that jumps by hours, forwards and backwards, every few calls. Clocks that measure
// durations go on as they do.
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {

long jump() {
  static std::atomic<unsigned> calls{0};
  const long hours[] = {0, 30, -400, 2, -1, 9000};
  return 3600 * hours[calls++ / 3 % 6];
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, struct timespec* time) {
  const long result = ::syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += jump();
  return static_cast<int>(result);
}

extern "C" int gettimeofday(struct timeval* time, void*) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

extern "C" time_t time(time_t* result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != nullptr) *result = now.tv_sec;
  return now.tv_sec;
}
