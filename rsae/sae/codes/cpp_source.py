"""In C++ what torch has no operation for: which codes are active, and products of pairs of rows that are far apart.

``BLOCK`` numbers are counted together where active codes are sought. A product is summed by one thread, so that how
many there are changes no bit. Weighed sums of rows are torch's ``embedding_bag``: a kernel of our own was slower.
"""

CODE = r"""
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

constexpr int NOT_A_NUMBER = 0x7fffffff, LANES = 8;
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int bits __attribute__((vector_size(4 * LANES)));

static inline vec load(const float* from) {
    vec v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
// ints that are ordered as floats above 0 are; what is at most 0 becomes at most 0, and no number the largest
static inline int ordered(float value) {
    int number;
    std::memcpy(&number, &value, 4);
    return value == value ? number : NOT_A_NUMBER;
}
static inline bits ordered(vec v) { return v == v ? (bits)v : bits{} + NOT_A_NUMBER; }
static inline void ahead(const float* row) { __builtin_prefetch(row); }

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
    #pragma omp parallel for num_threads(threads)
    for (long i = 0; i < n; i++) {
        const float* row = h + i * d;
        uint8_t* hit = hits + i * ((d + BLOCK - 1) / BLOCK);
        int64_t total = 0;
        for (long start = 0; start < d; start += BLOCK) {
            int found = 0;
            if (start + BLOCK <= d) {
                bits count = {};
                for (long j = start; j < start + BLOCK; j += LANES) count -= ~(load(row + j) <= load(floor + j));
                for (int l = 0; l < LANES; l++) found += count[l];
            } else {
                for (long j = start; j < d; j++) found += !(row[j] <= floor[j]);
            }
            *hit++ = found, total += found;
        }
        sizes[i] = total;
    }
}
extern "C" void fill_above(const float* h, const float* floor, long n, long d, long threads, const int64_t* offsets,
                           const uint8_t* hits, int64_t* feature) {
    #pragma omp parallel for num_threads(threads)
    for (long i = 0; i < n; i++) {
        const float* row = h + i * d;
        const uint8_t* hit = hits + i * ((d + BLOCK - 1) / BLOCK);
        int64_t* to = feature + offsets[i];
        for (long start = 0; start < d; start += BLOCK)
            if (*hit++)
                for (long j = start; j < std::min(d, start + BLOCK); j++)
                    if (!(row[j] <= floor[j])) *to++ = j;
    }
}

// the columns of the k largest numbers of each row, of those above 0, ascending; of equal ones the first
extern "C" void largest(const float* h, long k, long n, long d, long threads, int64_t* sizes, int64_t* feature) {
    // groups of numbers, each a lane of some vectors that follow each other: so many that ranking them takes as long as
    // looking through k of them
    const long groups = std::max(2 * k, (long)(std::sqrt((double)k * d) / 2)), depth = std::max(1L, d / groups);
    const long chunk = depth * LANES, chunks = d / chunk;
    #pragma omp parallel num_threads(threads)
    {
        std::vector<int> most(chunks * LANES), ranked;
        std::vector<std::pair<int, int>> found;  // (minus the number, column)
        #pragma omp for
        for (long i = 0; i < n; i++) {
            const float* row = h + i * d;
            for (long c = 0; c < chunks; c++) {
                bits top = {};
                for (long j = c * chunk; j < (c + 1) * chunk; j += LANES) {
                    bits here = ordered(load(row + j));
                    top = here > top ? here : top;
                }
                std::memcpy(&most[c * LANES], &top, sizeof top);
            }
            // k groups have a number as large as the k-th largest maximum: none that is smaller is wanted
            int least = 1;
            if (k < (long)most.size()) {
                ranked = most;
                std::nth_element(ranked.begin(), ranked.begin() + (k - 1), ranked.end(), std::greater<int>());
                least = std::max(1, ranked[k - 1]);
            }
            found.clear();
            auto look = [&](long j) {
                int value = ordered(row[j]);
                if (value >= least) found.emplace_back(-value, j);
            };
            for (long group = 0; group < (long)most.size(); group++)
                if (most[group] >= least)
                    for (long q = 0; q < depth; q++) look((group / LANES * depth + q) * LANES + group % LANES);
            for (long j = chunks * chunk; j < d; j++) look(j);
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
