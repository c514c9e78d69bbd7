// The softmax of decoding's attention, once for all vector widths; what the file that includes it defines is said in
// attention_pages.h.

// e^x for x <= 0, as the portable exponential has it: 2^n times a polynomial of what is left; below -87 it is 0.
__attribute__((always_inline)) static inline floats_t NAME(exponential)(floats_t x) {
  floats_t n = round_even(fma(x, broadcast(1.44269504088896341f), zero()));
  floats_t r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  floats_t p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  floats_t square = fma(r, r, zero());
  p = fma(p, square, fma(r, broadcast(1), broadcast(1)));
  return zero_below(x, -87.0f, times_power_of_two(p, n));
}

void NAME(dms_fold_softmax)(float *scores, int64_t count, float *maximum, float *sum, float *out, int64_t channels) {
  floats_t lanes = broadcast(*maximum);
  for (int64_t i = 0; i < count; i += WIDTH) lanes = larger(load(scores + i), lanes);
  float many[WIDTH], largest = *maximum;
  store(many, lanes);
  for (int lane = 0; lane < WIDTH; lane++)
    if (many[lane] > largest) largest = many[lane];
  float base = largest == -__builtin_inff() ? 0 : largest;
  if (largest != *maximum) {
    float correction[WIDTH];
    store(correction, NAME(exponential)(broadcast(*maximum - base)));
    *sum *= correction[0];
    for (int64_t c = 0; c < channels; c++) out[c] *= correction[0];
    *maximum = largest;
  }
  floats_t sums = zero();
  for (int64_t i = 0; i < count; i += WIDTH) {
    floats_t weights = NAME(exponential)(minus(load(scores + i), broadcast(base)));
    store(scores + i, weights);
    sums = minus(sums, minus(zero(), weights));
  }
  store(many, sums);
  float total = 0;
  for (int lane = 0; lane < WIDTH; lane++) total += many[lane];
  *sum += total;
}
