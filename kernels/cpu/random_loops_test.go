package cpu

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// loopEntry is a function of the isa struct.
type loopEntry struct {
	name  string // the fields, without embedded structs'
	index int    // in the innermost array or slice
	isNil bool
}

// entries lists the functions in v, a value of isa.
func entries(v reflect.Value, name string, index int) (list []loopEntry) {
	switch v.Kind() {
	case reflect.Func:
		return []loopEntry{{name, index, v.IsNil()}}
	case reflect.Struct:
		for i := range v.NumField() {
			field := name
			if f := v.Type().Field(i); !f.Anonymous && name != "" {
				field = name + "." + f.Name
			} else if !f.Anonymous {
				field = f.Name
			}
			list = append(list, entries(v.Field(i), field, 0)...)
		}
	case reflect.Array, reflect.Slice:
		for i := range v.Len() {
			list = append(list, entries(v.Index(i), name, i)...)
		}
		if v.Len() == 0 {
			list = entries(reflect.Zero(v.Type().Elem()), name, 0)
		}
	}
	return list
}

func loopCase(name string) func(l *loopRun) {
	if run := attentionCases[name]; run != nil {
		return run
	}
	return loopCases[name]
}

// Every entry of isa has a case, and every table every entry but streams.
func TestRandomLoopsAreAll(t *testing.T) {
	cases := map[string]bool{}
	for _, k := range available {
		for _, e := range entries(reflect.ValueOf(k), "", 0) {
			if cases[e.name] = true; loopCase(e.name) == nil {
				t.Errorf("%s has no case", e.name)
			}
			if e.isNil && e.name != "stream" {
				t.Errorf("%s has no %s[%d]", k.name, e.name, e.index)
			}
		}
	}
	if n := len(loopCases) + len(attentionCases); n != len(cases) {
		t.Errorf("%d cases for the %d entries of isa", n, len(cases))
	}
}

// TestRandomLoops holds one loop of an instruction set after another to its
// definition, over random and edge shapes and contents: the same bits. Shape s is
// of seed s alone.
func TestRandomLoops(t *testing.T) {
	first, n := randomShapes(t, 20_000, 500)
	for i := range available[1:] {
		k := &available[1:][i]
		t.Run(k.name, func(t *testing.T) {
			debug.SetPanicOnFault(true)
			list := slices.DeleteFunc(entries(reflect.ValueOf(*k), "", 0), func(e loopEntry) bool { return e.isNil })
			buffers := newLoopBuffers(t)
			start, failed := time.Now(), 0
			told := start
			for i := range n {
				seed := first + uint64(i)
				e := list[seed%uint64(len(list))]
				if err := runLoop(buffers, k, e, seed); err != nil {
					t.Errorf("%s[%d]: %v\nagain: LLMQAT_SEED=%d LLMQAT_LONG=1 go test -run 'RandomLoops/%s$' ./kernels/cpu",
						e.name, e.index, err, seed, k.name)
					if failed++; failed == 10 {
						t.Fatal("and maybe more")
					}
				}
				if time.Since(told) > 10*time.Second {
					told = time.Now()
					t.Logf("%d of %d shapes", i+1, n)
				}
			}
			t.Logf("%d shapes of %d loops, %v each", n, len(list), time.Since(start)/time.Duration(n))
		})
	}
}

// runLoop calls one entry with the shape of a seed.
func runLoop(buffers *loopBuffers, k *isa, e loopEntry, seed uint64) (err error) {
	defer func() {
		p := recover()
		if _, fault := p.(interface{ Addr() uintptr }); fault {
			p = "a guard page was read or written"
		}
		if p != nil {
			err = fmt.Errorf("buffers of %s: %v", buffers, p)
		}
	}()
	buffers.reset(seed)
	l := loopRun{loopBuffers: buffers, k: k, index: e.index, budget: 3 << 10}
	if l.r.IntN(32) == 0 {
		l.budget = 48 << 10
	}
	loopCase(e.name)(&l)
	return buffers.compare()
}
