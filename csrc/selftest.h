// What the parts of the self-test share.
#ifndef ELEGANS_SELFTEST_H
#define ELEGANS_SELFTEST_H

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>

inline std::mt19937 generator(0);
inline int64_t cases = 0, failures = 0;

inline int64_t below(int64_t bound) { return static_cast<int64_t>(generator() % static_cast<uint32_t>(bound)); }

// Counts a failure; the first ten are printed (arguments as for printf).
__attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

// Heap memory of exactly this many bytes, each 0xff (a NaN in every type), so that a sanitizer sees one byte beyond it and
// a value that was never written shows. Aligned to 64 bytes, which the kernels' streaming stores need.
class Memory {
public:
    explicit Memory(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
        if (posix_memalign(&data_, 64, bytes_)) std::abort();
        if (bytes_) memset(data_, 0xff, bytes_);
    }
    Memory(Memory &&other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;
    ~Memory() { std::free(data_); }

    template <class T> void put(int64_t i, T value) {
        memcpy(static_cast<char *>(data_) + i * int64_t(sizeof(T)), &value, sizeof(T));
    }
    template <class T> T take(int64_t i) const {
        T value;
        memcpy(&value, static_cast<const char *>(data_) + i * int64_t(sizeof(T)), sizeof(T));
        return value;
    }
    // As the call blocks hold addresses; 0 means "absent".
    int64_t address() const { return bytes_ ? static_cast<int64_t>(reinterpret_cast<uintptr_t>(data_)) : 0; }
    bool same(const Memory &other) const { return bytes_ == other.bytes_ && (!bytes_ || !memcmp(data_, other.data_, bytes_)); }

private:
    void *data_ = nullptr;
    size_t bytes_;
};

// The results must not depend on the number of threads; the first entry is the run that is compared with plain loops.
constexpr int kThreads[] = {1, 2, 3, 8};

// brief: a few seconds, for the test suite.
void test_aggregation(bool brief);
void test_step(bool brief);
void test_synaptic(bool brief);
void test_visits(bool brief);

#endif
