// LayerNorm and SiLU of rows, forwards and backwards, in one pass over memory each.
//
// Rows are float or bfloat16; everything is computed in float. A block of rows goes through all
// steps while it is in the first cache, and each step is a loop that compilers vectorise.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#define INLINE inline __attribute__((always_inline))
#define RESTRICT __restrict__

// One copy for each generation of processors, of which the loader takes the newest that runs here.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ >= 12
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define CLONES
#endif

namespace {

struct bfloat16 {
  std::uint16_t bits;
};

constexpr std::ptrdiff_t kBlock = 2048;  // numbers that go through all steps together

INLINE float widen(float value) { return value; }

INLINE float widen(bfloat16 value) {
  const std::uint32_t bits = std::uint32_t(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

INLINE void narrow(float wide, float &value) { value = wide; }

// To the nearest, and to the even one of two. What is not a number stays that: arithmetic on
// bfloat16 gives none whose last bits are set.
INLINE void narrow(float wide, bfloat16 &value) {
  std::uint32_t bits;
  std::memcpy(&bits, &wide, sizeof bits);
  value.bits = std::uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// 1 / (1 + exp(-x)); exp by a polynomial (Cephes) and a power of two, within two units in the last
// place. What is not a number stays that.
INLINE float sigmoid(float x) {
  const float bounded = x < -87.0f ? -87.0f : (x > 87.0f ? 87.0f : x);
  const float power = __builtin_rintf(-bounded * 1.44269504088896341f);
  const float rest = (-bounded - power * 0.693359375f) + power * 2.12194440e-4f;
  float series = 1.9875691500e-4f;
  series = series * rest + 1.3981999507e-3f;
  series = series * rest + 8.3334519073e-3f;
  series = series * rest + 4.1665795894e-2f;
  series = series * rest + 1.6666665459e-1f;
  series = series * rest + 5.0000001201e-1f;
  series = series * rest * rest + rest + 1.0f;
  const std::uint32_t bits = std::uint32_t(std::int32_t(power) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return 1.0f / (1.0f + series * scale);
}

struct Norm {
  const float *scale, *shift;
  std::ptrdiff_t width;
};

template <typename T>
INLINE void forward_rows(Norm norm, float eps, const T *RESTRICT x, T *RESTRICT y,
                         float *RESTRICT moments, std::ptrdiff_t rows, float *RESTRICT values) {
  const std::ptrdiff_t width = norm.width, block = std::max<std::ptrdiff_t>(1, kBlock / width);
  const float *RESTRICT scale = norm.scale, *RESTRICT shift = norm.shift;
  for (std::ptrdiff_t first = 0; first < rows; first += block) {
    const std::ptrdiff_t count = std::min(block, rows - first), all = count * width;
    const T *RESTRICT from = x + first * width;
    T *RESTRICT to = y + first * width;
    float *RESTRICT mean_rstd = moments + 2 * first;
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < all; i++) values[i] = widen(from[i]);
    for (std::ptrdiff_t r = 0; r < count; r++) {
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::ptrdiff_t c = 0; c < width; c++) sum += values[r * width + c];
      mean_rstd[2 * r] = sum / float(width);
    }
    for (std::ptrdiff_t r = 0; r < count; r++) {
      const float mean = mean_rstd[2 * r];
      float squares = 0;
#pragma omp simd reduction(+ : squares)
      for (std::ptrdiff_t c = 0; c < width; c++) {
        const float centred = values[r * width + c] - mean;
        squares += centred * centred;
      }
      mean_rstd[2 * r + 1] = 1.0f / std::sqrt(squares / float(width) + eps);
    }
    for (std::ptrdiff_t r = 0; r < count; r++) {
      const float mean = mean_rstd[2 * r], rstd = mean_rstd[2 * r + 1];
#pragma omp simd
      for (std::ptrdiff_t c = 0; c < width; c++) {
        values[r * width + c] = (values[r * width + c] - mean) * rstd * scale[c] + shift[c];
      }
    }
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < all; i++) narrow(values[i] * sigmoid(values[i]), to[i]);
  }
}

// Adds to `grads`: of the scale, then of the shift. `room` has space for two blocks and two rows.
template <typename T>
INLINE void backward_rows(Norm norm, const T *RESTRICT grad, const T *RESTRICT x,
                          const float *RESTRICT moments, T *RESTRICT grad_x,
                          double *RESTRICT grads, std::ptrdiff_t rows, float *RESTRICT room) {
  const std::ptrdiff_t width = norm.width, block = std::max<std::ptrdiff_t>(1, kBlock / width);
  const float *RESTRICT scale = norm.scale, *RESTRICT shift = norm.shift;
  float *RESTRICT normed = room, *RESTRICT slopes = normed + block * width;
  float *RESTRICT of_scale = slopes + block * width, *RESTRICT of_shift = of_scale + width;
  for (std::ptrdiff_t first = 0; first < rows; first += block) {
    const std::ptrdiff_t count = std::min(block, rows - first), all = count * width;
    const T *RESTRICT from = x + first * width, *RESTRICT given = grad + first * width;
    T *RESTRICT to = grad_x + first * width;
    const float *RESTRICT mean_rstd = moments + 2 * first;
    std::fill(of_scale, of_scale + 2 * width, 0.0f);
    for (std::ptrdiff_t r = 0; r < count; r++) {
      const float mean = mean_rstd[2 * r], rstd = mean_rstd[2 * r + 1];
#pragma omp simd
      for (std::ptrdiff_t c = 0; c < width; c++) {
        const float value = (widen(from[r * width + c]) - mean) * rstd;
        normed[r * width + c] = value;
        slopes[r * width + c] = value * scale[c] + shift[c];
      }
    }
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < all; i++) {
      const float share = sigmoid(slopes[i]);
      slopes[i] = widen(given[i]) * (share * (1.0f + slopes[i] * (1.0f - share)));
    }
    for (std::ptrdiff_t r = 0; r < count; r++) {
      float sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
      for (std::ptrdiff_t c = 0; c < width; c++) {
        const float value = normed[r * width + c], slope = slopes[r * width + c];
        of_scale[c] += slope * value;
        of_shift[c] += slope;
        sum += slope * scale[c];
        product += slope * scale[c] * value;
      }
      const float level = sum / float(width), tilt = product / float(width);
      const float rstd = mean_rstd[2 * r + 1];
#pragma omp simd
      for (std::ptrdiff_t c = 0; c < width; c++) {
        const std::ptrdiff_t i = r * width + c;
        narrow(rstd * (slopes[i] * scale[c] - level - normed[i] * tilt), to[i]);
      }
    }
    for (std::ptrdiff_t c = 0; c < 2 * width; c++) grads[c] += of_scale[c];
  }
}

}  // namespace

