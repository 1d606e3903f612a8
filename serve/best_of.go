package serve

import (
	"cmp"
	"slices"
)

// best returns the choices that the answer shows: of each prompt the n whose tokens have the highest mean log
// probability, the best first; of equal ones that with the lower seed.
func (g *generation) best() []*choice {
	r := g.request
	if r.bestOf == r.n {
		return g.choices
	}
	var best []*choice
	for all := range slices.Chunk(g.choices, r.bestOf) {
		sorted := slices.SortedStableFunc(slices.Values(all), func(a, b *choice) int {
			return cmp.Compare(b.meanLogprob(), a.meanLogprob())
		})
		best = append(best, sorted[:r.n]...)
	}
	return best
}

// meanLogprob is per token: a long answer is not worse than a short one for its length.
func (c *choice) meanLogprob() float64 { return c.logprob / float64(max(1, c.generated)) }
