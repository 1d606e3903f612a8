package jinja

// What one rendering may take. A template of a chat of a thousand messages stays an order of magnitude below.
const (
	MaxOutput = 1 << 20 // bytes of any text it makes, and of the result

	maxSteps = 1 << 20  // statements, expressions, items of lists
	maxBytes = 64 << 20 // of texts it makes and looks through, all together
	maxItems = 64 << 10 // of one list
	maxCalls = 32       // macros within macros
	maxDepth = 40_000   // expressions within expressions: what a template without calls can write, and a stack of some megabytes
)

// run is one rendering of a template.
type run struct {
	scope   *scope
	globals *scope
	out     *builder
	at      int // where in the source it is
	steps   int
	bytes   int
	depth   int // in a value
	evals   int // expressions within expressions
	calls   int
	filters map[string]filter // filters, which cannot name itself
}

// scope holds the names that a loop, a macro or the template has set.
type scope struct {
	names map[string]value
	up    *scope
}

func (s *scope) get(name string) (value, bool) {
	for ; s != nil; s = s.up {
		if v, ok := s.names[name]; ok {
			return v, true
		}
	}
	return nil, false
}

func (s *scope) set(name string, v value) {
	if s.names == nil {
		s.names = map[string]value{}
	}
	s.names[name] = v
}

func (r *run) fail(format string, args ...any) { panic(failure(r.at, format, args...)) }

// step counts one unit of work: templates can loop, and nothing else stops them.
func (r *run) step() {
	if r.steps++; r.steps > maxSteps {
		r.fail("takes more than %d steps", maxSteps)
	}
}

// eval returns the value of e. A chain such as a ~ b ~ c nests without brackets, and macros nest such chains.
func (r *run) eval(e expression) value {
	r.step()
	if r.evals++; r.evals > maxDepth {
		r.fail("expressions within expressions, more than %d deep", maxDepth)
	}
	v := e.eval(r)
	r.evals--
	return v
}

func (r *run) spend(bytes int) {
	if r.bytes += bytes; r.bytes > maxBytes {
		r.fail("makes and looks through more than %d bytes of text", maxBytes)
	}
	r.steps += bytes >> 10 // long texts take time, too
}

// nest counts one level into a value until the function it returns is called.
func (r *run) nest() func() {
	if r.depth++; r.depth > maxNesting {
		r.fail("a value nests more than %d deep", maxNesting)
	}
	return func() { r.depth-- }
}

// inner runs f in a scope of its own within up.
func (r *run) inner(up *scope, f func()) {
	outer := r.scope
	r.scope = &scope{up: up}
	f()
	r.scope = outer
}

// call counts one call within another until the function it returns is called.
func (r *run) call() func() {
	if r.calls++; r.calls > maxCalls {
		r.fail("calls within calls, more than %d deep", maxCalls)
	}
	return func() { r.calls-- }
}

// capture returns what f prints.
func (r *run) capture(f func()) text {
	out := r.out
	r.out = &builder{}
	f()
	t := r.out.text()
	r.out = out
	return t
}

// makeList returns a list, if it is not too long.
func (r *run) makeList(items []value) *list {
	if len(items) > maxItems {
		r.fail("makes a list of more than %d items", maxItems)
	}
	r.steps += len(items) / 16
	r.step()
	return &list{items: items}
}

// signal is how a statement ended.
type signal uint8

const (
	goOn signal = iota
	leaveLoop
	nextRound
)

type statement interface{ exec(r *run) signal }

func (r *run) all(list []statement) signal {
	for _, s := range list {
		r.step()
		if sig := s.exec(r); sig != goOn {
			return sig
		}
	}
	return goOn
}

func (s signal) exec(*run) signal { return s }

const (
	breakStatement    = leaveLoop
	continueStatement = nextRound
)

type textStatement string

func (s textStatement) exec(r *run) signal {
	r.write(r.out, fromTemplate(string(s)))
	return goOn
}

type printStatement struct {
	value expression
	at    int
}

func (s printStatement) exec(r *run) signal {
	r.at = s.at
	r.write(r.out, r.show(r.eval(s.value)))
	return goOn
}

// group is statements that stand within a block that does nothing.
type group []statement

func (s group) exec(r *run) signal { return r.all(s) }

type filterStatement struct {
	filter expression
	body   []statement
	at     int
}

