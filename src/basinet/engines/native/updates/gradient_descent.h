// r: eta
struct Update {
  static constexpr int MEMORIES = 0;
  static constexpr int RATES = 1;
  static void step(V* theta, const V* g, V*, const V* r, const double*) {
    for (int i = 0; i < PARAMETERS; ++i) theta[i] = fma(-r[0], g[i], theta[i]);
  }
};
