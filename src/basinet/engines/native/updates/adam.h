// r: eta / (1 - beta1^t), 1 / sqrt(1 - beta2^t); c: beta1, beta2, epsilon
struct Update {
  static constexpr int MEMORIES = 2;
  static constexpr int RATES = 2;
  static void step(V* theta, const V* g, V* memory, const V* r, const double* c) {
    V *mean = memory, *square = memory + PARAMETERS;
    for (int i = 0; i < PARAMETERS; ++i) {
      mean[i] = fma(all(1 - c[0]), g[i], all(c[0]) * mean[i]);
      square[i] = fma(all(1 - c[1]) * g[i], g[i], all(c[1]) * square[i]);
      theta[i] = fma(-r[0], mean[i] / fma(square_root(square[i]), r[1], all(c[2])), theta[i]);
    }
  }
};
