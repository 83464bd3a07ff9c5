// The functions of linear_algebra.h for matrices [matrix, SIZE, SIZE] in memory, to be tested.

#include "linear_algebra.h"

namespace {

constexpr int N = SIZE;

struct Block {
  V matrix[N * N], vectors[N * N], values[N];

  Block(const double* matrices, std::int64_t first, std::int64_t count) {
    for (int j = 0; j < LANES; ++j)
      for (int i = 0; i < N * N; ++i)
        matrix[i][j] = matrices[(first + j < count ? first + j : count - 1) * N * N + i];
  }
};

template <class Function>
void for_lanes(std::int64_t first, std::int64_t count, Function function) {
  for (int j = 0; j < LANES && first + j < count; ++j) function(j, first + j);
}

}  // namespace

extern "C" {

void eigenvalues(const double* matrices, std::int64_t count, double* values) {
  for (std::int64_t first = 0; first < count; first += LANES) {
    Block block(matrices, first, count);
    eigenvalues_of<N>(block.matrix, block.values);
    for_lanes(first, count, [&](int j, std::int64_t m) {
      for (int i = 0; i < N; ++i) values[m * N + i] = block.values[i][j];
    });
  }
}

// vectors [matrix, eigenvalue, row]
void eigenvectors(const double* matrices, std::int64_t count, double* values, double* vectors) {
  for (std::int64_t first = 0; first < count; first += LANES) {
    Block block(matrices, first, count);
    eigenvectors_of<N>(block.matrix, block.values, block.vectors);
    for_lanes(first, count, [&](int j, std::int64_t m) {
      int order[N];
      ascending<N>(block.values, j, order);
      for (int i = 0; i < N; ++i) {
        values[m * N + i] = block.values[order[i]][j];
        for (int k = 0; k < N; ++k) vectors[(m * N + i) * N + k] = block.vectors[order[i] * N + k][j];
      }
    });
  }
}

int lanes() { return LANES; }

// x [matrix, row] holds the right sides
void solve_positive(const double* matrices, std::int64_t count, double* x, bool* positive) {
  for (std::int64_t first = 0; first < count; first += LANES) {
    Block block(matrices, first, count);
    for (int j = 0; j < LANES; ++j)
      for (int i = 0; i < N; ++i) block.values[i][j] = x[(first + j < count ? first + j : count - 1) * N + i];
    const I is_positive = factorize<N>(block.matrix);
    solve<N>(block.matrix, block.values);
    for_lanes(first, count, [&](int j, std::int64_t m) {
      positive[m] = is_positive[j] != 0;
      for (int i = 0; i < N; ++i) x[m * N + i] = block.values[i][j];
    });
  }
}
}
