// A small OpenMP runtime on std::thread that replaces libgomp in the self-test under ThreadSanitizer.
//
// ThreadSanitizer does not see how libgomp's threads wait for each other (futexes in code that is not instrumented), so it
// reports races where there are none. Here threads start, join and meet with calls that it knows. The kernels are the same:
// these are the functions that GCC calls for `parallel`, `for` and `barrier`. A missing one is an error of the linker.
//
// The iterations of a dynamic loop are dealt out in turns. That is one of the orders libgomp may choose. Every thread gets
// some, and no counter orders the iterations of one thread before those of another, so a race cannot hide behind it.
#include <omp.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace {

class Team {
public:
    explicit Team(int size) : size(size) {}

    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        const long round = round_;
        if (++waiting_ == size) {
            waiting_ = 0;
            round_++;
            all_here_.notify_all();
        }
        all_here_.wait(lock, [&] { return round_ != round; });
    }

    const int size;

private:
    std::mutex mutex_;
    std::condition_variable all_here_;
    int waiting_ = 0;
    long round_ = 0;
};

int default_threads = 2;
thread_local Team *team = nullptr;
thread_local int number = 0;
thread_local long next_start, loop_end, loop_step, loop_chunk;

}  // namespace

extern "C" {

void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned) {
    Team own(threads ? static_cast<int>(threads) : default_threads);
    auto run = [&](int thread) {
        team = &own, number = thread;
        body(data);
        team = nullptr, number = 0;
    };
    std::vector<std::thread> others;
    for (int thread = 1; thread < own.size; thread++) others.emplace_back(run, thread);
    run(0);
    for (std::thread &other : others) other.join();
}

void GOMP_barrier() {
    if (team) team->wait();
}

bool GOMP_loop_nonmonotonic_dynamic_next(long *first, long *last) {
    const bool up = loop_step > 0;
    if (up ? next_start >= loop_end : next_start <= loop_end) return false;
    const long after = next_start + loop_step * loop_chunk;
    *first = next_start;
    *last = (up ? after < loop_end : after > loop_end) ? after : loop_end;
    next_start += loop_step * loop_chunk * omp_get_num_threads();
    return true;
}

bool GOMP_loop_nonmonotonic_dynamic_start(long start, long end, long step, long chunk, long *first, long *last) {
    next_start = start + step * chunk * number, loop_end = end, loop_step = step, loop_chunk = chunk;
    return GOMP_loop_nonmonotonic_dynamic_next(first, last);
}

void GOMP_loop_end() { GOMP_barrier(); }
void GOMP_loop_end_nowait() {}

int omp_get_thread_num() noexcept { return number; }
int omp_get_num_threads() noexcept { return team ? team->size : 1; }
int omp_get_max_threads() noexcept { return default_threads; }
void omp_set_num_threads(int threads) noexcept { default_threads = threads; }
}
