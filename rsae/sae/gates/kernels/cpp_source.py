"""The rational gate in C++: one pass over h in either direction, any degree as a constant.

Kept as text so that what depends on it is made again when it changes, as with every module here. The degree
``P``, ``Q`` and ``ROWS``, the tokens of a tile, come from the compiler's command line. Sums are taken in float64
from stretches of at most 64 vectors, in an order that the number of threads does not change.
"""

CODE = r"""
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

constexpr int LANES = 16;  // of a vector; the compiler splits it where the processor's registers are narrower
constexpr long STRETCH = 64 * LANES, AHEAD = 64 * LANES, N = P + Q + 2;
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int bits __attribute__((vector_size(4 * LANES)));
typedef double wide __attribute__((vector_size(8 * LANES)));

// the first n lanes; the compiler makes one instruction of it where n is LANES
static inline vec load(const float* from, int n) {
    vec v = {};
    std::memcpy(&v, from, 4 * n);
    return v;
}
static inline void store(float* to, vec v, int n) { std::memcpy(to, &v, 4 * n); }
// has a line come that a later turn of the loop reads, or writes: the processor itself looks no further than its page
template <int WRITES> static inline void fetch(const float* here) { __builtin_prefetch(here + AHEAD, WRITES); }
// body(j, n) for vectors of n features from the j-th on; its calls are inlined, the whole vectors' apart
template <class Body> static inline void vectors(long start, long stop, Body body) {
    long j = start;
    for (; j + LANES <= stop; j += LANES) body(j, LANES);
    if (j < stop) body(j, stop - j);
}
static inline vec magnitude(vec v) { return (vec)((bits)v & 0x7fffffff); }
// v · sign(by)
static inline vec turned(vec v, vec by) { return by != 0 ? (vec)((bits)v ^ ((bits)by & ~0x7fffffff)) : vec{}; }
static inline vec all(float x) { return x - vec{}; }
static double sum(wide v) {
    double total = 0;
    for (int i = 0; i < LANES; i++) total += v[i];
    return total;
}

// c[0] + c[1] u + ... + c[DEGREE] u^DEGREE
template <int DEGREE> static inline vec horner(const float* c, vec u) {
    vec value = all(c[DEGREE]);
    for (int i = DEGREE - 1; i >= 0; i--) value = value * u + c[i];
    return value;
}
template <int DEGREE> static inline vec horner(const float* c, vec u, vec& slope) {
    vec value = all(c[DEGREE]);
    slope = vec{};
    for (int i = DEGREE - 1; i >= 0; i--) {
        slope = i == DEGREE - 1 ? value : slope * u + value;
        value = value * u + c[i];
    }
    return value;
}
template <bool TAIL> static inline vec argument(vec t, float center) {
    if (TAIL) t = t > 1 ? all(1) : (t < -1 ? all(-1) : t);
    return t - center;
}

template <bool TAIL>
static void forward_rows(const float* h, const float* c, const float* inv, const float* out, float center, long rows,
                         long d, float* z, float* l1) {
    for (long i = 0; i < rows; i++, h += d, z += d) {
        wide total = {};
        for (long start = 0; start < d; start += STRETCH) {
            vec part = {};
            vectors(start, std::min(d, start + STRETCH), [&](long j, int n) __attribute__((always_inline)) {
                fetch<0>(h + j), fetch<1>(z + j);
                vec t = load(h + j, n) * load(inv + j, n), u = argument<TAIL>(t, center);
                vec r = horner<P>(c, u) / (1 + magnitude(horner<Q>(c + P + 1, u)));
                if (TAIL) r += t > 1 ? t - 1 : vec{};
                vec value = load(out + j, n) * r;
                part += magnitude(value);
                store(z + j, value, n);
            });
            total += __builtin_convertvector(part, wide);
        }
        l1[i] = sum(total);
    }
}

template <bool TAIL>
static void backward_rows(const float* g, const float* price, const float* h, const float* c, const float* inv,
                          const float* out, float center, long rows, long d, float* dh, double* d_coefficients,
                          float* d_inv, float* d_out) {
    wide total[N] = {};
    std::fill_n(d_inv, d, 0.0f), std::fill_n(d_out, d, 0.0f);
    for (long i = 0; i < rows; i++, g += d, h += d, dh += d) {
        for (long start = 0; start < d; start += STRETCH) {
            vec part[N] = {};
            vectors(start, std::min(d, start + STRETCH), [&](long j, int n) __attribute__((always_inline)) {
                fetch<0>(g + j), fetch<0>(h + j), fetch<1>(dh + j);
                vec x = load(h + j, n), scale = load(inv + j, n), t = x * scale, u = argument<TAIL>(t, center);
                vec dp, da, p = horner<P>(c, u, dp), a = horner<Q>(c + P + 1, u, da);
                vec inverse = 1 / (1 + magnitude(a)), r = p * inverse;
                vec value = TAIL ? r + (t > 1 ? t - 1 : vec{}) : r;
                vec gz = load(g + j, n) + turned(all(price[i]), value);  // C_out is positive
                store(d_out + j, load(d_out + j, n) + gz * value, n);
                gz *= load(out + j, n);
                vec w = gz * inverse, v = turned(w * -r, a), dt = w * dp + v * da;  // w = dL/dP, v = dL/dA
                if (TAIL) dt = t > 1 ? gz : (t < -1 ? vec{} : dt);
                store(d_inv + j, load(d_inv + j, n) + dt * x, n);
                store(dh + j, dt * scale, n);
                // w and v are small where u is large: a power of u alone could overflow
                for (int k = 0; k <= P; k++, w *= u) part[k] += w;
                for (int k = 0; k <= Q; k++, v *= u) part[P + 1 + k] += v;
            });
            for (int k = 0; k < N; k++) total[k] += __builtin_convertvector(part[k], wide);
        }
    }
    for (int k = 0; k < N; k++) d_coefficients[k] = sum(total[k]);
}

// over tiles, in float64
template <class Number> static void summed(const Number* parts, long tiles, long n, float* into) {
    std::vector<double> total(n);
    for (long i = 0; i < tiles; i++)
        for (long j = 0; j < n; j++) total[j] += parts[i * n + j];
    std::copy(total.begin(), total.end(), into);
}

extern "C" void forward(const float* h, const float* c, const float* inv, const float* out, float center, int tail,
                        long n, long d, int threads, float* z, float* l1) {
    #pragma omp parallel for num_threads(threads)
    for (long i = 0; i < n; i += ROWS)
        (tail ? forward_rows<true> : forward_rows<false>)(
            h + i * d, c, inv, out, center, std::min<long>(ROWS, n - i), d, z + i * d, l1 + i);
}

// the last three [P + Q + 2], [d] and [d] are summed from those before them, which have a row per tile
extern "C" void backward(const float* g, const float* price, const float* h, const float* c, const float* inv,
                         const float* out, float center, int tail, long n, long d, int threads, float* dh,
                         double* tile_coefficients, float* tile_inv, float* tile_out, float* d_coefficients,
                         float* d_inv, float* d_out) {
    #pragma omp parallel for num_threads(threads)
    for (long i = 0; i < n; i += ROWS) {
        long tile = i / ROWS;
        (tail ? backward_rows<true> : backward_rows<false>)(
            g + i * d, price + i, h + i * d, c, inv, out, center, std::min<long>(ROWS, n - i), d, dh + i * d,
            tile_coefficients + tile * N, tile_inv + tile * d, tile_out + tile * d);
    }
    long tiles = (n + ROWS - 1) / ROWS;
    summed(tile_coefficients, tiles, N, d_coefficients);
    summed(tile_inv, tiles, d, d_inv);
    summed(tile_out, tiles, d, d_out);
}
"""
