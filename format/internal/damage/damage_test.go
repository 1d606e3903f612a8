package damage

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// The same seed does the same damage, the original stays, and damage is of many kinds.
func TestBytes(t *testing.T) {
	good := []byte(`{"shape":[12,34],"x":"` + string(bytes.Repeat([]byte("abc"), 200)) + `"}`)
	was := bytes.Clone(good)
	shorter, longer, same := 0, 0, 0
	for seed := range uint64(1000) {
		b := Bytes(rand.New(rand.NewPCG(seed, 0)), good)
		if again := Bytes(rand.New(rand.NewPCG(seed, 0)), good); !bytes.Equal(b, again) {
			t.Fatalf("seed %d: two damages", seed)
		}
		switch {
		case len(b) < len(good):
			shorter++
		case len(b) > len(good):
			longer++
		case !bytes.Equal(b, good):
			same++
		}
	}
	if !bytes.Equal(good, was) {
		t.Error("the original changed")
	}
	if min(shorter, longer, same) < 100 || shorter+longer+same < 950 {
		t.Errorf("%d shorter, %d longer, %d of the same length, of 1000", shorter, longer, same)
	}
	if b := Bytes(rand.New(rand.NewPCG(0, 0)), nil); b == nil {
		t.Error("nothing of nothing")
	}
}
