package jinja

// arguments of a call.
type arguments struct {
	pos   []value
	named map[string]value
}

type argumentList struct {
	pos   []expression
	names []string
	named []expression
}

func (l *argumentList) eval(r *run) arguments {
	var a arguments
	for _, e := range l.pos {
		a.pos = append(a.pos, r.eval(e))
	}
	for i, e := range l.named {
		if a.named == nil {
			a.named = map[string]value{}
		}
		a.named[l.names[i]] = r.eval(e)
	}
	return a
}

type call struct {
	of        expression
	arguments argumentList
	at        int
}

func (e *call) eval(r *run) value {
	f, ok := r.eval(e.of).(function)
	if r.at = e.at; !ok {
		switch of := e.of.(type) {
		case *attribute:
			r.fail("there is no method %q here", of.name)
		case *variable:
			r.fail("%s is no function", of.name)
		}
		r.fail("not a function")
	}
	a := e.arguments.eval(r)
	r.at = e.at
	return f(r, a)
}

// applied is a filter of a value, or a test, whose result is a bool.
type applied[T any] struct {
	apply     func(r *run, v value, a arguments) T
	value     expression
	arguments argumentList
	at        int
}

func (e *applied[T]) eval(r *run) value {
	v, a := r.eval(e.value), e.arguments.eval(r)
	r.at = e.at
	return e.apply(r, v, a)
}
