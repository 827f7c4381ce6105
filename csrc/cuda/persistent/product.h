#pragma once

#include "cuda/persistent/device.h"
#include "cuda/persistent/launch_layout.h"

namespace elman::cuda::persistent {

using device::Vector16;

/// The matrix that a step multiplies with: result n is the sum over k of at(n, k) times the
/// entering vector's element k. That is W_h going forward and its transpose going back. Zero
/// outside.
template <typename S>
struct Weight {
  const S* data;  ///< weight_hh: [H, H]
  int hidden;
  bool transposed;

  ELMAN_DEVICE S at(int n, int k) const {
    if (n >= hidden || k >= hidden) return device::to_storage<S>(0.0f);
    return transposed ? data[static_cast<std::int64_t>(k) * hidden + n]
                      : data[static_cast<std::int64_t>(n) * hidden + k];
  }
};

/// Where a warp's partial sums go: element (row, feature) of the block's slice.
template <typename C>
struct Partials {
  C* data;
  int stride;
  ELMAN_DEVICE void store(int row, int feature, C value) const {
    data[row * stride + feature] = value;
  }
};

// A product policy says what a warp multiplies at once, the *unit*: kTile features by kUnitElements
// of k, held in a Fragment (a lane's share of the weights), times kRows rows of entering vectors.
// kUnits fragments stay in registers, beside the operands of the kResults results that a thread
// finishes of a chunk at most. Exchanged vectors consist of Element.

/// Fused multiply-adds: the lanes split k, each has kTile features of four (two) elements.
template <typename C>
struct FmaProduct {
  using Storage = C;
  using Compute = C;
  using Element = C;
  static constexpr int kTile = 8;
  static constexpr int kRows = 1;
  static constexpr int kUnits = sizeof(C) == 8 ? 2 : 4;  // more would spill
  static constexpr int kResults = 4;
  static constexpr int kWidth = 16 / sizeof(C);
  static constexpr int kUnitElements = 32 * kWidth;
  static constexpr int kUnitBytes = 32 * 16 * kTile;

  struct Fragment {
    alignas(16) C w[kTile][kWidth];
  };
  struct Accumulator {
    C sum[kTile];
  };

  static ELMAN_DEVICE Element to_element(C x) { return x; }

  static ELMAN_DEVICE void load(Fragment& f, const Weight<C>& weight, int n, int k, int lane) {
    ELMAN_UNROLL
    for (int i = 0; i < kTile; ++i) {
      ELMAN_UNROLL
      for (int j = 0; j < kWidth; ++j) f.w[i][j] = weight.at(n + i, k + lane * kWidth + j);
    }
  }
  static ELMAN_DEVICE void load(Fragment& f, const unsigned char* unit, int lane) {
    ELMAN_UNROLL
    for (int i = 0; i < kTile; ++i)
      reinterpret_cast<Vector16&>(f.w[i]) = reinterpret_cast<const Vector16*>(unit)[i * 32 + lane];
  }
  static ELMAN_DEVICE void store(const Fragment& f, unsigned char* unit, int lane) {
    ELMAN_UNROLL
    for (int i = 0; i < kTile; ++i)
      reinterpret_cast<Vector16*>(unit)[i * 32 + lane] = reinterpret_cast<const Vector16&>(f.w[i]);
  }

