package jinja

type expression interface{ eval(r *run) value }

type literal struct{ v value }

func (e literal) eval(*run) value { return e.v }

type variable struct {
	name string
	at   int
}

func (e *variable) eval(r *run) value {
	if v, ok := r.scope.get(e.name); ok {
		return v
	}
	return undefined{e.name}
}

// capture is what a body prints.
type capture struct{ body *[]statement }

func (e *capture) eval(r *run) (v value) {
	r.inner(r.scope, func() { v = r.capture(func() { r.all(*e.body) }) })
	return v
}

type listLiteral struct {
	items []expression
	tuple bool
}

func (e *listLiteral) eval(r *run) value {
	items := make([]value, len(e.items))
	for i, item := range e.items {
		items[i] = r.eval(item)
	}
	l := r.makeList(items)
	l.tuple = e.tuple
	return l
}

type dictLiteral struct {
	keys, values []expression
	at           int
}

func (e *dictLiteral) eval(r *run) value {
	d := &dict{}
	for i := range e.keys {
		key, ok := r.eval(e.keys[i]).(text)
		if r.at = e.at; !ok {
			r.fail("the keys of a mapping must be strings")
		}
		r.spend(len(key.s))
		d.set(key, r.eval(e.values[i]))
	}
	return d
}

type conditional struct {
	then, condition, otherwise expression // otherwise may be nil
	at                         int
}

func (e *conditional) eval(r *run) value {
	if truth(r.eval(e.condition)) {
		return r.eval(e.then)
	}
	if e.otherwise == nil {
		return undefined{"an if without else"}
	}
	return r.eval(e.otherwise)
}

type logical struct {
	left, right expression
	or          bool
}

func (e *logical) eval(r *run) value {
	if v := r.eval(e.left); truth(v) == e.or {
		return v
	}
	return r.eval(e.right)
}

type negation struct{ of expression }

func (e *negation) eval(r *run) value { return !truth(r.eval(e.of)) }
