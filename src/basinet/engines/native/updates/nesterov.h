// r: eta; c: mu
struct Update {
  static constexpr int MEMORIES = 1;
  static constexpr int RATES = 1;
  static void step(V* theta, const V* g, V* v, const V* r, const double* c) {
    for (int i = 0; i < PARAMETERS; ++i) {
      v[i] = fma(all(c[0]), v[i], g[i]);
      theta[i] = fma(-r[0], fma(all(c[0]), v[i], g[i]), theta[i]);
    }
  }
};