  static ELMAN_DEVICE void clear(Accumulator& a) {
    ELMAN_UNROLL
    for (int i = 0; i < kTile; ++i) a.sum[i] = 0;
  }
  /// A lane's share of the row at `vectors` for unit `unit` of k.
  struct Operand {
    alignas(16) C h[kWidth];
  };
  static ELMAN_DEVICE Operand operand(const unsigned char* vectors, int /*vector_bytes*/, int unit,
                                      int lane) {
    Operand o;
    reinterpret_cast<Vector16&>(o.h) = reinterpret_cast<const Vector16*>(vectors)[unit * 32 + lane];
    return o;
  }
  static ELMAN_DEVICE void accumulate(Accumulator& a, const Fragment& f, const Operand& o) {
    ELMAN_UNROLL
    for (int j = 0; j < kWidth; ++j) {
      ELMAN_UNROLL
      for (int i = 0; i < kTile; ++i)
        a.sum[i] = device::fused_multiply_add(f.w[i][j], o.h[j], a.sum[i]);
    }
  }
  /// Adds up the lanes' shares, in a fixed order, and stores them. At each of the first three
  /// exchanges a lane gives half of its features away, so that one is left.
  static ELMAN_DEVICE void flush(Accumulator& a, const Partials<C>& partials, int row, int feature,
                                 int lane) {
    ELMAN_UNROLL
    for (int half = kTile / 2, mask = 16; half > 0; half /= 2, mask /= 2) {
      const bool upper = (lane & mask) != 0;
      ELMAN_UNROLL
      for (int i = 0; i < half; ++i) {
        const C given = upper ? a.sum[i] : a.sum[i + half];
        const C kept = upper ? a.sum[i + half] : a.sum[i];
        a.sum[i] = kept + device::shuffle_xor(given, mask);
      }
    }
    C sum = a.sum[0];
    sum += device::shuffle_xor(sum, 2);
    sum += device::shuffle_xor(sum, 1);
    if ((lane & 3) == 0) partials.store(row, feature + lane / 4, sum);
  }
};

/// Tensor cores, for 16-bit storage and (TF32) for float. A unit is two instructions: 16 features
/// by 16 words of 4 bytes, times eight rows. k is permuted within a unit, alike in the weights and
/// in the vectors, so that a lane's share of the vectors is one load of 16 bytes.
template <typename S>
struct MmaProduct {
  using Storage = S;
  using Compute = float;
  using Element = S;
  static constexpr int kTile = 16;
  static constexpr int kRows = 8;
  static constexpr int kUnits = 16;
  static constexpr int kResults = 8;
  static constexpr int kWordElements = 4 / sizeof(S);
  static constexpr int kUnitElements = 16 * kWordElements;
  static constexpr int kUnitBytes = 32 * 16 * 2;

  struct Fragment {
    alignas(16) std::uint32_t a[2][4];
  };
  struct Accumulator {
    float d[2][4];  // two chains, so that an instruction need not wait for the one before
  };

  static ELMAN_DEVICE Element to_element(float x) {
    if constexpr (sizeof(S) == 4) {
      return device::round_to_tf32(x);
    } else {
      return device::to_storage<S>(x);
    }
  }
  static ELMAN_DEVICE std::uint32_t word(const Weight<S>& weight, int n, int k) {
    if constexpr (sizeof(S) == 4) {
      return device::bits(device::round_to_tf32(weight.at(n, k)));
    } else {
      return device::bits(weight.at(n, k)) | (device::bits(weight.at(n, k + 1)) << 16);
    }
  }

  static ELMAN_DEVICE void load(Fragment& f, const Weight<S>& weight, int n, int k, int lane) {
    const int g = lane / 4, t = lane % 4;
    ELMAN_UNROLL
    for (int p = 0; p < 2; ++p) {
      ELMAN_UNROLL
      for (int i = 0; i < 4; ++i)
        f.a[p][i] = word(weight, n + g + 8 * (i % 2), k + kWordElements * (4 * t + 2 * p + i / 2));
    }
  }
  static ELMAN_DEVICE void load(Fragment& f, const unsigned char* unit, int lane) {
    ELMAN_UNROLL
    for (int p = 0; p < 2; ++p)
      reinterpret_cast<Vector16&>(f.a[p]) = reinterpret_cast<const Vector16*>(unit)[p * 32 + lane];
  }
  static ELMAN_DEVICE void store(const Fragment& f, unsigned char* unit, int lane) {
    ELMAN_UNROLL
    for (int p = 0; p < 2; ++p)
      reinterpret_cast<Vector16*>(unit)[p * 32 + lane] = reinterpret_cast<const Vector16&>(f.a[p]);
  }

  static ELMAN_DEVICE void clear(Accumulator& a) {
    ELMAN_UNROLL
    for (int p = 0; p < 2; ++p) {
      ELMAN_UNROLL
      for (int i = 0; i < 4; ++i) a.d[p][i] = 0;
    }
  }
  static ELMAN_DEVICE Vector16 operand(const unsigned char* vectors, int vector_bytes, int unit,
                                       int lane) {
    return *reinterpret_cast<const Vector16*>(vectors + (lane / 4) * vector_bytes + unit * 64 +
                                              (lane % 4) * 16);
  }
  static ELMAN_DEVICE void accumulate(Accumulator& a, const Fragment& f, const Vector16& h) {
    device::mma(S(), a.d[0], f.a[0], h.word[0], h.word[1]);
    device::mma(S(), a.d[1], f.a[1], h.word[2], h.word[3]);
  }
  static ELMAN_DEVICE void flush(Accumulator& a, const Partials<float>& partials, int row,
                                 int feature, int lane) {
    const int g = lane / 4, t = lane % 4;
    ELMAN_UNROLL
    for (int i = 0; i < 4; ++i)
      partials.store(row + 2 * t + i % 2, feature + g + 8 * (i / 2), a.d[0][i] + a.d[1][i]);
  }
};

}  // namespace elman::cuda::persistent
