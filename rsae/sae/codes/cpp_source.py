"""In C++ what torch has no operation for: which codes are active, and products of pairs of rows that are far apart.

``BLOCK`` numbers are looked at together where active codes are sought. A product is summed by one thread, so that how
many there are changes no bit. Weighed sums of rows are torch's ``embedding_bag``: a kernel of our own was slower.
"""

CODE = r"""
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

constexpr int NOT_A_NUMBER = 0x7fffffff;  // greater than what any number becomes

// ints that are ordered as floats above 0 are; what is at most 0 becomes at most 0, and no number the largest
static inline int ordered(float value) {
    int bits;
    std::memcpy(&bits, &value, 4);
    return (bits & 0x7fffffff) > 0x7f800000 ? NOT_A_NUMBER : bits;
}
static inline void ahead(const float* row) { __builtin_prefetch(row); }
// body(j, n) for blocks of n columns from the j-th on; whole ones apart, for there the compiler knows n
template <class Body> static inline void blocks(long d, Body body) {
    long j = 0;
    for (; j + BLOCK <= d; j += BLOCK) body(j, BLOCK);
    if (j < d) body(j, d - j);
}

// per place the product of its token's row x and its feature's row y
extern "C" void dots(const int64_t* offsets, const int64_t* feature, const float* x, const float* y, long n, long d,
                     long threads, float* out) {
    const int64_t end = offsets[n];
    #pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (long i = 0; i < n; i++) {
        for (int64_t e = offsets[i]; e < offsets[i + 1]; e++) {
            const float *a = x + i * d, *b = y + feature[e] * d;
            const float* next = y + feature[std::min(e + 2, end - 1)] * d;
            float part[32] = {};
            long j = 0;
            for (; j + 32 <= d; j += 32) {
                ahead(next + j), ahead(next + j + 16);
                for (int l = 0; l < 32; l++) part[l] += a[j + l] * b[j + l];
            }
            for (int l = 0; j < d; j++, l++) part[l] += a[j] * b[j];
            float total = 0;
            for (int l = 0; l < 32; l++) total += part[l];
            out[e] = total;
        }
    }
}

// how many of each row's numbers are above their column's floor, and of each of its blocks
extern "C" void count_above(const float* h, const float* floor, long n, long d, long threads, int64_t* sizes,
                            uint8_t* hits) {
    long n_blocks = (d + BLOCK - 1) / BLOCK;
    #pragma omp parallel for num_threads(threads)
    for (long i = 0; i < n; i++) {
        int64_t total = 0;
        blocks(d, [&](long j, int m) __attribute__((always_inline)) {
            const float *at = h + i * d + j, *least = floor + j;
            int found = 0;
            for (int l = 0; l < m; l++) found += !(at[l] <= least[l]);
            hits[i * n_blocks + j / BLOCK] = found, total += found;
        });
        sizes[i] = total;
    }
}
extern "C" void fill_above(const float* h, const float* floor, long n, long d, long threads, const int64_t* offsets,
                           const uint8_t* hits, int64_t* feature) {
    long n_blocks = (d + BLOCK - 1) / BLOCK;
    #pragma omp parallel for num_threads(threads)
    for (long i = 0; i < n; i++) {
        int64_t* to = feature + offsets[i];
        blocks(d, [&](long start, int m) {
            if (hits[i * n_blocks + start / BLOCK])
                for (long j = start; j < start + m; j++)
                    if (!(h[i * d + j] <= floor[j])) *to++ = j;
        });
    }
}

// the columns of the k largest numbers of each row, of those above 0, ascending; of equal ones the first
extern "C" void largest(const float* h, long k, long n, long d, long threads, int64_t* sizes, int64_t* feature) {
    long n_blocks = (d + BLOCK - 1) / BLOCK;
    #pragma omp parallel num_threads(threads)
    {
        std::vector<int> most(n_blocks), ranked;
        std::vector<std::pair<int, int>> found;  // (minus the number, column)
        #pragma omp for
        for (long i = 0; i < n; i++) {
            const float* row = h + i * d;
            blocks(d, [&](long j, int m) __attribute__((always_inline)) {
                int top = 0;
                for (int l = 0; l < m; l++) top = std::max(top, ordered(row[j + l]));
                most[j / BLOCK] = top;
            });
            // k blocks have a number as large as the k-th largest maximum: none that is smaller is wanted
            int least = 1;
            if (k < n_blocks) {
                ranked = most;
                std::nth_element(ranked.begin(), ranked.begin() + (k - 1), ranked.end(), std::greater<int>());
                least = std::max(1, ranked[k - 1]);
            }
            found.clear();
            blocks(d, [&](long start, int m) {
                if (most[start / BLOCK] >= least)
                    for (long j = start; j < start + m; j++)
                        if (int value = ordered(row[j]); value >= least) found.emplace_back(-value, j);
            });
            if ((long)found.size() > k) {
                std::nth_element(found.begin(), found.begin() + k, found.end());
                found.resize(k);
            }
            sizes[i] = found.size();
            int64_t* to = feature + i * k;
            for (auto& one : found) *to++ = one.second;
            std::sort(feature + i * k, to);
        }
    }
}
"""