template <typename T>
INLINE void forward_part_of(Norm norm, float eps, const void *x, void *y, float *moments,
                            std::ptrdiff_t first, std::ptrdiff_t rows, float *room) {
  const std::ptrdiff_t at = first * norm.width;
  const T *from = static_cast<const T *>(x) + at;
  T *to = static_cast<T *>(y) + at;
  moments += 2 * first;
  switch (norm.width) {  // short rows are faster if their length is known beforehand
    case 24: return forward_rows({norm.scale, norm.shift, 24}, eps, from, to, moments, rows, room);
    case 48: return forward_rows({norm.scale, norm.shift, 48}, eps, from, to, moments, rows, room);
    default: return forward_rows(norm, eps, from, to, moments, rows, room);
  }
}

template <typename T>
INLINE void backward_part_of(Norm norm, const void *grad, const void *x, const float *moments,
                             void *grad_x, double *grads, std::ptrdiff_t first,
                             std::ptrdiff_t rows, float *room) {
  const std::ptrdiff_t at = first * norm.width;
  const T *from = static_cast<const T *>(x) + at, *given = static_cast<const T *>(grad) + at;
  T *to = static_cast<T *>(grad_x) + at;
  moments += 2 * first;
  switch (norm.width) {
    case 24:
      return backward_rows({norm.scale, norm.shift, 24}, given, from, moments, to, grads, rows,
                           room);
    case 48:
      return backward_rows({norm.scale, norm.shift, 48}, given, from, moments, to, grads, rows,
                           room);
    default: return backward_rows(norm, given, from, moments, to, grads, rows, room);
  }
}

CLONES void forward_part(bool rounded, Norm norm, float eps, const void *x, void *y,
                         float *moments, std::ptrdiff_t first, std::ptrdiff_t rows, float *room) {
  if (rounded) return forward_part_of<bfloat16>(norm, eps, x, y, moments, first, rows, room);
  forward_part_of<float>(norm, eps, x, y, moments, first, rows, room);
}

CLONES void backward_part(bool rounded, Norm norm, const void *grad, const void *x,
                          const float *moments, void *grad_x, double *grads,
                          std::ptrdiff_t first, std::ptrdiff_t rows, float *room) {
  if (rounded) {
    return backward_part_of<bfloat16>(norm, grad, x, moments, grad_x, grads, first, rows, room);
  }
  backward_part_of<float>(norm, grad, x, moments, grad_x, grads, first, rows, room);
}

// Rows `(rows, width)` are bfloat16 if `rounded`, else float; `moments (rows, 2)` takes the mean
// of each and the inverse of its standard deviation.
extern "C" void norm_silu_forward(std::ptrdiff_t rounded, const void *x, const float *scale,
                                  const float *shift, float eps, void *y, float *moments,
                                  std::ptrdiff_t rows, std::ptrdiff_t width,
                                  std::ptrdiff_t threads) {
#pragma omp parallel for num_threads(int(threads))
  for (std::ptrdiff_t part = 0; part < threads; part++) {
    const std::ptrdiff_t first = rows * part / threads, last = rows * (part + 1) / threads;
    std::vector<float> room(std::max(kBlock, width));
    forward_part(rounded, {scale, shift, width}, eps, x, y, moments, first, last - first,
                 room.data());
  }
}

// `grads (threads, 2, width)`: of scale and shift, to be added up over the threads.
extern "C" void norm_silu_backward(std::ptrdiff_t rounded, const void *grad, const void *x,
                                   const float *moments, const float *scale, const float *shift,
                                   void *grad_x, double *grads, std::ptrdiff_t rows,
                                   std::ptrdiff_t width, std::ptrdiff_t threads) {
#pragma omp parallel for num_threads(int(threads))
  for (std::ptrdiff_t part = 0; part < threads; part++) {
    const std::ptrdiff_t first = rows * part / threads, last = rows * (part + 1) / threads;
    std::vector<float> room(2 * std::max(kBlock, width) + 2 * width);
    backward_part(rounded, {scale, shift, width}, grad, x, moments, grad_x,
                  grads + 2 * width * part, first, last - first, room.data());
  }
}
