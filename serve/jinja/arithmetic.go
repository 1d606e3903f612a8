package jinja

import (
	"math"
	"strings"
)

type sign struct {
	of    expression
	minus bool
	at    int
}

func (e *sign) eval(r *run) value {
	v := r.eval(e.of)
	r.at = e.at
	switch v := v.(type) {
	case int64:
		if e.minus {
			return -v
		}
		return v
	case float64:
		if e.minus {
			return -v
		}
		return v
	}
	r.fail("a sign before %s", typeName(v))
	return nil
}

type arithmetic struct {
	op          string
	left, right expression
	at          int
}

func (e *arithmetic) eval(r *run) value {
	a, b := r.eval(e.left), r.eval(e.right)
	r.at = e.at
	if e.op == "~" {
		return r.concat(r.show(a), r.show(b))
	}
	switch x := a.(type) {
	case text:
		if y, ok := b.(text); ok && e.op == "+" {
			return r.concat(x, y)
		}
		if n, ok := b.(int64); ok && e.op == "*" {
			return r.repeat(x, n)
		}
	case *list:
		if y, ok := b.(*list); ok && e.op == "+" {
			if len(x.items)+len(y.items) > maxItems {
				r.fail("makes a list of more than %d items", maxItems)
			}
			return r.makeList(append(append([]value{}, x.items...), y.items...))
		}
	}
	if x, ok := whole(a); ok {
		if y, ok := whole(b); ok {
			return r.integers(e.op, x, y)
		}
	}
	x, ok := number(a)
	y, both := number(b)
	if !ok || !both {
		r.fail("%s %s %s: no such operation", typeName(a), e.op, typeName(b))
	}
	return r.floats(e.op, x, y)
}

func (r *run) repeat(t text, n int64) text {
	n = max(n, 0)
	if len(t.s) > 0 && n > MaxOutput/int64(len(t.s)) {
		r.fail("makes a text of more than %d bytes", MaxOutput)
	}
	r.spend(len(t.s) * int(n))
	return text{strings.Repeat(t.s, int(n)), strings.Repeat(t.from, int(n))}
}

func (r *run) integers(op string, x, y int64) value {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "//", "%":
		if y == 0 {
			r.fail("division by zero")
		}
		if y == -1 {
			if op == "%" {
				return int64(0)
			}
			return -x
		}
		q, m := x/y, x%y
		if m != 0 && (m < 0) != (y < 0) { // rounds down
			q, m = q-1, m+y
		}
		if op == "%" {
			return m
		}
		return q
	case "**":
		if p := math.Pow(float64(x), float64(y)); y >= 0 && math.Abs(p) < 1<<53 {
			return int64(p)
		}
	}
	return r.floats(op, float64(x), float64(y))
}

func (r *run) floats(op string, x, y float64) value {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		return math.Pow(x, y)
	}
	if y == 0 {
		r.fail("division by zero")
	}
	switch op {
	case "//":
		return math.Floor(x / y)
	case "%":
		return x - y*math.Floor(x/y)
	}
	return x / y
}
