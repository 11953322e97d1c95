package replay

import (
	"io"
	"math"
	"math/rand/v2"
)

// zipf draws ranks from 1 to n with a probability proportional to 1/rank^s, by rejection-inversion
// (Hörmann and Derflinger, "Rejection-inversion to generate variates from monotone discrete
// distributions", ACM TOMACS 6(3), 1996). math/rand's generator is the same but for s > 1 only,
// and caches see skews below 1 as well. The memory doesn't depend on n.
//
// The area under h(x) = x^-s is cut into strips of width 1 around the ranks. A point under it is
// drawn by inverting the integral H, rounded to the nearest rank, and rejected if it is above the
// strip's bar of height h(rank).
type zipf struct {
	keyer  *keyer
	left   int64 // requests
	random *rand.Rand

	n        float64 // the largest rank
	s        float64
	from, to float64 // H at the ends
	sure     float64 // a point at most this far from its rank is under the bar
}

func newZipf(o Zipf, k *keyer) *zipf {
	z := &zipf{keyer: k, left: o.Requests, random: rand.New(rand.NewPCG(o.Seed, 0)), n: float64(o.Keys), s: o.Skew}
	z.from = z.integral(1.5) - 1 // rank 1 has an area of 1, by its probability
	z.to = z.integral(z.n + 0.5)
	z.sure = 2 - z.inverse(z.integral(2.5)-z.height(2))
	return z
}

func (z *zipf) Next() (Request, error) {
	if z.left == 0 {
		return Request{}, io.EOF
	}
	z.left--
	return Request{Key: z.keyer.number(z.rank()), ValueBytes: -1, TTL: -1}, nil
}

func (z *zipf) rank() uint64 {
	for {
		u := z.to + z.random.Float64()*(z.from-z.to)
		x := z.inverse(u)
		k := min(max(math.Round(x), 1), z.n)
		if k-x <= z.sure || u >= z.integral(k+0.5)-z.height(k) {
			return uint64(k)
		}
	}
}

func (z *zipf) height(x float64) float64 { return math.Exp(-z.s * math.Log(x)) }

// integral is H(x), of height from 1 to x: (x^(1-s) - 1)/(1-s), and log x for s = 1.
func (z *zipf) integral(x float64) float64 {
	l := math.Log(x)
	return expm1Over((1-z.s)*l) * l
}

// inverse is the x with H(x) = y.
func (z *zipf) inverse(y float64) float64 {
	t := max(y*(1-z.s), -1) // rounding may make it less, outside of the logarithm's domain
	return math.Exp(log1pOver(t) * y)
}

// expm1Over returns (e^x - 1)/x, also near 0, where the fraction would lose all digits.
func expm1Over(x float64) float64 {
	if math.Abs(x) > 1e-8 {
		return math.Expm1(x) / x
	}
	return 1 + x/2
}

// log1pOver is log(1+x)/x, likewise.
func log1pOver(x float64) float64 {
	if math.Abs(x) > 1e-8 {
		return math.Log1p(x) / x
	}
	return 1 - x/2
}