func (s *filterStatement) exec(r *run) signal {
	r.at = s.at
	r.write(r.out, r.show(r.eval(s.filter)))
	return goOn
}

type ifStatement struct {
	conditions []expression
	bodies     [][]statement
	otherwise  []statement
}

func (s *ifStatement) exec(r *run) signal {
	for i, c := range s.conditions {
		if truth(r.eval(c)) {
			return r.all(s.bodies[i])
		}
	}
	return r.all(s.otherwise)
}

type setStatement struct {
	names     []string
	attribute string // of a namespace that names[0] is
	value     expression
	at        int
}

func (s *setStatement) exec(r *run) signal {
	r.at = s.at
	v := r.eval(s.value)
	r.at = s.at
	if s.attribute == "" {
		r.assign(s.names, v)
		return goOn
	}
	target, _ := r.scope.get(s.names[0])
	ns, ok := target.(*namespace)
	if !ok {
		r.fail("%s is no namespace: only those have attributes that can be set", s.names[0])
	}
	ns.values[s.attribute] = v
	return goOn
}

// assign gives v to one name, or its items to several.
func (r *run) assign(names []string, v value) {
	if len(names) == 1 {
		r.scope.set(names[0], v)
		return
	}
	items := r.items(v)
	if len(items) != len(names) {
		r.fail("%d values for %d names", len(items), len(names))
	}
	for i, name := range names {
		r.step()
		r.scope.set(name, items[i])
	}
}

type forStatement struct {
	names     []string
	over      expression
	filter    expression
	body      []statement
	otherwise []statement
	at        int
}

func (s *forStatement) exec(r *run) signal {
	r.at = s.at
	items := r.items(r.eval(s.over))
	if s.filter != nil {
		var kept []value
		r.inner(r.scope, func() {
			for _, item := range items {
				r.step()
				r.assign(s.names, item)
				if truth(r.eval(s.filter)) {
					kept = append(kept, item)
				}
			}
		})
		items = kept
	}
	if len(items) == 0 {
		return r.all(s.otherwise)
	}
	around := &loop{items: items}
	r.inner(r.scope, func() {
		for i, item := range items {
			r.step()
			clear(r.scope.names) // what a round sets is gone in the next
			around.i = i
			r.scope.set("loop", around)
			r.at = s.at
			r.assign(s.names, item)
			if r.all(s.body) == leaveLoop {
				break
			}
		}
	})
	return goOn
}

// loop is what a body sees of its loop: items[i] is the current one.
type loop struct {
	items []value
	i     int
}

func (l *loop) attribute(name string) (value, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.i + 1), true
	case "index0":
		return int64(l.i), true
	case "revindex":
		return int64(n - l.i), true
	case "revindex0":
		return int64(n - l.i - 1), true
	case "length":
		return int64(n), true
	case "first":
		return l.i == 0, true
	case "last":
		return l.i == n-1, true
	case "previtem":
		if l.i > 0 {
			return l.items[l.i-1], true
		}
	case "nextitem":
		if l.i < n-1 {
			return l.items[l.i+1], true
		}
	case "cycle":
		return function(func(r *run, a arguments) value {
			if len(a.pos) == 0 {
				r.fail("cycle: no values")
			}
			return a.pos[l.i%len(a.pos)]
		}), true
	}
	return nil, false
}

// macro is a statement that sets its name to a function.
type macro struct {
	name       string
	parameters []string
	defaults   []expression // nil: none
	body       []statement
}

func (m *macro) exec(r *run) signal {
	r.scope.set(m.name, function(m.call))
	return goOn
}

func (m *macro) call(r *run, a arguments) value {
	defer r.call()()
	if len(a.pos) > len(m.parameters) {
		r.fail("macro %s: %d arguments, it takes %d", m.name, len(a.pos), len(m.parameters))
	}
	var out text
	r.inner(r.globals, func() {
		for i, name := range m.parameters {
			r.step()
			switch v, ok := a.named[name]; {
			case i < len(a.pos):
				r.scope.set(name, a.pos[i])
			case ok:
				r.scope.set(name, v)
			case m.defaults[i] != nil:
				r.scope.set(name, r.eval(m.defaults[i]))
			default:
				r.scope.set(name, undefined{name})
			}
		}
		out = r.capture(func() { r.all(m.body) })
	})
	return out
}
